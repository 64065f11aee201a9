"""References pinned to something made up, for tests that do not ask a hub."""

from datetime import UTC, datetime
from hashlib import sha1, sha256
from typing import Any

from weighmaster.api.v1alpha1.record import EvidenceState, ModelRecordStatus
from weighmaster.core.detect import detect
from weighmaster.core.enforce.pinning.rewriting import Rewritten, rewrite
from weighmaster.core.enforce.pinning.targets import resolve
from weighmaster.core.evaluate.records import Record, record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import ModelReference

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def resolved(reference: ModelReference) -> str:
    """What a reference stands for: as good an answer as any, always the same."""
    if reference.scheme == "hf":
        return f"{reference.location}@{sha1(reference.canonical.encode()).hexdigest()}"
    return f"{reference.location}@sha256:{sha256(reference.canonical.encode()).hexdigest()}"


def targets(document: Any) -> dict[int, ModelReference]:
    """A target for every use of an object that can move and has a form of its own."""
    found = {}
    for index, use in enumerate(detect(document)):
        key = record_key(use.reference)
        status = ModelRecordStatus(state=EvidenceState.RESOLVED, resolved=resolved(use.reference))
        snapshot = Snapshot(records=[Record(name="r", reference=key, status=status)])
        pinned = resolve(use, snapshot, NOW).pinned
        if pinned is not None and not use.reference.pinned:
            found[index] = pinned
    return found


def rewritten(document: Any) -> tuple[Rewritten, dict[int, ModelReference]]:
    """The object with all that can move pinned, and what was to be written."""
    wanted = targets(document)
    return rewrite(document, detect(document), wanted), wanted
