"""The status of a record as it is written: a merge patch (RFC 7386), with its conditions."""

from datetime import datetime
from typing import Any

import msgspec

from weighmaster.api.v1alpha1.record import EvidenceState, ModelRecordStatus
from weighmaster.cluster.client import Json
from weighmaster.records.held import Held

MATERIAL = "KeyMaterial"
"""Condition that says by which key material signatures were looked for."""


def status_patch(
    status: ModelRecordStatus, held: Held, material: str, now: datetime
) -> dict[str, Any]:
    """The status as a merge patch: what it does not say any more is removed."""
    resolved = status.state is EvidenceState.RESOLVED
    ready = {
        "type": "Ready",
        "status": "True" if resolved else "False",
        "reason": status.state.value if status.state else "Pending",
        "message": "evidence gathered"
        if resolved or not status.failures
        else status.failures[0].message,
    }
    checked = {
        "type": MATERIAL,
        "status": "True" if resolved else "Unknown",
        "reason": "Read" if resolved else "NotResolved",
        "message": material_note(material),
    }
    stored = held.stored.get("status") or {}
    before = {each.get("type"): each for each in stored.get("conditions") or ()}
    patch: dict[str, Any] = dict.fromkeys(stored)  # null, in a merge patch, removes
    made: dict[str, Any] = msgspec.to_builtins(status)
    patch |= {key: _without_none(value) for key, value in made.items()}
    patch["conditions"] = [
        {
            **condition,
            "observedGeneration": held.metadata.generation,
            "lastTransitionTime": _since(condition, before.get(condition["type"]), now),
        }
        for condition in (ready, checked)
    ]
    patch["observedGeneration"] = held.metadata.generation
    return patch


def _since(condition: Json, before: Json | None, now: datetime) -> str:
    if before and before.get("status") == condition["status"] and before.get("lastTransitionTime"):
        return str(before["lastTransitionTime"])
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def material_note(material: str) -> str:
    """What the condition says; a keeper that starts compares it with what there is now."""
    return f"signatures were looked for with key material {material or 'written in policies'}"


def _without_none(value: Any) -> Any:
    """Lists replace lists in a merge patch, and their members may hold no null."""
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
