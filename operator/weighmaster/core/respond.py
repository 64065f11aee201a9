"""Response: from a decision to what the API server, and the person behind it, are told."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from weighmaster.core.decide import Decision
from weighmaster.core.evaluate import Finding
from weighmaster.core.patch import Operation, difference
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action, Outcome

DECISION_ANNOTATION = "weighmaster.dev/decision-id"

MAX_LINES = 5
"""Findings told in full; the rest are counted."""

MAX_WARNING = 250
"""Characters; the API server may cut a warning at 256."""

MAX_ANNOTATION = 1024
MAX_REFERENCE = 512
MAX_TEXT = 1024
"""Characters of a reference or a path, and of the rest of a line."""

Document = Mapping[str, Any]


class Cause(Struct, frozen=True):
    """One finding, for programs (metav1.StatusCause)."""

    reason: str
    message: str
    field: str


class Response(Struct, frozen=True):
    """The answer to an admission request, independent of how it is sent.

    ``code`` is an HTTP status and only matters when the request is refused. ``patch`` is a JSON
    Patch (RFC 6902).
    """

    allowed: bool
    code: int = 200
    message: str = ""
    reasons: tuple[Reason, ...] = ()
    causes: tuple[Cause, ...] = ()
    warnings: tuple[str, ...] = ()
    audit_annotations: dict[str, str] = field(default_factory=dict)
    patch: tuple[Operation, ...] = ()


ALLOWED = Response(allowed=True)


def refuse(reason: Reason, message: str, code: int = 403) -> Response:
    """A refusal that no policy is behind."""
    return Response(
        allowed=False,
        code=code,
        message=f"Weighmaster: {message}",
        reasons=(reason,),
        causes=(Cause(reason, message, ""),),
        audit_annotations={"decision": Action.DENY.label, "reasons": reason},
    )


class Leniency(StrEnum):
    """Why an object is let through although a policy objects; its pods are judged as such.

    ``EXISTING``: the request changes nothing about the models that the object uses, so what it
    violates it has violated before. Otherwise nobody could remove a finalizer from what a new
    policy forbids, and a Deployment that is being mended could not scale its old ReplicaSet down.
    ``PENDING``: all that is missing is evidence that is being gathered, so that its pods can come
    up by themselves once it is there.
    """

    EXISTING = "existing"
    PENDING = "pending"


def validate(decision: Decision, leniency: Leniency | None = None, profile: str = "") -> Response:
    """The validating answer. ``profile`` is the sandbox that the object's pods run in."""
    against = decision.against
    annotations = _audit(decision)
    if not against:
        return Response(allowed=True, audit_annotations=annotations)
    reasons = tuple(dict.fromkeys(finding.reason for finding in against))
    if decision.action < Action.DENY or leniency is not None:
        told = [finding for finding in against if finding.action > Action.AUDIT]
        sandboxed = profile and decision.action is Action.SANDBOX and leniency is None
        if sandboxed:
            annotations["sandbox"] = profile
        return Response(
            allowed=True,
            reasons=reasons,
            warnings=(
                *([_sandbox_warning(decision, profile)] if sandboxed else ()),
                *_warnings(told, decision),
            ),
            audit_annotations={**annotations, leniency: "true"} if leniency else annotations,
        )
    enforced = [finding for finding in against if finding.action >= Action.SANDBOX]
    told = [finding for finding in against if finding.action is Action.WARN]
    return Response(
        allowed=False,
        code=403,
        message=_message(enforced, decision),
        reasons=reasons,
        causes=tuple(
            Cause(finding.reason, line(finding), finding.use.path)
            for finding in enforced[:MAX_LINES]
        ),
        warnings=_warnings(told, decision),
        audit_annotations=annotations,
    )


def mutate(decision: Decision, document: Document, form: Document) -> Response:
    """The mutating answer: what turns an object into the form in which it may be admitted.

    It also records the decision's id in the object's annotations.
    """
    return Response(allowed=True, patch=difference(document, mark(decision, form)))


def mark(decision: Decision, document: Document) -> Document:
    """An object with the decision's id on it."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    annotations = metadata.get("annotations")
    kept = annotations if isinstance(annotations, dict) else {}
    annotated = {**metadata, "annotations": {**kept, DECISION_ANNOTATION: decision.id}}
    return {**document, "metadata": annotated}


def _message(findings: Sequence[Finding], decision: Decision) -> str:
    lines = [line(finding) for finding in findings[:MAX_LINES]]
    if len(findings) > MAX_LINES:
        lines.append(f"and {len(findings) - MAX_LINES} more")
    head = f"{decision.workload.kind} refused (decision {decision.id})"
    return "\n".join([f"Weighmaster: {head}:", *(f"- {line}" for line in lines)])


def _sandbox_warning(decision: Decision, profile: str) -> str:
    pods = "it runs" if decision.workload.gvk == "Pod" else "its pods run"
    text = (
        f'Weighmaster: {pods} in the sandbox "{profile}", without secrets, privileges and most or'
        f" all of the network (decision {decision.id})"
    )
    return _clip(text, MAX_WARNING)


def _warnings(findings: Sequence[Finding], decision: Decision) -> tuple[str, ...]:
    lines = [_warning(finding) for finding in findings[:MAX_LINES]]
    if len(findings) > MAX_LINES:
        more = len(findings) - MAX_LINES
        lines.append(f"Weighmaster: and {more} more (decision {decision.id})")
    return tuple(_clip(line, MAX_WARNING) for line in lines)


def line(finding: Finding) -> str:
    """A finding on one line: policy, rule, model, what was found and what to do."""
    reference = _clip(finding.use.reference.canonical, MAX_REFERENCE)
    where = f'policy "{finding.policy}", rule "{finding.rule}"'
    kind = "error: " if finding.outcome is Outcome.ERROR else ""
    path, message = _clip(finding.use.path, MAX_REFERENCE), _clip(finding.message, MAX_TEXT)
    return f"{where}: {kind}{reference} ({path}) {message} [{finding.reason}]"


def _warning(finding: Finding) -> str:
    """A line that still says what matters when its end is cut off."""
    reference = _clip(finding.use.reference.canonical, MAX_WARNING // 3)
    where = f'policy "{finding.policy}", rule "{finding.rule}"'
    return f"Weighmaster: [{finding.reason}] {where}: {reference} {finding.message}"


def _audit(decision: Decision) -> dict[str, str]:
    models = " ".join(dict.fromkeys(use.reference.canonical for use in decision.uses))
    annotations = {
        "decision": decision.action.label,
        "decision-id": decision.id,
        "models": _clip(models, MAX_ANNOTATION),
    }
    if against := decision.against:
        annotations["reasons"] = ",".join(dict.fromkeys(finding.reason for finding in against))
        policies = ",".join(dict.fromkeys(str(finding.policy) for finding in against))
        annotations["policies"] = _clip(policies, MAX_ANNOTATION)
    return annotations


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
