"""AIBrix, kthena and other kinds that give one URL of a model or an adapter."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import Role

GROUP = "model.aibrix.ai"
KTHENA = "workload.serving.volcano.sh"


def adapter(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``ModelAdapter``: a LoRA adapter that is loaded into running servers."""
    del context
    fields = Fields(document, sink, process_of("aibrix"))
    reference = uri(at(document, "spec", "artifactURL"), hub="hf")
    fields.add(
        reference or references.unresolved("spec.artifactURL missing"), Role.ADAPTER,
        below(None, "spec", "artifactURL"), "adapter",
    )  # fmt: skip
    return Plan(walk=False)


def claim(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``ModelClaim``: a model for a warm pool."""
    del context
    runtime = text(at(document, "spec", "engine")) or "aibrix"
    fields = Fields(document, sink, process_of(runtime, document.get("spec")))
    reference = uri(at(document, "spec", "artifactURL"), hub="hf")
    fields.add(
        reference or references.unresolved("spec.artifactURL missing"), Role.BASE,
        below(None, "spec", "artifactURL"), "model claim",
    )  # fmt: skip
    return Plan(walk=False)


def booster(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """Kthena's ``ModelBooster``: backends with a URI and adapters."""
    del context
    spec = mapping(document.get("spec"))
    backends: list[tuple[Json, Path]] = [
        (backend, below(None, "spec", "backends", index))
        for index, backend in enumerate(items(spec.get("backends")))
    ]
    if "backend" in spec:
        backends.append((spec["backend"], below(None, "spec", "backend")))
    for backend, path in backends:
        value = mapping(backend)
        config = next(
            (mapping(worker).get("config") for worker in items(value.get("workers"))), None
        )
        fields = Fields(
            document, sink, process_of(text(value.get("type")) or "kthena", value, config)
        )
        fields.add(
            uri(value.get("modelURI"), hub="hf"), Role.BASE, (path, "modelURI"), "kthena backend"
        )
        for number, lora in enumerate(items(value.get("loraAdapters"))):
            fields.add(
                uri(mapping(lora).get("artifactURL"), hub="hf"), Role.ADAPTER,
                below(path, "loraAdapters", number, "artifactURL"), "kthena adapter",
            )  # fmt: skip
    return Plan()


HANDLERS = {
    (GROUP, "ModelAdapter"): adapter,
    (GROUP, "ModelClaim"): claim,
    (KTHENA, "ModelBooster"): booster,
}
