"""The policy store: compiled policies, kept current by reflectors, given out as snapshots.

Each object is compiled once, when it changes. A snapshot is put together when the first request
after a change asks for it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

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
from weighmaster.core.evaluate.exceptions import compile_exception
from weighmaster.core.evaluate.facilities import Facilities
from weighmaster.core.evaluate.policies import compile_policy
from weighmaster.core.evaluate.profiles import read_profile
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


class PolicyStore:
    """Objects by resource and name, compiled. It is a Sink for reflectors."""

    def __init__(self, installation: Installation = LOCAL) -> None:
        self._installation = installation
        self._objects: dict[str, dict[ObjectKey, Any]] = {name: {} for name in _COMPILERS}
        self._snapshot: Snapshot | None = None
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def replace(self, resource: str, objects: Iterable[Json]) -> None:
        """Take a full listing in place of everything before."""
        self._objects[resource] = {
            object_key(stored): _compile(resource, stored) for stored in objects
        }
        self._forget_snapshot()

    def update(self, resource: str, stored: Json) -> None:
        """Take a new or changed object."""
        self._objects[resource][object_key(stored)] = _compile(resource, stored)
        self._forget_snapshot()

    def remove(self, resource: str, key: ObjectKey) -> None:
        """Forget an object."""
        self._objects[resource].pop(key, None)
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


def _compile(resource: str, stored: Json) -> object:
    # Objects in a list do not carry their kind.
    return _COMPILERS[resource]({**stored, "kind": _KIND_OF.get(resource, "Namespace")})


class ClusterStore:
    """A policy store fed from a cluster, which knows whether it can be trusted at the moment."""

    def __init__(
        self,
        client: ApiClient,
        metrics: StoreMetrics,
        max_staleness: float,
        installation: Installation = LOCAL,
    ) -> None:
        self._store = PolicyStore(installation)
        self._max_staleness = max_staleness
        resources = (
            *(Resource(plural, f"/apis/{GROUP}/{VERSION}/{plural}") for plural in _KIND_OF),
            Resource(NAMESPACES, "/api/v1/namespaces", metadata_only=True),
        )
        self._reflectors = [
            Reflector(client, resource, self._store, metrics) for resource in resources
        ]
        for reflector in self._reflectors:
            name = reflector.resource.name
            metrics.staleness.labels(name).set_function(partial(getattr, reflector, "staleness"))
            metrics.objects.labels(name).set_function(partial(self._store.count, name))

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
        return self._store.snapshot()

    def not_ready(self) -> str | None:
        """Why no snapshot is given out; None when one is."""
        for reflector in self._reflectors:
            if not reflector.synced:
                return f"{reflector.resource.name} have not been listed yet"
            if reflector.staleness > self._max_staleness:
                return f"{reflector.resource.name} were last seen {reflector.staleness:.0f} s ago"
        return None
