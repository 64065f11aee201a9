"""NVIDIA's NIM operator and Dynamo."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect import pods
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri, variables
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import ModelReference, Role

NIM = "apps.nvidia.com"
DYNAMO = "nvidia.com"
_GENERIC = ("llm-nim", "multi-llm", "vllm", "sglang")
STORE = "/model-store"


def cache(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``NIMCache``: a model that is fetched into a volume."""
    del context
    spec = mapping(document.get("spec"))
    source = mapping(spec.get("source"))
    fields = Fields(document, sink, process_of("nim", spec))
    for member in ("hf", "dataStore", "ngc"):
        part = mapping(source.get(member))
        if not part:
            continue
        reference, key = _source(member, part)
        fields.add(reference, Role.FETCH, below(None, "spec", "source", member, key), "NIM cache")
    return Plan(walk=False)


def _source(member: str, part: dict[str, Json]) -> tuple[ModelReference, str]:
    if member == "ngc":
        return references.image(text(part.get("modelPuller")), "nim"), "modelPuller"
    name = text(part.get("modelName")) or text(part.get("datasetName"))
    namespace = text(part.get("namespace"))
    revision = text(part.get("revision")) or None
    if member == "hf":
        whole = f"{namespace}/{name}" if namespace else name
        return references.hugging_face(whole, revision), "modelName"
    host = text(part.get("endpoint")).partition("://")[2].partition("/")[0]
    whole = f"{namespace}/{name}" if namespace else name
    return references.parse(f"nemo-datastore://{host}/{whole}"), "modelName"


def service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``NIMService``: the image is the model, unless it is a generic one."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(document, sink, process_of("nim", spec))
    env = dict(variables(spec))
    paths = {
        text(mapping(entry).get("name")): below(None, "spec", "env", index, "value")
        for index, entry in enumerate(items(spec.get("env")))
    }
    claim = text(at(spec, "storage", "pvc", "name"))
    named = False
    for name, role in (
        ("NIM_MODEL_NAME", Role.BASE), ("NIM_MODEL_PATH", Role.BASE),
        ("NIM_PEFT_SOURCE", Role.ADAPTER),
    ):  # fmt: skip
        if env.get(name):
            reference = _value(env[name], claim)
            if role is Role.ADAPTER and env[name].startswith(("http://", "https://")):
                reference = references.dynamic("nim")  # a service that hands out adapters
            fields.add(reference, role, paths.get(name), f"NIM {name}")
            named = named or role is Role.BASE
    image = text(at(spec, "image", "repository"))
    tag = text(at(spec, "image", "tag"))
    cached = text(at(spec, "storage", "nimCache", "name"))
    if named or not image:
        if not named:
            fields.add(
                references.unresolved("spec.image missing"), Role.BASE, below(None, "spec"), "NIM"
            )
    elif image.rpartition("/")[2].startswith(_GENERIC) and cached:
        reference = references.named_by(NIM, "NIMCache", cached)
        fields.add(
            reference, Role.BASE, below(None, "spec", "storage", "nimCache", "name"), "NIM cache"
        )
    else:
        fields.add(
            references.image(f"{image}:{tag}" if tag else image, "nim"), Role.BASE,
            below(None, "spec", "image", "repository"), "NIM image",
        )  # fmt: skip
    return Plan(walk=False)


def _value(value: str, claim: str) -> ModelReference | None:
    if value.startswith("/"):
        if claim and (value == STORE or value.startswith(STORE + "/")):
            return references.volume_claim(claim, value[len(STORE) :])
        return references.unresolved(value)
    return uri(value, hub="hf")


def pipeline(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``NIMPipeline``: several services in one object."""
    for index, entry in enumerate(items(at(document, "spec", "services"))):
        if sink.full:
            break
        inner = Sink(sink.budget)
        service({"spec": mapping(entry).get("spec")}, context, inner)
        for use in inner.uses:
            sink.add(
                use.reference,
                use.role,
                below(None, "spec", "services", index),
                use.process,
                use.reason,
            )
    return Plan(walk=False)


def graph(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``DynamoGraphDeployment``: services with one main container each."""
    for name, value in mapping(at(document, "spec", "services")).items():
        component(document, mapping(value), below(None, "spec", "services", name), context, sink)
    for index, value in enumerate(items(at(document, "spec", "components"))):
        component(document, mapping(value), below(None, "spec", "components", index), context, sink)
    return Plan(walk=False)


def single(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``DynamoComponentDeployment``: one service."""
    component(document, mapping(document.get("spec")), below(None, "spec"), context, sink)
    return Plan(walk=False)


def component(
    document: Mapping[str, Json], value: dict[str, Json], path: Path, context: Context, sink: Sink
) -> None:
    """One service: its own variables and mounts go to the main container."""
    around = pods.around(document, value.get("extraPodMetadata"), context)
    extra = mapping(value.get("extraPodSpec"))
    here: Path = (path, "extraPodSpec")
    pod = pods.Pod(extra, here, around, "DynamoGraphDeployment")
    main = extra.get("mainContainer")
    if type(main) is dict:
        merged = dict(main)
        merged["env"] = items(value.get("envs")) + items(main.get("env"))
        merged["volumeMounts"] = items(main.get("volumeMounts")) + items(value.get("volumeMounts"))
        pod.single = (merged, (here, "mainContainer"))
        pods.read(pod, sink)
    if type(extra.get("containers")) is list:
        pods.read(pods.Pod(extra, here, around, "DynamoGraphDeployment"), sink)
    template = mapping(value.get("podTemplate"))
    if template:
        spec = mapping(template.get("spec"))
        pods.read(pods.Pod(spec, below(path, "podTemplate", "spec"), around, "Dynamo"), sink)
    model = mapping(value.get("modelRef"))
    if text(model.get("name")):
        fields = Fields(document, sink, process_of("dynamo"))
        reference = uri(model.get("name"), hub="hf")
        fields.add(reference, Role.BASE, below(path, "modelRef", "name"), "Dynamo model")


def model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``DynamoModel``: a base model or an adapter by name and source."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(document, sink, process_of("dynamo"))
    role = Role.ADAPTER if text(spec.get("modelType")) == "lora" else Role.BASE
    source = at(spec, "source", "uri")
    reference = uri(source) if source else uri(spec.get("modelName"), hub="hf")
    fields.add(reference, role, below(None, "spec", "source", "uri"), "Dynamo model")
    return Plan(walk=False)


def request(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``DynamoGraphDeploymentRequest``: a model to profile and deploy."""
    del context
    fields = Fields(document, sink, process_of("dynamo"))
    fields.add(
        uri(at(document, "spec", "model"), hub="hf"), Role.BASE, below(None, "spec", "model"),
        "Dynamo request",
    )  # fmt: skip
    return Plan()


HANDLERS = {
    (NIM, "NIMCache"): cache,
    (NIM, "NIMService"): service,
    (NIM, "NIMPipeline"): pipeline,
    (DYNAMO, "DynamoGraphDeployment"): graph,
    (DYNAMO, "DynamoComponentDeployment"): single,
    (DYNAMO, "DynamoModel"): model,
    (DYNAMO, "DynamoGraphDeploymentRequest"): request,
}
