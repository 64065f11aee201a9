"""KServe and ModelMesh."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect import pods
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.environment import Surroundings
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.runtimes import classic, language
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import ModelReference, Role

GROUP = "serving.kserve.io"
MOUNT = "/mnt/models"
"""Where the storage initializer puts the model."""

SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""Annotation by which KServe's controller tells its webhook what the pods of a template fetch."""

_SERVICE = "serving.kserve.io/inferenceservice"
"""Label of the pods that the webhook looks at."""

_COMPONENTS = (
    ("predictor", Role.BASE), ("transformer", Role.TOKENIZER), ("explainer", Role.EXPLAINER)
)  # fmt: skip
_NO_FRAMEWORKS = ("workerSpec", "logger", "batcher")
_EMBEDDING = ("sbert", "embed", "tei")


def inference_service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``InferenceService``: a predictor, perhaps a transformer and an explainer."""
    spec: Mapping[str, Json] = mapping(document.get("spec"))
    if not spec and "predictor" in document:  # an indentation slip that dry runs do not show
        spec = document
    canary = {name: spec.get(name) for name in ("default", "canary") if name in spec}
    for name, value in canary.items():  # v1alpha2
        _components(document, mapping(value), below(None, "spec", name), context, sink)
    for index, variant in enumerate(items(spec.get("canary"))):
        path = below(None, "spec", "canary", index)
        _components(document, mapping(variant), path, context, sink)
    _components(document, spec, below(None, "spec"), context, sink)
    if not sink.uses and "predictor" in spec:
        _anonymous(spec, sink)
    return Plan(walk=False)


def _anonymous(spec: Mapping[str, Json], sink: Sink) -> None:
    predictor = mapping(spec.get("predictor"))
    runtime = text(at(predictor, "model", "modelFormat", "name")) or "kserve"
    if type(predictor.get("containers")) is list:
        image = text(mapping((items(predictor["containers"]) or [None])[0]).get("image"))
        if not image:
            return
        reference = references.image_embedded(image)
        path = below(None, "spec", "predictor", "containers", 0, "image")
    else:
        reference = references.unresolved("spec.predictor names no model")
        path = below(None, "spec", "predictor")
    sink.add(reference, Role.BASE, path, process_of(runtime), "InferenceService without a model")


def _components(
    document: Mapping[str, Json], spec: Mapping[str, Json], path: Path, context: Context, sink: Sink
) -> None:
    for name, role in _COMPONENTS:
        component = spec.get(name)
        if type(component) is not dict:
            continue
        here: Path = (path, name)
        aliases = _fetched(component, here, role, sink)
        provided = _storage(component, here, role, sink)
        if provided is not None:
            aliases[MOUNT] = provided
        around = pods.around(document, component.get("metadata"), context)
        inner = Sink(sink.budget) if role is Role.EXPLAINER else sink
        _containers(around, component, here, role, aliases, inner)
        if inner is not sink:
            sink.take(inner, role)


def _fetched(
    component: dict[str, Json], path: Path, role: Role, sink: Sink
) -> dict[str, ModelReference]:
    """What ``storageUris`` beside the model have fetched, by the folder it is put into."""
    found: dict[str, ModelReference] = {}
    process = process_of(text(at(component, "model", "modelFormat", "name")) or "kserve")
    for index, entry in enumerate(items(component.get("storageUris"))):
        reference = uri(mapping(entry).get("uri"))
        if reference is not None and not sink.full:
            here = below(path, "storageUris", index, "uri")
            sink.add(reference, role, here, process, "KServe storage")
            found.setdefault(text(mapping(entry).get("mountPath")) or MOUNT, reference)
    return found


def _storage(
    component: dict[str, Json], path: Path, role: Role, sink: Sink
) -> ModelReference | None:
    """What the fields of a component name: ``model``, or the framework's own key of old."""
    first = None
    for framework, value in component.items():
        if type(value) is not dict or type(framework) is not str:
            continue
        runtime = text(at(value, "modelFormat", "name")) or framework
        if framework in _NO_FRAMEWORKS or sink.full:
            continue
        process = process_of(runtime, value)
        actual = role
        about = f"{runtime} {text(value.get('runtime'))}".lower()
        if role is Role.BASE and any(sign in about for sign in _EMBEDDING):
            actual = Role.EMBEDDING
        for reference, keys in _named(value):
            sink.add(reference, actual, below(path, framework, *keys), process, "KServe storage")
            first = first or reference
    return first


def _named(value: dict[str, Json]) -> list[tuple[ModelReference, tuple[str | int, ...]]]:
    found: list[tuple[ModelReference, tuple[str | int, ...]]] = []
    reference = uri(value.get("storageUri") or value.get("modelUri"))
    if reference is not None:
        found.append((reference, ("storageUri",)))
    for index, entry in enumerate(items(value.get("storageUris"))):
        inner = entry if type(entry) is str else mapping(entry).get("uri")
        reference = uri(inner)
        if reference is not None:
            found.append((reference, ("storageUris", index)))
    storage = mapping(value.get("storage"))
    if storage:
        found.append((stored(storage), ("storage", "path")))
    return found


def stored(storage: Mapping[str, Json]) -> ModelReference:
    """``storage.key`` and ``storage.path``: a place that a Secret describes."""
    key, path = text(storage.get("key")) or text(storage.get("type")), text(storage.get("path"))
    parameters = mapping(storage.get("parameters"))
    bucket = text(parameters.get("bucket"))
    suffix = f"?bucket={bucket}" if bucket else ""
    return references.parse(f"kserve-storage://{key or 'default'}/{path.lstrip('/')}{suffix}")


def _containers(
    around: Surroundings, component: dict[str, Json], path: Path, role: Role,
    aliases: dict[str, ModelReference], sink: Sink,
) -> None:  # fmt: skip
    provided = next(iter(aliases.values()), None)
    for name in pods.CONTAINER_LISTS:
        for index, container in enumerate(items(component.get(name))):
            _storage_variable(container, below(path, name, index), role, aliases, sink)
    pod = pods.Pod(component, path, around, "InferenceService")
    pod.aliases = aliases
    pod.standing_in = aliases.get(MOUNT) or provided
    pods.read(pod, sink)
    for key in ("model", "custom", "workerSpec"):
        value = component.get(key)
        if type(value) is not dict:
            continue
        if key == "workerSpec":
            inner = pods.Pod(value, (path, key), around, "InferenceService")
        else:
            inner = pods.Pod(value, (path, key), around, "InferenceService")
            container = value.get("container") if key == "custom" else value
            if type(container) is not dict:
                continue
            here: Path = ((path, key), "container") if key == "custom" else (path, key)
            inner.single = (container, here)
            if key == "custom":
                _storage_variable(container, here, role, aliases, sink)
            else:
                inner.hint = _hint(value)
        inner.aliases = aliases
        inner.standing_in = pod.standing_in
        if key != "model" or provided is None or _speaks(value):
            pods.read(inner, sink)


def _speaks(model: dict[str, Json]) -> bool:
    return bool(model.get("args") or model.get("env") or model.get("command"))


def _hint(model: dict[str, Json]) -> Runtime:
    """The runtime that the model format and the runtime's name point to."""
    about = f"{text(at(model, 'modelFormat', 'name'))} {text(model.get('runtime'))}".lower()
    if "vllm" in about:
        return language.VLLM
    if "sglang" in about:
        return language.SGLANG
    return classic.KSERVE


def _storage_variable(
    container: Json, path: Path, role: Role, aliases: dict[str, ModelReference], sink: Sink
) -> None:
    """``STORAGE_URI`` of a custom container: the storage initializer serves it too."""
    for index, variable in enumerate(items(mapping(container).get("env"))):
        if mapping(variable).get("name") != "STORAGE_URI":
            continue
        reference = uri(mapping(variable).get("value"))
        if reference is None:
            reference = references.unresolved("STORAGE_URI")
        aliases.setdefault(MOUNT, reference)
        process = process_of("kserve", container)
        sink.add(reference, role, below(path, "env", index, "value"), process, "STORAGE_URI")


def promised(metadata: Json) -> ModelReference | None:
    """What KServe's own webhook will have fetched to ``MOUNT`` in the pods of a template.

    Of a pod itself this says nothing: the webhook has put its container in by then, or never does.
    """
    labels, annotations = (mapping(mapping(metadata).get(key)) for key in ("labels", "annotations"))
    return uri(annotations.get(SOURCE)) if _SERVICE in labels else None


def llm_inference_service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``LLMInferenceService`` and its ``Config``: ``spec.model.uri`` and LoRA adapters."""
    del context
    spec = mapping(document.get("spec"))
    fragments = []
    for place in (("template",), ("prefill", "template"), ("worker",), ("prefill", "worker")):
        template = at(spec, *place)
        for name in ("containers", "initContainers"):
            fragments += items(mapping(template).get(name))
    fields = Fields(document, sink, process_of("vllm", *fragments))
    model = mapping(spec.get("model"))
    base = fields.add(
        uri(model.get("uri")), Role.BASE, below(None, "spec", "model", "uri"), "model URI"
    )
    if base is None and document.get("kind") == "LLMInferenceService":
        base = fields.add(
            references.unresolved("spec.model missing"), Role.BASE, below(None, "spec"),
            "LLMInferenceService without a model",
        )  # fmt: skip
    for index, adapter in enumerate(items(at(model, "lora", "adapters"))):
        path = below(None, "spec", "model", "lora", "adapters", index, "uri")
        fields.add(uri(mapping(adapter).get("uri")), Role.ADAPTER, path, "LoRA adapter")
    plan = Plan(standing_in=base)
    if base is not None:
        plan.aliases = {MOUNT: base}
        plan.hint = language.VLLM if not base.known else None
    return plan


def serving_runtime(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """A ``ServingRuntime`` only says how to serve; models at the mount point come with services."""
    del document, context, sink
    return Plan(aliases={MOUNT: references.named_by(GROUP, "InferenceService", "")})


def local_model_cache(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``LocalModelCache``: a model that nodes fetch ahead of time."""
    del context
    fields = Fields(document, sink, process_of("kserve"))
    fields.add(
        uri(at(document, "spec", "sourceModelUri")), Role.FETCH,
        below(None, "spec", "sourceModelUri"), "model cache",
    )  # fmt: skip
    return Plan(walk=False)


def trained_model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``TrainedModel``: a model for a multi-model server."""
    del context
    runtime = text(at(document, "spec", "model", "framework")) or "kserve"
    fields = Fields(document, sink, process_of(runtime))
    fields.add(
        uri(at(document, "spec", "model", "storageUri")) or references.unresolved("spec.model"),
        Role.BASE, below(None, "spec", "model", "storageUri"), "trained model",
    )  # fmt: skip
    return Plan(walk=False)


def predictor(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """ModelMesh's ``Predictor``: storage and path in fields of their own."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(document, sink, process_of(text(at(spec, "modelType", "name")) or "modelmesh"))
    path = text(spec.get("path"))
    storage = mapping(spec.get("storage"))
    claim = text(at(storage, "persistentVolumeClaim", "claimName"))
    bucket = text(at(storage, "s3", "bucket"))
    if claim:
        reference = references.volume_claim(claim, path)
    elif bucket:
        reference = references.parse(f"s3://{bucket}/{path.lstrip('/')}")
    elif "s3" in storage:
        key = text(at(storage, "s3", "secretKey"))
        reference = references.parse(f"kserve-storage://{key}/{path.lstrip('/')}")
    else:
        reference = stored({**storage, "path": path or text(storage.get("path"))})
    fields.add(reference, Role.BASE, below(None, "spec", "path"), "ModelMesh predictor")
    return Plan(walk=False)


HANDLERS = {
    (GROUP, "InferenceService"): inference_service,
    (GROUP, "LLMInferenceService"): llm_inference_service,
    (GROUP, "LLMInferenceServiceConfig"): llm_inference_service,
    (GROUP, "ServingRuntime"): serving_runtime,
    (GROUP, "ClusterServingRuntime"): serving_runtime,
    (GROUP, "ClusterStorageContainer"): serving_runtime,
    (GROUP, "LocalModelCache"): local_model_cache,
    (GROUP, "LocalModelNamespaceCache"): local_model_cache,
    (GROUP, "TrainedModel"): trained_model,
    (GROUP, "Predictor"): predictor,
    ("serving.kubeflow.org", "InferenceService"): inference_service,
}
