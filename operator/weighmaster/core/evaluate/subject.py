"""What a rule looks at: one model use of one workload, with what the snapshot knows about it."""

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from weighmaster.core.evaluate.records import Record, record_key
from weighmaster.core.evaluate.selectors import Labels
from weighmaster.core.formats import format_of
from weighmaster.core.globs import aliases, spellings, wide_spellings
from weighmaster.core.hub_urls import repository_of
from weighmaster.core.revisions import PROPOSAL_SCHEMES, Standing, standing_by_name

if TYPE_CHECKING:
    import cel

    from weighmaster.core.evaluate.snapshot import Publisher, Snapshot
    from weighmaster.core.values import ModelReference, ModelUse

_PLACED = frozenset({"image-embedded", "default", "ref"})
"""Schemes of weights that are not named but have a place: an image, a runtime, another object."""


class Workload(Struct, frozen=True):
    """The object that uses models.

    ``namespace`` is empty for cluster-scoped objects. ``label_sets`` holds the labels of the
    object, of its pod templates and of its former self, any of which a selector may match.
    """

    group: str
    kind: str
    namespace: str
    name: str
    label_sets: tuple[Labels, ...] = ()

    @property
    def gvk(self) -> str:
        """``group/Kind``, or ``Kind`` in the core group."""
        return f"{self.group}/{self.kind}" if self.group else self.kind


class Subject:
    """One model use under evaluation; derived facts are worked out once, when first asked for."""

    def __init__(
        self, use: "ModelUse", workload: Workload, snapshot: "Snapshot", now: datetime
    ) -> None:
        self.use = use
        self.workload = workload
        self.snapshot = snapshot
        self.now = now
        self.anonymous = not use.reference.known and use.reference.scheme not in _PLACED
        """Whether the weights could be any at all."""
        self.named_elsewhere = use.reference.scheme == "ref"
        """Whether another object names the weights."""
        self.activations: dict[object, cel.Context] = {}
        """Variables for CEL expressions, by the fields that these read."""

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """The forms of the reference that an exclusion or an exception may name."""
        return spellings(self.use.reference)

    @cached_property
    def wide_spellings(self) -> tuple[str, ...]:
        """The forms of the reference that a match may name."""
        return wide_spellings(self.use.reference)

    @cached_property
    def publishers(self) -> "tuple[Publisher, ...]":
        """The publishers in one of whose namespaces the reference lies."""
        index = self.snapshot.publishers
        owners = {owner for alias in aliases(self.use.reference) for owner in index.owners(alias)}
        return tuple(sorted(owners, key=lambda publisher: publisher.name))

    @cached_property
    def format(self) -> str | None:
        """The weight format by file name or loader setting, where these say."""
        return format_of(self.use)

    @cached_property
    def record(self) -> Record | None:
        """What has been found out about the reference, if anything has been looked for."""
        return self.snapshot.records.get(self.key)

    @cached_property
    def key(self) -> str:
        """What a record of the reference is found by."""
        return record_key(self.use.reference, self.workload.namespace)

    @property
    def standing_by_name(self) -> Standing:
        """Whose word the content is, by the name of its revision alone."""
        reference = repository_of(self.use.reference) or self.use.reference
        if reference.scheme not in PROPOSAL_SCHEMES:
            return Standing.OWN
        return standing_by_name(reference.revision)

    def of(self, reference: "ModelReference") -> "Subject":
        """The same use of another model, such as one that this one was made from."""
        use = structs.replace(self.use, reference=reference)
        return Subject(use, self.workload, self.snapshot, self.now)
