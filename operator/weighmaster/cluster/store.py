"""The policy store: compiled policies, kept current by reflectors, given out as snapshots.

Each object is compiled once, when it changes. A snapshot is put together when the first request
after a change asks for it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from weighmaster.api import GROUP
from weighmaster.api.resource import Resource as ApiResource
from weighmaster.api.v1alpha1 import (
    VERSION,
    ClusterModelPolicy,
    ModelException,
    ModelPolicy,
    ModelPublisher,
    ModelRecord,
    SandboxProfile,
)
from weighmaster.cluster.client import ApiClient, Json
from weighmaster.cluster.reflector import ObjectKey, Reflector, Resource, object_key
from weighmaster.cluster.sandboxes import NETWORK_POLICIES, SANDBOXED_PODS, SandboxStore
from weighmaster.core.evaluate.exceptions import compile_exception
from weighmaster.core.evaluate.facilities import Cluster, Facilities
from weighmaster.core.evaluate.policies import compile_policy
from weighmaster.core.evaluate.profiles import read_profile
from weighmaster.core.evaluate.published import read_keys
from weighmaster.core.evaluate.records import read_record
from weighmaster.core.evaluate.selectors import Labels
from weighmaster.core.evaluate.snapshot import Snapshot, read_publisher
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.installation import LOCAL, Installation
from weighmaster.telemetry import StoreMetrics

CLUSTER_POLICIES = ClusterModelPolicy.names.plural
POLICIES = ModelPolicy.names.plural
PUBLISHERS = ModelPublisher.names.plural
EXCEPTIONS = ModelException.names.plural
RECORDS = ModelRecord.names.plural
PROFILES = SandboxProfile.names.plural
NAMESPACES = "namespaces"

_POLICIES = (CLUSTER_POLICIES, POLICIES)
"""Their status says how many pods violate them, and changes with every pod."""


def _namespace_labels(stored: Mapping[str, Any]) -> Labels:
    return read_metadata(stored).labels


_COMPILERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    CLUSTER_POLICIES: compile_policy,
    POLICIES: compile_policy,
    PUBLISHERS: read_publisher,
    EXCEPTIONS: compile_exception,
    RECORDS: read_record,
    PROFILES: read_profile,
    NAMESPACES: _namespace_labels,
}

_API: tuple[type[ApiResource], ...] = (
    ClusterModelPolicy,
    ModelPolicy,
    ModelPublisher,
    ModelException,
    ModelRecord,
    SandboxProfile,
)
KINDS = {resource.names.kind: resource.names.plural for resource in _API}
"""Our kinds that decisions read, with the resource each belongs to."""

_KIND_OF = {plural: kind for kind, plural in KINDS.items()}


_Spec = tuple[str, int, frozenset[tuple[str, str]]]


class Taken(Struct, frozen=True):
    """An object as it is kept. ``spec`` tells one spec of it from the next, if anything does."""

    key: ObjectKey
    spec: _Spec | None
    compiled: Any


class PolicyStore:
    """Objects by resource and name, compiled. It is a Sink for reflectors."""

    def __init__(self, installation: Installation = LOCAL) -> None:
        self._installation = installation
        self._objects: dict[str, dict[ObjectKey, Any]] = {name: {} for name in _COMPILERS}
        self._specs: dict[tuple[str, ObjectKey], _Spec] = {}
        self._snapshot: Snapshot | None = None
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def take(self, resource: str, stored: Json) -> Taken:
        """An object, compiled; the same as before if nothing that matters has changed.

        Nothing is kept of it yet: a listing is compiled as it comes, page by page, so that it is
        never all there at once, and may still fail.
        """
        key = object_key(stored)
        known = self._objects[resource].get(key)
        spec = _spec(stored) if resource in _POLICIES else None
        if known is not None and spec is not None and self._specs.get((resource, key)) == spec:
            return Taken(key, spec, known)
        compiled = _compile(resource, stored)
        return Taken(key, spec, known if known == compiled else compiled)

    def replace(self, resource: str, objects: Iterable[Json | Taken]) -> None:
        """Take a full listing in place of everything before."""
        listed = [self._taken(resource, stored) for stored in objects]
        self._objects[resource] = {taken.key: taken.compiled for taken in listed}
        for at in [at for at in self._specs if at[0] == resource]:
            del self._specs[at]
        for taken in listed:
            if taken.spec is not None:
                self._specs[resource, taken.key] = taken.spec
        self._forget_snapshot()

    def update(self, resource: str, stored: Json | Taken) -> None:
        """Take a new or changed object."""
        taken = self._taken(resource, stored)
        if taken.spec is not None:
            self._specs[resource, taken.key] = taken.spec
        if taken.compiled is not self._objects[resource].get(taken.key):
            self._objects[resource][taken.key] = taken.compiled
            self._forget_snapshot()

    def _taken(self, resource: str, stored: Json | Taken) -> Taken:
        return stored if isinstance(stored, Taken) else self.take(resource, stored)

    def remove(self, resource: str, key: ObjectKey) -> None:
        """Forget an object."""
        self._objects[resource].pop(key, None)
        self._specs.pop((resource, key), None)
        self._forget_snapshot()

    def count(self, resource: str) -> int:
        """How many objects of a resource there are."""
        return len(self._objects[resource])

    def snapshot(self) -> Snapshot:
        """Everything there is now; the same value until something changes."""
        if self._snapshot is None:
            policies = self._objects[CLUSTER_POLICIES], self._objects[POLICIES]
            self._snapshot = Snapshot(
                policies=[policy for stored in policies for policy in stored.values()],
                publishers=self._objects[PUBLISHERS].values(),
                exceptions=self._objects[EXCEPTIONS].values(),
                records=self._objects[RECORDS].values(),
                facilities=Facilities(
                    self._installation,
                    {profile.name: profile for profile in self._objects[PROFILES].values()},
                ),
                namespaces={
                    name: labels for (_, name), labels in self._objects[NAMESPACES].items()
                },
            )
        return self._snapshot

    def _forget_snapshot(self) -> None:
        self._snapshot = None
        self._changed.set()
        self._changed = asyncio.Event()


def _spec(stored: Json) -> _Spec | None:
    """What tells one spec of an object from the next; None in files, where nothing does.

    The keys in its status belong to it.
    """
    metadata = read_metadata(stored)
    if not metadata.uid or not metadata.generation:
        return None
    return metadata.uid, metadata.generation, frozenset(read_keys(stored).items())


def _compile(resource: str, stored: Json) -> object:
    # Objects in a list do not carry their kind.
    return _COMPILERS[resource]({**stored, "kind": _KIND_OF.get(resource, "Namespace")})


class ClusterStore:
    """A policy store fed from a cluster, which knows whether it can be trusted at the moment.

    Without ``sandboxes`` it leaves out what runs in them, which the controller sees for itself.
    """

    def __init__(
        self,
        client: ApiClient,
        metrics: StoreMetrics,
        max_staleness: float,
        installation: Installation = LOCAL,
        *,
        sandboxes: bool = True,
    ) -> None:
        self._store = PolicyStore(installation)
        self._max_staleness = max_staleness
        paths = {plural: f"/apis/{GROUP}/{VERSION}/{plural}" for plural in _KIND_OF}
        resources = [
            Resource(
                plural,
                path,
                metadata_only=plural == NAMESPACES,
                keep=partial(self._store.take, plural),
            )
            for plural, path in {**paths, NAMESPACES: "/api/v1/namespaces"}.items()
        ]
        self._sandboxes = SandboxStore()
        self._reflectors: list[Reflector] = []
        sinks: list[tuple[Resource, PolicyStore | SandboxStore]] = [
            (resource, self._store) for resource in resources
        ]
        if sandboxes:
            sinks += [(each, self._sandboxes) for each in (NETWORK_POLICIES, SANDBOXED_PODS)]
        for resource, sink in sinks:
            reflector = Reflector(client, resource, sink, metrics)
            name = resource.name
            metrics.staleness.labels(name).set_function(partial(getattr, reflector, "staleness"))
            metrics.objects.labels(name).set_function(partial(sink.count, name))
            self._reflectors.append(reflector)
        self._snapshot: Snapshot | None = None
        self._made_of: tuple[Snapshot, Cluster] | None = None

    async def run(self) -> None:
        """Keep the store current until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"reflect {reflector.resource.name}")

    async def changed(self) -> None:
        """Wait for the next change of anything in it."""
        await self._store.changed()

    def snapshot(self) -> Snapshot | None:
        """The policies, or None while any resource is not listed yet or last seen too long ago."""
        for reflector in self._reflectors:
            if not reflector.synced or reflector.staleness > self._max_staleness:
                return None
        parts = self._store.snapshot(), self._sandboxes.cluster()
        if (
            self._snapshot is None
            or self._made_of is None
            or any(now is not before for now, before in zip(parts, self._made_of, strict=True))
        ):
            self._snapshot, self._made_of = parts[0].within(parts[1]), parts
        return self._snapshot

    @property
    def watching(self) -> bool:
        """Whether every change is told of, so that what is known is what there is."""
        return all(reflector.watching for reflector in self._reflectors)

    def not_ready(self) -> str | None:
        """Why no snapshot is given out; None when one is."""
        for reflector in self._reflectors:
            if not reflector.synced:
                return f"{reflector.resource.name} have not been listed yet"
            if reflector.staleness > self._max_staleness:
                return f"{reflector.resource.name} were last seen {reflector.staleness:.0f} s ago"
        return None
