"""A view of what policies and publishers ask of records, as of one moment."""

from collections.abc import Iterable, Iterator

import msgspec

from weighmaster.api.v1alpha1.rules import Lineage
from weighmaster.cluster.client import Json
from weighmaster.core.assess import MAX_AUTHORITIES
from weighmaster.core.attestations import MAX_DEMANDS
from weighmaster.core.evaluate.policies import read_spec
from weighmaster.core.evaluate.snapshot import Publisher, Snapshot, read_publisher
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.globs import aliases
from weighmaster.core.statements import Belonging
from weighmaster.core.values import ModelReference
from weighmaster.records.authorities import (
    Demanded,
    Named,
    demanded_attestations,
    named_identities,
    omitted,
)


class View:
    """Whose signatures and attestations are looked for of which reference; if lineage matters.

    A record is looked through for the identities that policies name and for those of its own
    publishers, which are all that a rule can ask for. However many publishers there are, a record
    says no more than it must.
    """

    def __init__(self, policies: Iterable[Json], publishers: Iterable[Json]) -> None:
        self._policies = list(policies)
        self._publishers = {read_metadata(stored).name: stored for stored in publishers}
        read = [read_publisher(stored) for stored in self._publishers.values()]
        self._index = Snapshot(publishers=read).publishers
        self.omitted = omitted(self._policies, [])
        """What policies ask for that no record says anything of."""
        self._omitted: dict[tuple[str, ...], int] = {}
        self._named: dict[tuple[str, ...], tuple[Named, ...]] = {}
        self._demanded: dict[tuple[str, ...], tuple[Demanded, ...]] = {}
        self.lineage = asks_for_lineage(self._policies)

    def named(self, reference: ModelReference) -> tuple[Named, ...]:
        """The identities whose signatures are looked for."""
        names = self._owner_names(reference)
        if names not in self._named:
            found = named_identities(self._policies, self._stored(names))
            self._named[names] = tuple(found[:MAX_AUTHORITIES])
        return self._named[names]

    def looked_for(self, reference: ModelReference) -> Iterator[Named]:
        """All identities that signatures or attestations are looked for of."""
        yield from self.named(reference)
        for demanded in self.demanded(reference):
            yield demanded.by

    def demanded(self, reference: ModelReference) -> tuple[Demanded, ...]:
        """The attestations that are looked for."""
        names = self._owner_names(reference)
        if names not in self._demanded:
            found = demanded_attestations(self._policies, self._stored(names))
            self._demanded[names] = tuple(found[:MAX_DEMANDS])
        return self._demanded[names]

    def omitted_for(self, reference: ModelReference) -> int:
        """How many signers and attestations are asked for beyond what a record holds."""
        names = self._owner_names(reference)
        if names not in self._omitted:
            self._omitted[names] = len(omitted(self._policies, self._stored(names)))
        return self._omitted[names]

    def belonging(self, reference: ModelReference) -> Belonging:
        """Whose namespace a reference lies in; the first by name where there are several."""
        owner = next(iter(self._owners(reference)), None)
        return Belonging(owner.name, owner.jurisdiction) if owner else Belonging()

    def _owner_names(self, reference: ModelReference) -> tuple[str, ...]:
        return tuple(owner.name for owner in self._owners(reference))

    def _stored(self, names: Iterable[str]) -> list[Json]:
        return [self._publishers[name] for name in names]

    def _owners(self, reference: ModelReference) -> list[Publisher]:
        found = {owner for alias in aliases(reference) for owner in self._index.owners(alias)}
        return sorted(found, key=lambda publisher: publisher.name)


def asks_for_lineage(policies: Iterable[Json]) -> bool:
    """Whether any usable policy has an origin rule that includes lineage."""
    for stored in policies:
        try:
            rules = read_spec(stored).rules
        except msgspec.ValidationError:
            continue
        if any(rule.origin and rule.origin.lineage is Lineage.INCLUDE for rule in rules):
            return True
    return False
