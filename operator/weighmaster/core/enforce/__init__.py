"""Enforcement: the form that a decision asks an object to have.

    pinning ──> verification ──> confinement

Each step takes an object and gives the object as it must be. All are idempotent: what has the form
is left as it is. So the mutating stage patches an object into its form, and the validating stage,
which sees what every other webhook has made of it, refuses one whose form is another than this.
"""

from msgspec import Struct

from weighmaster.core.decide import Decision, decide
from weighmaster.core.enforce.guard import spell
from weighmaster.core.enforce.occasion import Document, Occasion
from weighmaster.core.enforce.pinning import pin
from weighmaster.core.enforce.pinning.marks import AWAITING
from weighmaster.core.enforce.pinning.owners import is_fixed
from weighmaster.core.enforce.sandbox import Objection, objecting, sandbox
from weighmaster.core.evaluate import Finding
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.patch import difference
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action

__all__ = ["AWAITING", "Document", "Form", "Occasion", "enforce", "is_fixed"]

MAX_FIELDS = 5
"""Fields that are named when an object lacks its form; the rest are counted."""


class Form(Struct, frozen=True):
    """An object as it must be to be admitted, and the decision once that is known.

    ``profile`` is the sandbox that the decision asks for, empty where it asks for none.
    """

    document: Document
    decision: Decision
    profile: str = ""


def enforce(occasion: Occasion, decision: Decision, snapshot: Snapshot) -> Form:
    """The form of an object under a decision."""
    pinned = pin(occasion, decision, snapshot)
    document, decision = pinned.document, pinned.decision
    if decision.action is not Action.SANDBOX:
        return Form(document, decision)
    made = sandbox(document, decision, snapshot)
    findings = objecting(decision, made.objections)
    return Form(made.document, _with(decision, findings), made.profile)


def require_form(document: Document, form: Form) -> Decision:
    """The decision on an object that nobody will patch any more: it denies one without its form."""
    lacking = [spell(change) for change in difference(document, form.document)]
    if not lacking or form.decision.action is not Action.SANDBOX:
        return form.decision
    fields = "; ".join(lacking[:MAX_FIELDS])
    more = f"; and {len(lacking) - MAX_FIELDS} more" if len(lacking) > MAX_FIELDS else ""
    message = (
        f'the pod is not confined as the SandboxProfile "{form.profile}" wants it: {fields}{more};'
        " look for another webhook that changes pods"
    )
    objections = (Objection(Reason.SANDBOX_INCOMPLETE, message),)
    return _with(form.decision, objecting(form.decision, objections))


def _with(decision: Decision, findings: list[Finding]) -> Decision:
    if not findings:
        return decision
    return decide(decision.workload, decision.uses, (*decision.findings, *findings))
