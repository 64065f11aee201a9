"""The status that a resource of ours should have. Pure: what it needs is handed in."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from weighmaster.api.v1alpha1 import (
    ClusterModelPolicy,
    ModelException,
    ModelPolicy,
    ModelPublisher,
)
from weighmaster.core.evaluate.exceptions import compile_exception
from weighmaster.core.evaluate.policies import compile_policy
from weighmaster.core.evaluate.snapshot import read_publisher
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.records.authorities import asked_for
from weighmaster.records.published import NOTHING, Published

Stored = Mapping[str, Any]

MAX_WARNINGS = 32
MAX_TEXT = 1024
"""What the definitions allow. A status over it is refused whole, and nobody would see any of it."""


class Surroundings(Struct, frozen=True):
    """What else exists: names of publishers and sandbox profiles."""

    publishers: frozenset[str]
    sandbox_profiles: frozenset[str]
    now: datetime
    omitted: frozenset[str] = frozenset()
    """What policies ask for that no record says anything of."""


class Finding(Struct, frozen=True):
    """Whether a resource is in use, why, and what is probably not meant."""

    ready: bool
    reason: str
    message: str
    warnings: tuple[str, ...] = ()


def policy(stored: Stored, around: Surroundings) -> Finding:
    """The state of a ClusterModelPolicy or ModelPolicy."""
    compiled = compile_policy(stored)
    if compiled.problem:
        return Finding(
            ready=False,
            reason="Unusable",
            message=(
                f"this version cannot use the policy: {compiled.problem}. It fails closed for"
                f" everything it may match, by its action {compiled.action.label}."
            ),
        )
    warnings = list(compiled.warnings)
    warnings += [
        f'there is no ModelPublisher "{name}": rules that allow it match nothing of it, rules that'
        " deny it cannot be decided"
        for name in sorted(compiled.publishers - around.publishers)
    ]
    profile = compiled.sandbox_profile
    if profile and profile not in around.sandbox_profiles:
        warnings.append(f'there is no SandboxProfile "{profile}"')
    if crowded := len(asked_for(stored) & around.omitted):
        return Finding(
            ready=False,
            reason="AuthoritiesOmitted",
            message=(
                f"{crowded} of its authorities are not looked for: all policies together name more"
                " than a record holds. What only these signed or attested is refused; take out"
                " those that are not needed."
            ),
            warnings=tuple(warnings),
        )
    rules = len(compiled.rules)
    return Finding(
        ready=True,
        reason="InUse",
        message=f"{rules} rule{'s' if rules != 1 else ''} in use",
        warnings=tuple(warnings),
    )


def publisher(stored: Stored, _around: Surroundings) -> Finding:
    """The state of a ModelPublisher."""
    read = read_publisher(stored)
    if read.problem:
        return Finding(
            ready=False,
            reason="Unusable",
            message=f"{read.problem}. It counts as missing.",
        )
    warnings: tuple[str, ...] = ()
    if read.jurisdiction is None:
        warnings = ("spec.jurisdiction is not given: rules about jurisdictions cannot be decided",)
    return Finding(ready=True, reason="InUse", message="in use", warnings=warnings)


def exception(stored: Stored, around: Surroundings) -> Finding:
    """The state of a ModelException."""
    approval = compile_exception(stored)
    if approval.problem or approval.expires_at is None:
        return Finding(
            ready=False, reason="Unusable", message=f"{approval.problem}. It excepts nothing."
        )
    until = approval.expires_at.isoformat()
    if around.now >= approval.expires_at:
        return Finding(
            ready=False, reason="Expired", message=f"expired at {until}; it excepts nothing"
        )
    return Finding(ready=True, reason="InUse", message=f"in use until {until}")


STATES: dict[str, Callable[[Stored, Surroundings], Finding]] = {
    ClusterModelPolicy.names.plural: policy,
    ModelPolicy.names.plural: policy,
    ModelPublisher.names.plural: publisher,
    ModelException.names.plural: exception,
}
"""How the state of each resource is found."""


def desired_status(
    resource: str, stored: Stored, around: Surroundings, published: Published | None = NOTHING
) -> dict[str, Any] | None:
    """The status to write, or None when the present one says the same already.

    ``published`` are the keys that it keeps elsewhere; None leaves them as they are. A condition's
    time only moves when its status does (Kubernetes API conventions).
    """
    found = STATES[resource](stored, around)
    generation = read_metadata(stored).generation
    present = stored.get("status") or {}
    before: dict[str, Any] = next(
        (c for c in present.get("conditions") or () if c.get("type") == "Ready"), {}
    )
    condition = {
        "type": "Ready",
        "status": "True" if found.ready else "False",
        "reason": found.reason,
        "message": _clip(found.message),
        "observedGeneration": generation,
    }
    since = around.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if before.get("status") == condition["status"]:
        since = before.get("lastTransitionTime", since)
    condition["lastTransitionTime"] = since
    status = {
        "observedGeneration": generation,
        "conditions": [condition],
        "warnings": _bounded((*found.warnings, *(published.problems if published else ()))),
    }
    if published is not None and (published.keys or present.get("keys")):
        status["keys"] = published.listed()
    unchanged = all((present.get(key) or []) == (value or []) for key, value in status.items())
    return None if unchanged else status


def _bounded(warnings: Sequence[str]) -> list[str]:
    shown = [_clip(warning) for warning in warnings[:MAX_WARNINGS]]
    if len(warnings) > MAX_WARNINGS:
        shown[-1] = f"and {len(warnings) - MAX_WARNINGS + 1} more"
    return shown


def _clip(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."
