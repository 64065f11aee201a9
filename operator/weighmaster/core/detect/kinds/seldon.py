"""Seldon Core, versions 1 and 2."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import Role

V2 = "mlops.seldon.io"
V1 = "machinelearning.seldon.io"
MAX_UNITS = 1000


def model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """Version 2's ``Model``."""
    del context
    spec = mapping(document.get("spec"))
    fields = Fields(document, sink, process_of("seldon"))
    explains = "explainer" in spec or document.get("kind") == "Explainer"
    role = Role.EXPLAINER if explains else Role.BASE
    reference = uri(spec.get("storageUri"))
    path = below(None, "spec", "storageUri")
    if reference is None and "llm" in spec:
        reference = references.named_by(V2, "Model", text(at(spec, "llm", "modelRef")))
    fields.add(
        reference or references.unresolved("spec.storageUri missing"), role, path, "Seldon model"
    )
    white = uri(at(spec, "whiteBox", "storageUri"))
    fields.add(white, Role.BASE, below(None, "spec", "whiteBox", "storageUri"), "explained model")
    return Plan(walk=False)


def server(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """Version 2's ``Server``: its models come with ``Model`` objects."""
    del context
    fields = Fields(document, sink, process_of("seldon"))
    fields.add(references.dynamic("seldon"), Role.BASE, below(None, "spec"), "Seldon server")
    return Plan()


def deployment(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """Version 1's ``SeldonDeployment``: a tree of units with ``modelUri``."""
    del context
    for index, predictor in enumerate(items(at(document, "spec", "predictors"))):
        path = below(None, "spec", "predictors", index)
        value = mapping(predictor)
        _units(
            mapping(value.get("graph")),
            (path, "graph"),
            Fields(document, sink, process_of("seldon")),
        )
        explainer = mapping(value.get("explainer"))
        if explainer:
            fields = Fields(document, sink, process_of("seldon"))
            fields.add(
                uri(explainer.get("modelUri")), Role.EXPLAINER,
                below(path, "explainer", "modelUri"),
                "Seldon explainer",
            )  # fmt: skip
    return Plan()


def _units(graph: dict[str, Json], path: Path, fields: Fields) -> None:
    stack = [(graph, path)]
    seen = 0
    while stack and seen < MAX_UNITS:
        unit, here = stack.pop()
        seen += 1
        implementation = text(unit.get("implementation"))
        fields.process = process_of(implementation.lower() or "seldon")
        reference = uri(unit.get("modelUri"))
        fields.add(reference, Role.BASE, (here, "modelUri"), "Seldon unit")
        if reference is None and implementation.endswith("_SERVER"):
            missing = references.unresolved("modelUri missing")
            fields.add(missing, Role.BASE, here, "Seldon unit")
        for number, child in enumerate(items(unit.get("children"))):
            stack.append((mapping(child), below(here, "children", number)))


HANDLERS = {
    (V2, "Model"): model,
    (V2, "Explainer"): model,
    (V2, "Server"): server,
    (V1, "SeldonDeployment"): deployment,
}
