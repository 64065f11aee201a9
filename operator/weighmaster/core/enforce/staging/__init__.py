"""Staging: what servers would fetch from a hub is downloaded and verified before they start.

    plan ──> containers restated ──> injection ──> read again

The staging container is Weighmaster's own image. What it downloads arrives by value, worked out
here from evidence at every request, so whatever else stands in the pod in its place is replaced in
the mutating stage and refused in the validating one. A pod that is staged already names paths of
our volume, and is left as it is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from weighmaster.core.decide import Decision, decide
from weighmaster.core.detect import detect
from weighmaster.core.detect.reading import mapping
from weighmaster.core.detect.templates import PLACES
from weighmaster.core.enforce.staging.forms import INSTEAD
from weighmaster.core.enforce.staging.injection import injected
from weighmaster.core.enforce.staging.plan import is_as_planned, make_plan, spec_at
from weighmaster.core.enforce.staging.restating import NotStageable
from weighmaster.core.enforce.verification.injection import labelled
from weighmaster.core.evaluate import evaluate
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import Action

__all__ = ["Objection", "Staging", "staging"]

Document = Mapping[str, Any]


class Objection(Struct, frozen=True):
    """Why something cannot be staged; ``awaits`` is the reference whose evidence may change it."""

    message: str
    awaits: str | None = None


class Staging(Struct, frozen=True):
    """A workload in the form that staging asks for, and the decision on it.

    ``objections`` say why findings do not hold after all, by their number in the decision.
    """

    document: Document
    decision: Decision
    objections: Mapping[int, Objection] = {}


def staging(document: Document, decision: Decision, snapshot: Snapshot, now: datetime) -> Staging:
    """A workload whose servers find their models in the pod.

    Pods are staged. Of what makes pods only the template is looked at, so that its owner hears
    early what cannot be.
    """
    demanding = [
        number
        for number, finding in enumerate(decision.findings)
        if finding.demand is not None and finding.demand.staged
    ]
    if not demanding or decision.action is Action.SANDBOX:  # where there is no way to a hub
        return Staging(document, decision)
    image = snapshot.facilities.installation.image
    if image is None:
        return Staging(document, decision, dict.fromkeys(demanding, _NO_IMAGE))
    try:
        made = _staged(document, decision, snapshot)
    except NotStageable as problem:
        objection = Objection(str(problem), problem.awaits)
        return Staging(document, decision, dict.fromkeys(demanding, objection))
    if decision.workload.gvk != "Pod":
        return Staging(document, decision)
    uses = detect(made)
    if not is_as_planned(decision.uses, uses):
        return Staging(document, decision, dict.fromkeys(demanding, _OTHERWISE))
    if uses == decision.uses:
        return Staging(made, decision)
    findings = evaluate(decision.workload, uses, snapshot, now)
    return Staging(made, decide(decision.workload, uses, findings))


def _staged(document: Document, decision: Decision, snapshot: Snapshot) -> Document:
    """The pod, or the one that a template makes, with everything that staging needs."""
    where = PLACES.get((str(document.get("apiVersion")), str(document.get("kind"))), ())
    plan = make_plan(spec_at(document, where), where, decision, snapshot)
    spec = injected(plan.spec, plan.stage, snapshot.facilities.installation)
    return {**document, "metadata": labelled(mapping(document.get("metadata"))), "spec": spec}


_NO_IMAGE = Objection(
    "Weighmaster does not know its own image, which has to download it; whoever runs it has to set"
    " --image of the webhook"
)
_OTHERWISE = Objection(f"what its servers would load then is not certain to be the same; {INSTEAD}")
