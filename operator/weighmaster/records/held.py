"""Stored ModelRecords as the keeper works on them, and the lineage among them."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import date

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.meta import ObjectMeta
from weighmaster.api.v1alpha1.record import ModelRecordSpec, ModelRecordStatus
from weighmaster.cluster.client import Json
from weighmaster.core.evaluate.lineage import MAX_ANCESTORS
from weighmaster.core.evaluate.records import (
    LAST_USED,
    LINEAGE_DEPTH,
    MANAGED_BY,
    is_gathered,
    read_reference,
    record_key,
)
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.hub_urls import repository_of
from weighmaster.core.values import ModelReference


class Held(Struct, frozen=True):
    """A stored ModelRecord. ``status`` is None when it cannot be read."""

    stored: Json
    metadata: ObjectMeta
    spec: ModelRecordSpec
    reference: ModelReference
    status: ModelRecordStatus | None

    @property
    def key(self) -> str:
        """What decisions look it up by."""
        return record_key(self.reference, self.spec.namespace or "")

    @property
    def base_models(self) -> list[str]:
        """Keys of the models that it was made from and that something can be found out about."""
        named = self.status.base_models if self.status else []
        parsed = [read_reference(text) for text in named]
        meant = [repository_of(reference) or reference for reference in parsed]
        return [record_key(reference) for reference in meant if is_gathered(reference)]

    @property
    def names_bytes(self) -> bool:
        """Whether its reference is a digest, so that all that was ever found is about one content.

        Then what was attested of it may be taken away while it stays, unlike in a commit.
        """
        return self.reference.pinned and (self.reference.revision or "").startswith("sha256:")

    @property
    def managed(self) -> bool:
        """Whether Weighmaster made it."""
        return self.metadata.labels.get(MANAGED_BY[0]) == MANAGED_BY[1]

    @property
    def last_used(self) -> str:
        """The day on which it was last used in a decision, or made: ``YYYY-MM-DD`` or empty."""
        noted = self.metadata.annotations.get(LAST_USED, "")
        created = self.metadata.creation_timestamp
        return _day(noted) or (created.date().isoformat() if created else "")

    @property
    def is_root(self) -> bool:
        """Whether it is there for its own sake, and not only for what was made from its model."""
        annotations = self.metadata.annotations
        return LINEAGE_DEPTH not in annotations or LAST_USED in annotations or not self.managed

    def is_unused(self, oldest: str) -> bool:
        """Whether Weighmaster made it and no decision has used it since a day."""
        return self.managed and bool(self.last_used) and self.last_used < oldest


def hold(stored: Json) -> Held | None:
    """A stored record; None when its spec cannot be read, so that there is nothing to work on."""
    try:
        spec = msgspec.convert(stored.get("spec"), ModelRecordSpec)
    except msgspec.ValidationError:
        return None
    status: ModelRecordStatus | None
    try:
        status = msgspec.convert(stored.get("status") or {}, ModelRecordStatus)
    except msgspec.ValidationError:
        status = None
    return Held(stored, read_metadata(stored), spec, read_reference(spec.reference), status)


def missing_ancestors(records: Iterable[Held]) -> dict[str, int]:
    """References in the lineage of records that have no record, and how far up they are.

    No more of one lineage than a decision looks at: cards may name anything.
    """
    by_key = _by_key(records)
    found: dict[str, int] = {}
    for root in by_key.values():
        if root.is_root:
            for key, depth in _ancestors(root, by_key):
                if key not in by_key:
                    found[key] = min(depth, found.get(key, depth))
    return found


def unused(records: Iterable[Held], oldest: str) -> list[Held]:
    """Records that nobody has used since a day and that are in no lineage of another's."""
    by_key = _by_key(records := list(records))
    idle = [held for held in records if held.is_unused(oldest)]
    idle_names = {held.metadata.name for held in idle}
    needed = {
        key
        for held in by_key.values()
        if held.metadata.name not in idle_names
        for key, _ in _ancestors(held, by_key)
    }
    return [held for held in idle if held.key not in needed]


def _ancestors(root: Held, by_key: Mapping[str, Held]) -> Iterator[tuple[str, int]]:
    """Ancestors with their distance, nearest first, each once and at most MAX_ANCESTORS."""
    seen = {root.key}
    waiting = deque([(root, 1)])
    while waiting:
        held, depth = waiting.popleft()
        for key in held.base_models:
            if key in seen:
                continue
            if len(seen) >= MAX_ANCESTORS:
                return
            seen.add(key)
            yield key, depth
            if key in by_key:
                waiting.append((by_key[key], depth + 1))


def _by_key(records: Iterable[Held]) -> dict[str, Held]:
    return {held.key: held for held in records}


def _day(text: str) -> str:
    """A day as it is noted; empty for anything else, which whoever may annotate could write."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""
