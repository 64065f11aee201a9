"""Enforcement: the form that a decision asks an object to have.

    pinning ──> staging ──> verification ──> confinement

Each step takes an object and gives the object as it must be. All are idempotent: what has the form
is left as it is. So the mutating stage patches an object into its form, and the validating stage,
which sees what every other webhook has made of it, refuses one whose form is another than this.
"""

from collections.abc import Mapping

from msgspec import Struct, structs

from weighmaster.core.decide import Decision, decide
from weighmaster.core.enforce.guard import spell
from weighmaster.core.enforce.occasion import Document, Occasion
from weighmaster.core.enforce.pinning import pin
from weighmaster.core.enforce.pinning.marks import AWAITING, waits_for
from weighmaster.core.enforce.pinning.owners import is_fixed
from weighmaster.core.enforce.sandbox import Objection, objecting, sandbox
from weighmaster.core.enforce.staging import Objection as Unstaged
from weighmaster.core.enforce.staging import staging
from weighmaster.core.enforce.verification import verification
from weighmaster.core.enforce.verification.holding import Lapse, lapses
from weighmaster.core.enforce.verification.weighing import Weighing
from weighmaster.core.evaluate import Finding
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.patch import difference
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action, Outcome

__all__ = [
    "AWAITING",
    "Document",
    "Form",
    "Occasion",
    "Weighing",
    "enforce",
    "hold",
    "is_fixed",
    "require_form",
    "waits_for",
]

MAX_FIELDS = 5
"""Fields that are named when an object lacks its form; the rest are counted."""


class _Change(Struct, frozen=True):
    """What becomes of a finding that would hold if its bytes were verified."""

    reason: Reason
    message: str
    outcome: Outcome = Outcome.FAIL
    action: Action | None = None
    """What it asks for whatever its policy says."""

    awaits: str | None = None


class Form(Struct, frozen=True):
    """An object as it must be to be admitted, and the decision once that is known.

    ``profile`` is the sandbox that the decision asks for, empty where it asks for none.
    ``awaits`` names references whose evidence would change the form and not the decision.
    """

    document: Document
    decision: Decision
    profile: str = ""
    awaits: tuple[str, ...] = ()


def enforce(occasion: Occasion, decision: Decision, snapshot: Snapshot) -> Form:
    """The form of an object under a decision."""
    pinned = pin(occasion, decision, snapshot)
    staged = staging(pinned.document, pinned.decision, snapshot, occasion.now)
    decision = _unstaged(staged.decision, staged.objections, snapshot)
    verified = verification(staged.document, decision, snapshot)
    decision = _without(decision, verified.objections, snapshot)
    if decision.action is not Action.SANDBOX:
        return Form(verified.document, decision, awaits=pinned.awaits)
    if isolated := _isolated(decision):
        return Form(verified.document, _changed(decision, isolated, snapshot))
    made = sandbox(verified.document, decision, snapshot, verified.container)
    findings = objecting(decision, made.objections)
    return Form(made.document, _with(decision, findings), made.profile, pinned.awaits)


def require_form(document: Document, form: Form, snapshot: Snapshot) -> Decision:
    """The decision on an object that nobody will patch any more: it denies one without its form."""
    lacking = [spell(change) for change in difference(document, form.document)]
    if not lacking or form.decision.action is Action.DENY:
        return form.decision
    fields = "; ".join(lacking[:MAX_FIELDS])
    more = f"; and {len(lacking) - MAX_FIELDS} more" if len(lacking) > MAX_FIELDS else ""
    if form.decision.action is not Action.SANDBOX:
        return _unverified(form.decision, f"{fields}{more}", snapshot)
    message = (
        f'the pod is not confined as the SandboxProfile "{form.profile}" wants it: {fields}{more};'
        " look for another webhook that changes pods"
    )
    objections = (Objection(Reason.SANDBOX_INCOMPLETE, message),)
    return _with(form.decision, objecting(form.decision, objections))


def hold(decision: Decision, weighing: Weighing | None, snapshot: Snapshot) -> Decision:
    """The decision on a pod that runs, by what was verified in it before its servers started."""
    found = lapses(decision, weighing, snapshot)
    return _changed(decision, {number: _lapsed(lapse) for number, lapse in found.items()}, snapshot)


def _lapsed(lapse: Lapse) -> _Change:
    if lapse.withdrawn:
        return _Change(Reason.NOT_SIGNED, lapse.message)
    return _Change(Reason.VERIFICATION_INCOMPLETE, lapse.message, Outcome.ERROR)


def _with(decision: Decision, findings: list[Finding]) -> Decision:
    if not findings:
        return decision
    return decide(decision.workload, decision.uses, (*decision.findings, *findings))


def _unverified(decision: Decision, lacking: str, snapshot: Snapshot) -> Decision:
    """The decision on a pod in which something else stands where its bytes are verified."""
    message = (
        f"would not be verified before start as it has to be: {lacking}; look for another webhook"
        " that changes pods, or create the pod again if its evidence has only just arrived"
    )
    change = _Change(Reason.VERIFICATION_INCOMPLETE, message)
    demanding = [n for n, finding in enumerate(decision.findings) if finding.demand is not None]
    return _changed(decision, dict.fromkeys(demanding, change), snapshot)


def _without(decision: Decision, objections: Mapping[int, str], snapshot: Snapshot) -> Decision:
    """The decision once it is known which findings do not hold, since nothing can verify them."""
    changes = {
        number: _Change(Reason.NOT_VERIFIABLE, f"cannot be verified before start: {why}")
        for number, why in objections.items()
    }
    return _changed(decision, changes, snapshot)


def _unstaged(
    decision: Decision, objections: Mapping[int, Unstaged], snapshot: Snapshot
) -> Decision:
    """The decision once it is known which findings do not hold, since nothing can be staged.

    What waits for evidence of another model of the pod comes right by itself.
    """
    changes = {}
    for number, why in objections.items():
        message = f"cannot be downloaded for its server: {why.message}"
        change = _Change(Reason.NOT_STAGEABLE, message)
        if why.awaits is not None:
            change = _Change(Reason.VERIFICATION_PENDING, message, Outcome.ERROR, None, why.awaits)
        changes[number] = change
    return _changed(decision, changes, snapshot)


def _isolated(decision: Decision) -> Mapping[int, _Change]:
    """What becomes of findings that hold if something is downloaded, in a pod without a network."""
    message = (
        "would be downloaded for its server, but may only run in a sandbox, which has no way out to"
        " a hub; fetch it to a volume by a Job of its own, and give the server its path"
    )
    change = _Change(Reason.NOT_STAGEABLE, message, action=Action.DENY)
    return {
        number: change
        for number, finding in enumerate(decision.findings)
        if finding.demand is not None and finding.demand.staged
    }


def _changed(decision: Decision, changes: Mapping[int, _Change], snapshot: Snapshot) -> Decision:
    """The decision with some of its findings, by number, changed."""
    if not changes:
        return decision
    policies = {
        policy.key: policy for policy, _ in snapshot.applicable(decision.workload.namespace)
    }
    findings = list(decision.findings)
    for number, change in changes.items():
        policy = policies.get(findings[number].policy)
        failed = change.outcome is Outcome.FAIL
        action = Action.DENY
        if policy is not None:
            action = policy.action if failed else policy.on_unknown
        action = change.action or action
        findings[number] = structs.replace(
            findings[number],
            outcome=change.outcome,
            reason=change.reason,
            message=change.message,
            action=action,
            awaits=change.awaits,
            demand=None,
        )
    return decide(decision.workload, decision.uses, findings)
