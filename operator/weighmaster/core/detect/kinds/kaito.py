"""KAITO: presets, custom templates, adapters, embedding models."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import ModelReference, Role

GROUP = "kaito.sh"


def preset(name: str) -> ModelReference | None:
    """A preset's name; a name with an organisation is a repository of the hub."""
    if not name:
        return None
    if references.is_repository_name(name):
        return references.hugging_face(name)
    return references.parse(f"kaito-preset://{name}")


def _inference(inference: dict[str, Json], path: Path, fields: Fields) -> None:
    part = inference.get("preset")
    name = text(part) or text(mapping(part).get("name"))
    fields.add(preset(name), Role.BASE, below(path, "preset", "name"), "KAITO preset")
    for index, adapter in enumerate(items(inference.get("adapters"))):
        source = mapping(mapping(adapter).get("source"))
        here = below(path, "adapters", index, "source", "image")
        image = text(source.get("image"))
        if image:
            fields.add(references.image(image), Role.ADAPTER, here, "KAITO adapter")
        for number, url in enumerate(items(source.get("urls"))):
            place = below(path, "adapters", index, "source", "urls", number)
            fields.add(uri(url), Role.ADAPTER, place, "KAITO adapter")


def workspace(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``Workspace``: ``inference`` serves, ``tuning`` trains."""
    del context
    fields = Fields(document, sink, process_of("kaito"))
    inference = mapping(document.get("inference") or at(document, "spec", "inference"))
    prefix = None if "inference" in document else below(None, "spec")
    _inference(inference, (prefix, "inference"), fields)
    return Plan(walk="tuning" not in document, hint=None)


def inference_set(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``InferenceSet``: replicas of a workspace."""
    del context
    fields = Fields(document, sink, process_of("kaito"))
    inference = mapping(at(document, "spec", "template", "inference"))
    _inference(inference, below(None, "spec", "template", "inference"), fields)
    return Plan()


def multi_role(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``MultiRoleInference``: prefill and decode of one model."""
    del context
    fields = Fields(document, sink, process_of("kaito"))
    name = text(at(document, "spec", "model", "name"))
    fields.add(preset(name), Role.BASE, below(None, "spec", "model", "name"), "KAITO model")
    return Plan()


def rag_engine(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``RAGEngine``: a local embedding model; the language model is elsewhere."""
    del context
    fields = Fields(document, sink, process_of("kaito"))
    local = mapping(at(document, "spec", "embedding", "local"))
    path = below(None, "spec", "embedding", "local")
    reference = uri(local.get("modelID"), hub="hf")
    fields.add(reference, Role.EMBEDDING, (path, "modelID"), "embedding model")
    image = text(local.get("image"))
    if image:
        fields.add(
            references.image_embedded(image), Role.EMBEDDING, (path, "image"), "embedding image"
        )
    return Plan()


def mirror(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``ModelMirror``: a copy of a model to storage."""
    del context
    fields = Fields(document, sink, process_of("kaito"))
    source = mapping(at(document, "spec", "source"))
    hub = "modelscope" if "modelscope" in text(source.get("registry")).lower() else "hf"
    fields.add(
        uri(source.get("modelID"), hub=hub), Role.FETCH, below(None, "spec", "source", "modelID"),
        "model mirror",
    )  # fmt: skip
    return Plan(walk=False)


HANDLERS = {
    (GROUP, "Workspace"): workspace,
    (GROUP, "InferenceSet"): inference_set,
    (GROUP, "MultiRoleInference"): multi_role,
    (GROUP, "RAGEngine"): rag_engine,
    (GROUP, "ModelMirror"): mirror,
}
