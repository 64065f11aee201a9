"""The status of a record as it is written: a merge patch (RFC 7386), with its conditions."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.record import EvidenceState, ModelRecordStatus
from weighmaster.cluster.client import Json
from weighmaster.core.evidence import GapReason, UnavailableReason
from weighmaster.records.held import Held

MATERIAL = "KeyMaterial"
"""Condition that says by which key material signatures were looked for."""


CREDENTIALS = "Credentials"
"""Condition that says with whose credentials it was tried to gather."""

SIGNATURE = "DetachedSignature"
"""Condition that says which detached signature was looked at."""


class MadeWith(Struct, frozen=True):
    """What a status was made with, so that it can be told when that changes."""

    material: str = ""
    credentials: str = ""
    signature: str = ""


def status_patch(
    status: ModelRecordStatus, held: Held, made_with: MadeWith, now: datetime
) -> dict[str, Any]:
    """The status as a merge patch: what it does not say any more is removed.

    What verification before start has found is not gathered, and left as it is.
    """
    stored = held.stored.get("status") or {}
    before = {each.get("type"): each for each in stored.get("conditions") or ()}
    patch: dict[str, Any] = dict.fromkeys(stored)  # null, in a merge patch, removes
    made: dict[str, Any] = msgspec.to_builtins(status)
    patch |= {key: _without_none(value) for key, value in made.items()}
    patch.pop("content", None)
    patch["conditions"] = [
        {
            **condition,
            "observedGeneration": held.metadata.generation,
            "lastTransitionTime": _since(condition, before.get(condition["type"]), now),
        }
        for condition in _conditions(status, made_with)
    ]
    patch["observedGeneration"] = held.metadata.generation
    return patch


def _conditions(status: ModelRecordStatus, made_with: MadeWith) -> Iterator[Json]:
    resolved = status.state is EvidenceState.RESOLVED
    asserted = status.state is EvidenceState.ASSERTED
    told = "what people assert is all there is" if asserted else "evidence gathered"
    failures = [failure.message for failure in status.failures]
    yield {
        "type": "Ready",
        "status": "True" if resolved or asserted else "False",
        "reason": status.state.value if status.state else "Pending",
        "message": told if resolved or asserted or not failures else failures[0],
    }
    if not asserted:
        yield {
            "type": MATERIAL,
            "status": "True" if resolved else "Unknown",
            "reason": "Read" if resolved else "NotResolved",
            "message": material_note(made_with.material),
        }
    if made_with.credentials:
        refused = not resolved and status.failures[:1] and status.failures[0].reason in _REFUSED
        yield {
            "type": CREDENTIALS,
            "status": "False" if refused else "True",
            "reason": "Unusable" if refused else "Read",
            "message": credentials_note(made_with.credentials),
        }
    if made_with.signature:
        unread = any(failure.reason == GapReason.SIGNATURE_NOT_READ for failure in status.failures)
        yield {
            "type": SIGNATURE,
            "status": "False" if unread else "True",
            "reason": "Unusable" if unread else "Read",
            "message": signature_note(made_with.signature),
        }


_REFUSED = (UnavailableReason.CREDENTIALS_MISSING, UnavailableReason.CREDENTIALS_UNUSABLE)


def _since(condition: Json, before: Json | None, now: datetime) -> str:
    if before and before.get("status") == condition["status"] and before.get("lastTransitionTime"):
        return str(before["lastTransitionTime"])
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def material_note(material: str) -> str:
    """What the condition says; a keeper that starts compares it with what there is now."""
    return f"signatures were looked for with key material {material or 'written in policies'}"


def credentials_note(note: str) -> str:
    """What the condition says of the credentials there are; empty where there are none."""
    return f"gathered with credentials in {note}" if note else ""


def signature_note(note: str) -> str:
    """What the condition says of the detached signature there is; empty where there is none."""
    return f"verified with the signature in {note}" if note else ""


def _without_none(value: Any) -> Any:
    """Lists replace lists in a merge patch, and their members may hold no null."""
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
