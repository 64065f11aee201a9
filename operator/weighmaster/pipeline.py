"""The pipeline: the only place that chains detect, evaluate, decide and respond.

Admission, audit and the command line all come through here, so they cannot disagree.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, structs

from weighmaster.core.decide import Decision, decide
from weighmaster.core.detect import detect
from weighmaster.core.enforce import (
    AWAITING,
    Form,
    Occasion,
    Weighing,
    enforce,
    hold,
    is_fixed,
    require_form,
)
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.enforce.guard import REACHING, harden_debuggers, objection, unfounded
from weighmaster.core.enforce.verification import LABEL as VERIFIED_LABEL
from weighmaster.core.enforce.verification.keeping import protect_from_debuggers, weakening
from weighmaster.core.evaluate import evaluate, too_costly
from weighmaster.core.evaluate.selectors import Labels
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.evaluate.subject import Workload
from weighmaster.core.patch import difference
from weighmaster.core.reasons import Reason
from weighmaster.core.request import AdmissionRequest, Document, Operation, Stage
from weighmaster.core.respond import ALLOWED, Leniency, Response, mark, mutate, refuse, validate
from weighmaster.core.values import Action, ModelUse, Outcome

MAX_USES = 256
"""Model uses in one object; each is evaluated against every rule that matches it."""

MAX_ROUNDS = 4
"""How often an object may be enforced anew; one that never settles is refused in the end."""

__all__ = ["AdmissionRequest", "Operation", "Review", "Stage", "describe", "review"]


class Review(Struct, frozen=True):
    """A response, and the decision behind it where there is one.

    ``document`` is the object as it is once the response is carried out. ``pending`` names the
    references whose evidence could change the decision once it is gathered, ``awaited`` those
    among them for which it is worth to wait with the answer.
    """

    response: Response
    decision: Decision | None = None
    pending: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    document: Document | None = None


_ALLOWED = Review(ALLOWED)


def review(request: AdmissionRequest, snapshot: Snapshot, now: datetime) -> Review:
    """The answer to an admission request at a moment."""
    if request.operation is Operation.CONNECT and not _reaches(request):
        asked = f"CONNECT to {request.resource}/{request.subresource}"
        return Review(refuse(Reason.UNSUPPORTED_REQUEST, f"{asked} is not for this webhook"))
    if request.stage is Stage.VALIDATE and (refusal := _undoing(request, snapshot)):
        return Review(refusal)
    if request.operation in (Operation.DELETE, Operation.CONNECT):
        return _ALLOWED
    document = protect_from_debuggers(request, harden_debuggers(request, snapshot.facilities))
    if document is None:
        return Review(refuse(Reason.MALFORMED_REQUEST, "the request has no object", 400))
    uses = detect(document)
    if not uses:
        return _unmarked(request, document)
    old = request.old_document if request.operation is Operation.UPDATE else None
    workload = describe(document, request.namespace, request.name, old)
    problem = _too_much(workload, uses, snapshot)
    if problem is not None:
        if old is not None and detect(old) == uses:
            return Review(Response(allowed=True, reasons=(Reason.TOO_MANY_MODEL_USES,)))
        return Review(refuse(Reason.TOO_MANY_MODEL_USES, problem))
    decision = decide(workload, uses, evaluate(workload, uses, snapshot, now))
    final = request.stage is Stage.VALIDATE
    occasion = Occasion(document=document, old=old, final=final, now=now)
    form = enforce(occasion, decision, snapshot)
    if not final:
        return _mutated(request, occasion, form, snapshot)
    pending = awaits(form.decision) if request.gathering else ()
    existing = _existed(occasion, uses)
    decision = form.decision if existing else require_form(document, form, snapshot)
    leniency = None
    if decision.action >= Action.SANDBOX:
        if existing:
            leniency = Leniency.EXISTING
        elif pending and _may_wait(decision, document):
            leniency = Leniency.PENDING
    awaited = awaits(decision, outcome=Outcome.ERROR) if pending else ()
    response = validate(decision, leniency, form.profile)
    if response.allowed and (refusal := _unfounded(request, document, form.profile)):
        return Review(refusal)
    return Review(response, decision, pending, awaited, document)


def _mutated(
    request: AdmissionRequest, occasion: Occasion, form: Form, snapshot: Snapshot
) -> Review:
    """The answer of the mutating stage."""
    if occasion.old is not None and form.decision.workload.gvk == "Pod":
        # The spec of a pod cannot change any more once it exists.
        decision = form.decision
        if not _existed(occasion, decision.uses):
            decision = require_form(occasion.document, form, snapshot)
        form = structs.replace(form, document=occasion.document, decision=decision)
    else:
        form = _settled(form, occasion, snapshot)
    decision = form.decision
    pending = (*awaits(decision), *form.awaits) if request.gathering else ()
    response = mutate(decision, request.document or occasion.document, form.document)
    made = mark(decision, form.document)
    if not pending or decision.action is Action.SANDBOX:  # nobody lets a pod out again
        return Review(response, decision, pending, pending, made)
    # Only what has to be written is waited for here.
    awaited = awaits(decision, Reason.PIN_PENDING)
    if decision.workload.gvk == "Pod":
        awaited += awaits(decision, Reason.VERIFICATION_PENDING)
    awaited = tuple(dict.fromkeys((*awaited, *form.awaits)))
    return Review(response, decision, pending, awaited, made)


def _existed(occasion: Occasion, uses: tuple[ModelUse, ...]) -> bool:
    """Whether an update leaves all model uses as they were."""
    old = occasion.old
    return (
        old is not None
        and detect(old) == uses
        and _pod_images(old) == _pod_images(occasion.document)
    )


def _settled(form: Form, occasion: Occasion, snapshot: Snapshot) -> Form:
    """The form that is its own form, as the validating stage will look at it.

    What one step of enforcement changes, another takes into account: who servers run as in a
    sandbox, or at which number a container stands.
    """
    for _ in range(MAX_ROUNDS):
        document, workload = form.document, form.decision.workload
        if document is occasion.document or document == occasion.document:
            break
        uses = detect(document)
        decision = decide(workload, uses, evaluate(workload, uses, snapshot, occasion.now))
        occasion = structs.replace(occasion, document=document)
        form = enforce(occasion, decision, snapshot)
    return form


def _undoing(request: AdmissionRequest, snapshot: Snapshot) -> Response | None:
    """The refusal of a request that would undo what was enforced before; None for any other."""
    if (problem := objection(request, snapshot.facilities)) is not None:
        return refuse(Reason.SANDBOX_PROTECTED, problem)
    if (problem := weakening(request)) is not None:
        return refuse(Reason.VERIFICATION_PROTECTED, problem)
    return None


def _unfounded(request: AdmissionRequest, document: Document, profile: str = "") -> Response | None:
    """The refusal of a new pod that pretends to be in a sandbox; None for any other."""
    problem = unfounded(request, document, profile)
    return refuse(Reason.SANDBOX_PROTECTED, problem) if problem is not None else None


def _reaches(request: AdmissionRequest) -> bool:
    return request.resource == "pods" and request.subresource in REACHING


def _unmarked(request: AdmissionRequest, document: Document) -> Review:
    """The answer about an object that uses no model: nothing is written on it."""
    if request.stage is Stage.VALIDATE and (refusal := _unfounded(request, document)):
        return Review(refusal)
    if request.stage is Stage.VALIDATE or request.document is None:
        return Review(ALLOWED, document=document)
    patch = difference(request.document, document)
    return Review(Response(allowed=True, patch=patch) if patch else ALLOWED, document=document)


def audit(
    workload: Workload,
    uses: tuple[ModelUse, ...],
    snapshot: Snapshot,
    now: datetime,
    weighing: Weighing | None = None,
) -> Decision | None:
    """The decision on a pod that is there already, by the model uses detected in it.

    It is about rules only, not about form: that was enforced when the pod was made, and cannot
    be given to one that runs. Where a rule holds for bytes that are verified before start, it is
    about what was verified then, which is ``weighing``. None when the pod has more models than may
    be judged at once.
    """
    if _too_much(workload, uses, snapshot) is not None:
        return None
    decision = decide(workload, uses, evaluate(workload, uses, snapshot, now))
    return hold(decision, weighing, snapshot)


def awaits(
    decision: Decision, reason: Reason | None = None, outcome: Outcome | None = None
) -> tuple[str, ...]:
    """References whose evidence findings wait for: all of them, or those of one kind."""
    return tuple(
        dict.fromkeys(
            finding.awaits
            for finding in decision.findings
            if finding.awaits is not None
            and reason in (None, finding.reason)
            and outcome in (None, finding.outcome)
        )
    )


def _may_wait(decision: Decision, document: Document) -> bool:
    """Whether all that would refuse an object comes right by itself once evidence is there.

    A pod is what waits, and what cannot be changed later would never be pinned.
    """
    if decision.workload.gvk == "Pod":
        return False
    against = [finding for finding in decision.against if finding.action >= Action.SANDBOX]
    fixed = is_fixed(document)
    return all(
        finding.awaits is not None
        and (
            finding.outcome is Outcome.ERROR or (finding.reason is Reason.PIN_PENDING and not fixed)
        )
        for finding in against
    )


def _too_much(workload: Workload, uses: Sequence[ModelUse], snapshot: Snapshot) -> str | None:
    """Why an object has more models than may be judged at once; None when it has not."""
    if len(uses) > MAX_USES and snapshot.applicable(workload.namespace):
        return f"{len(uses)} models in one object, {MAX_USES} is the limit; split it up"
    if too_costly(workload, uses, snapshot):
        return (
            f"{len(uses)} models in one object are too many for the policies here; split it up, or"
            " simplify the expressions and globs of the policies"
        )
    return None


def describe(document: Document, namespace: str, name: str, old: Document | None) -> Workload:
    """The workload that an object is. Whatever is wrongly typed in it is left out."""
    metadata = _mapping(document.get("metadata"))
    group, slash, _ = _text(document.get("apiVersion")).partition("/")
    spec = _mapping(document.get("spec"))
    job = _mapping(_mapping(spec.get("jobTemplate")).get("spec"))
    carriers = [document, *filter(None, (_mapping(part.get("template")) for part in (spec, job)))]
    if old is not None:
        carriers.append(old)
    return Workload(
        group=group if slash else "",
        kind=_text(document.get("kind")),
        namespace=namespace,
        name=_text(metadata.get("name")) or _text(metadata.get("generateName")) or name,
        label_sets=tuple(
            _labels(_mapping(carrier.get("metadata")).get("labels")) for carrier in carriers
        ),
    )


def _pod_images(document: Document) -> list[object]:
    """The images of a Pod: what may change in a running one, and brings other weights with it."""
    if document.get("kind") != "Pod" or document.get("apiVersion") != "v1":
        return []
    spec = _mapping(document.get("spec"))
    lists = [spec.get(name) for name in ("initContainers", "containers")]
    return [
        [_mapping(container).get("image") for container in containers]
        for containers in lists
        if isinstance(containers, list)
    ]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _labels(value: object) -> Labels:
    """Labels that selectors may match: not our own, or what we set would change what we decide."""
    return {
        key: label
        for key, label in _mapping(value).items()
        if isinstance(label, str) and key not in (SANDBOX_LABEL, AWAITING, VERIFIED_LABEL)
    }
