"""llmaz: models in objects of their own, playgrounds that claim them."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri
from weighmaster.core.detect.paths import below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import Role

MODELS = "llmaz.io"
SERVICES = "inference.llmaz.io"
_ROLES = {"draft": Role.DRAFT, "lora": Role.ADAPTER}


def open_model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``OpenModel``: a URI, or a repository on a hub."""
    del context
    fields = Fields(document, sink, process_of("llmaz"))
    source = mapping(at(document, "spec", "source"))
    reference = uri(source.get("uri"))
    fields.add(reference, Role.BASE, below(None, "spec", "source", "uri"), "llmaz model")
    hub = mapping(source.get("modelHub"))
    name = text(hub.get("modelID"))
    if name:
        read = (
            references.modelscope
            if text(hub.get("name")).lower() == "modelscope"
            else references.hugging_face
        )
        file = text(hub.get("filename")) or None
        fields.add(
            read(name, text(hub.get("revision")) or None, file), Role.BASE,
            below(None, "spec", "source", "modelHub", "modelID"), "llmaz model",
        )  # fmt: skip
    return Plan(walk=False)


def playground(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``Playground`` and ``Service``: claims of models by name."""
    del context
    spec = mapping(document.get("spec"))
    process = process_of("llmaz", spec.get("backendRuntimeConfig"))
    fields = Fields(document, sink, process)
    name = text(at(spec, "modelClaim", "modelName"))
    if name:
        fields.add(
            references.named_by(MODELS, "OpenModel", name), Role.BASE,
            below(None, "spec", "modelClaim", "modelName"), "llmaz model claim",
        )  # fmt: skip
    for index, claim in enumerate(items(at(spec, "modelClaims", "models"))):
        named = text(mapping(claim).get("name"))
        role = _ROLES.get(text(mapping(claim).get("role")), Role.BASE)
        fields.add(
            references.named_by(MODELS, "OpenModel", named), role,
            below(None, "spec", "modelClaims", "models", index, "name"), "llmaz model claim",
        )  # fmt: skip
    return Plan()


HANDLERS = {
    (MODELS, "OpenModel"): open_model,
    (SERVICES, "Playground"): playground,
    (SERVICES, "Service"): playground,
}
