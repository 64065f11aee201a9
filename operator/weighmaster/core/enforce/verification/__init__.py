"""Verification before start: the bytes that a server will load are checked in its own pod.

    plan ──> layout ──> injection

The verifying container is Weighmaster's own image. What it checks arrives by value, worked out here
from evidence and policies at every request, so whatever else stands in the pod in its place is
replaced in the mutating stage and refused in the validating one.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from weighmaster.core.decide import Decision
from weighmaster.core.detect.reading import at, mapping
from weighmaster.core.detect.templates import PLACES
from weighmaster.core.enforce.verification.injection import LABEL, Layout, inject
from weighmaster.core.enforce.verification.plan import make_plan
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.mounted import CONTAINER

__all__ = ["LABEL", "Verification", "verification"]

Document = Mapping[str, Any]


class Verification(Struct, frozen=True):
    """A workload in the form that verification asks for.

    ``objections`` say why findings do not hold after all, by their number in the decision.
    ``container`` is the name of the verifying container; empty where none is put in.
    """

    document: Document
    objections: Mapping[int, str] = {}
    container: str = ""


def verification(document: Document, decision: Decision, snapshot: Snapshot) -> Verification:
    """A workload whose bytes are verified before its servers start.

    Pods get a verifying container. Of what makes pods only the template is looked at, so that its
    owner hears early what cannot be verified.
    """
    demanding = [
        number
        for number, finding in enumerate(decision.findings)
        if finding.demand is not None and not finding.demand.staged
    ]
    if not demanding:
        return Verification(document)
    place = PLACES.get((str(document.get("apiVersion")), str(document.get("kind"))), ())
    spec = mapping(at(document, *place)) if place else {}
    installation = snapshot.facilities.installation
    if installation.image is None:
        return Verification(document, dict.fromkeys(demanding, _NO_IMAGE))
    plan = make_plan(spec, decision, snapshot)
    if not plan.expectations:
        return Verification(document, plan.objections)
    problem = Layout(spec, plan).problem()
    if problem is not None:
        return Verification(document, dict.fromkeys(demanding, problem))
    if decision.workload.gvk != "Pod":
        return Verification(document, plan.objections)
    return Verification(inject(document, plan, installation), plan.objections, CONTAINER)


_NO_IMAGE = (
    "Weighmaster does not know its own image, which has to verify it; whoever runs it has to set"
    " --image of the webhook"
)
