"""LLMKube, llm-d, OME, OPEA, production-stack, AIM, KubeBlocks, Sedna and the like."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.runtimes import language
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import ModelReference, Role

_ENGINES = {"vllm": "default", "xinference": "dynamic", "ollama": "dynamic", "localai": "dynamic"}


def llmkube_model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """LLMKube's ``Model``: a source that is fetched."""
    del context
    fields = Fields(document, sink, process_of("llmkube"))
    reference = uri(at(document, "spec", "source"), hub="hf")
    fields.add(reference, Role.FETCH, below(None, "spec", "source"), "LLMKube model")
    return Plan(walk=False)


def llmkube_service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """LLMKube's ``InferenceService``: a model by name."""
    del context
    spec = mapping(document.get("spec"))
    process = process_of(text(spec.get("runtime")) or "llama.cpp", spec)
    fields = Fields(document, sink, process)
    words = [text(word) for word in items(spec.get("extraArgs"))]
    role = Role.EMBEDDING if "--embeddings" in words or "--embedding" in words else Role.BASE
    name = text(spec.get("modelRef")) or text(at(spec, "modelRef", "name"))
    reference = references.named_by("inference.llmkube.dev", "Model", name)
    fields.add(reference, role, below(None, "spec", "modelRef"), "LLMKube model")
    return Plan(walk=False)


def model_service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """llm-d's ``ModelService``: artifacts by URI, arguments as templates."""
    del context
    spec = mapping(document.get("spec"))
    fragments = [
        container
        for part in ("decode", "prefill")
        for container in items(at(spec, part, "containers"))
    ]
    fields = Fields(document, sink, process_of("vllm", *fragments))
    reference = uri(at(spec, "modelArtifacts", "uri"))
    fields.add(
        reference or references.unresolved("spec.modelArtifacts.uri missing"), Role.BASE,
        below(None, "spec", "modelArtifacts", "uri"), "model artifacts",
    )  # fmt: skip
    return Plan(walk=False)


def ome_model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """OME's ``BaseModel`` and ``FineTunedWeight``: Oracle's ``oci://`` is object storage."""
    del context
    fields = Fields(document, sink, process_of("ome"))
    role = Role.ADAPTER if document.get("kind") == "FineTunedWeight" else Role.FETCH
    value = text(at(document, "spec", "storage", "storageUri"))
    fields.add(_ome(value), role, below(None, "spec", "storage", "storageUri"), "OME model")
    return Plan(walk=False)


def _ome(value: str) -> ModelReference | None:
    if value.startswith("oci://"):
        return references.parse(f"oci-objectstorage://{value[6:]}")
    if value.startswith("pvc://") and ":" in value[6:].partition("/")[0]:
        return references.parse(f"pvc://{value[6:].partition(':')[2]}")
    if value.startswith("local://"):
        return references.host_path("/" + value[8:].lstrip("/"))
    if value.startswith("vendor://"):
        return references.parse(value)
    return uri(value, hub="hf")


def ome_service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """OME's ``InferenceService``: a model by name."""
    del context
    fields = Fields(document, sink, process_of("ome"))
    model = mapping(at(document, "spec", "model"))
    name = text(model.get("name")) or text(at(document, "spec", "predictor", "model", "baseModel"))
    if name:
        kind = text(model.get("kind")) or "ClusterBaseModel"
        fields.add(
            references.named_by("ome.io", kind, name), Role.BASE,
            below(None, "spec", "model", "name"),
            "OME model",
        )  # fmt: skip
    for index, weight in enumerate(items(model.get("fineTunedWeights"))):
        fields.add(
            references.named_by("ome.io", "FineTunedWeight", text(weight)), Role.ADAPTER,
            below(None, "spec", "model", "fineTunedWeights", index), "OME adapter",
        )  # fmt: skip
    return Plan()


def connector(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """OPEA's ``GMConnector``: a graph of steps, some of which serve a model."""
    del context
    fields = Fields(document, sink, process_of("opea"))
    for node, value in mapping(at(document, "spec", "nodes")).items():
        for index, step in enumerate(items(mapping(value).get("steps"))):
            _step(mapping(step), below(None, "spec", "nodes", node, "steps", index), fields)
    return Plan(walk=False)


def _step(step: dict[str, Json], path: Path, fields: Fields) -> None:
    config = mapping(at(step, "internalService", "config"))
    name = text(step.get("name")).lower()
    role = (
        Role.EMBEDDING if "embedding" in name else Role.RERANKER if "rerank" in name else Role.BASE
    )
    serves = name.startswith(("tei", "tgi", "vllm", "whisper", "lvm", "tts", "guard"))
    for key in (
        "MODEL_ID",
        "LLM_MODEL_ID",
        "EMBEDDING_MODEL_ID",
        "RERANK_MODEL_ID",
        "ASR_MODEL_PATH",
    ):
        here = below(path, "internalService", "config", key)
        if text(config.get(key)) and (key == "MODEL_ID" or serves):
            fields.add(uri(config.get(key), hub="hf"), role, here, "OPEA step")
            return
    if serves and not any("ENDPOINT" in key.upper() and key != "endpoint" for key in config):
        fields.add(references.default(name), role, path, "OPEA step without a model")


def production_stack(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """The vLLM production stack's ``VLLMRuntime``, and its ``LoraAdapter``."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(
        document,
        sink,
        process_of("vllm", spec, spec.get("vllmConfig"), spec.get("deploymentConfig")),
    )
    url = text(at(spec, "model", "modelURL"))
    fields.add(
        uri(url, hub="hf") or references.unresolved("spec.model.modelURL missing"), Role.BASE,
        below(None, "spec", "model", "modelURL"), "vLLM runtime",
    )  # fmt: skip
    return Plan(hint=None)


def lora_adapter(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """The vLLM production stack's ``LoraAdapter``."""
    del context
    fields = Fields(document, sink, process_of("vllm"))
    source = mapping(at(document, "spec", "adapterSource"))
    spelt = source.get("repository") or source.get("adapterPath") or source.get("adapterName")
    reference = uri(spelt, hub="hf")
    path = below(None, "spec", "adapterSource", "repository")
    fields.add(reference, Role.ADAPTER, path, "LoRA adapter")
    return Plan(walk=False)


def aim_service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """AMD's ``AIMService``: the image is the model."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(document, sink, process_of("aim", spec))
    for keys in (("model", "image"), ("image",), ("model", "custom", "image")):
        image = text(at(spec, *keys))
        if image:
            fields.add(
                references.image(image, "aim"), Role.BASE, below(None, "spec", *keys), "AIM image"
            )
    for index, source in enumerate(
        items(at(spec, "model", "custom", "modelSources")) or items(spec.get("modelSources"))
    ):
        value = mapping(source)
        reference = uri(value.get("sourceUri") or value.get("modelId"), hub="hf")
        fields.add(reference, Role.BASE, below(None, "spec", "modelSources", index), "AIM source")
    name = (
        text(at(spec, "model", "name"))
        or text(at(spec, "model", "ref"))
        or text(spec.get("aimModelName"))
    )
    if not sink.uses:
        reference = references.named_by("aim.eai.amd.com", "AIMModel", name)
        fields.add(reference, Role.BASE, below(None, "spec", "model"), "AIM model")
    return Plan(walk=False)


def aim_model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """AMD's models and caches: an image, or sources by URI."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(document, sink, process_of("aim", spec))
    image = text(spec.get("image"))
    if image:
        fields.add(references.image(image, "aim"), Role.FETCH, below(None, "spec", "image"), "AIM")
    path = below(None, "spec", "sourceUri")
    fields.add(uri(spec.get("sourceUri"), hub="hf"), Role.FETCH, path, "AIM source")
    for index, source in enumerate(items(spec.get("modelSources"))):
        value = mapping(source)
        reference = uri(value.get("sourceUri") or value.get("modelId"), hub="hf")
        fields.add(reference, Role.FETCH, below(None, "spec", "modelSources", index), "AIM source")
    return Plan(walk=False)


def kubeblocks(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """KubeBlocks' ``Cluster``: an addon decides what is loaded."""
    del context
    for index, component in enumerate(items(at(document, "spec", "componentSpecs"))):
        value = mapping(component)
        about = (
            text(value.get("componentDef"))
            or text(value.get("componentDefRef"))
            or text(value.get("name"))
        )
        for engine, how in _ENGINES.items():
            if about.startswith(engine):
                make = references.default if how == "default" else references.dynamic
                path = below(None, "spec", "componentSpecs", index, "componentDef")
                sink.add(make(engine), Role.BASE, path, process_of(engine), "KubeBlocks component")
    return Plan()


def sedna_model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """Sedna's ``Model``: a URL for edge jobs."""
    del context
    fields = Fields(document, sink, process_of("sedna"))
    fields.add(
        uri(at(document, "spec", "url")), Role.FETCH, below(None, "spec", "url"), "Sedna model"
    )
    return Plan(walk=False)


def tgi_like(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """Kinds that hold ``model`` or ``modelId`` of a hub next to a server's settings."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(document, sink, process_of("llm-server", spec))
    for key in ("model", "modelId", "modelName", "modelURI", "modelUri", "modelRepo", "hfModel"):
        value = spec.get(key)
        if type(value) is str and value:
            fields.add(uri(value, hub="hf"), Role.BASE, below(None, "spec", key), f"spec.{key}")
            break
    return Plan(hint=language.VLLM)


def training(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """Kinds that train: what their pods load is not served."""
    del document, context, sink
    return Plan(walk=False)


HANDLERS = {
    ("inference.llmkube.dev", "Model"): llmkube_model,
    ("inference.llmkube.dev", "InferenceService"): llmkube_service,
    ("llm-d.ai", "ModelService"): model_service,
    ("ome.io", "BaseModel"): ome_model,
    ("ome.io", "ClusterBaseModel"): ome_model,
    ("ome.io", "FineTunedWeight"): ome_model,
    ("ome.io", "InferenceService"): ome_service,
    ("gmc.opea.io", "GMConnector"): connector,
    ("production-stack.vllm.ai", "VLLMRuntime"): production_stack,
    ("production-stack.vllm.ai", "LoraAdapter"): lora_adapter,
    ("production-stack.vllm-project", "LoraAdapter"): lora_adapter,
    ("serving.vllm.ai", "VLLMRuntime"): production_stack,
    ("serving.vllm.ai", "LoraAdapter"): lora_adapter,
    ("aim.silogen.ai", "AIMService"): aim_service,
    ("aim.eai.amd.com", "AIMService"): aim_service,
    **{
        (group, kind): aim_model
        for group in ("aim.silogen.ai", "aim.eai.amd.com")
        for kind in ("AIMModel", "AIMClusterModel", "AIMModelCache", "AIMArtifact", "AIMProfile")
    },
    ("apps.kubeblocks.io", "Cluster"): kubeblocks,
    ("sedna.io", "Model"): sedna_model,
}
