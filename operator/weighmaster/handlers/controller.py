"""The controller's handlers: they keep the status of policies, publishers and exceptions true.

They are ``on.event`` handlers: stateless, without finalizers or annotations on the objects, so that
nothing blocks when the controller is gone (NOTES-kopf section 3).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import kopf
import structlog

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import (
    RESOURCES,
    VERSION,
    ClusterModelPolicy,
    ModelPolicy,
    ModelPublisher,
    SandboxProfile,
)
from weighmaster.cluster.client import ApiClient, Json
from weighmaster.cluster.reflector import ObjectKey, Reflector, Resource, object_key
from weighmaster.errors import ClusterError
from weighmaster.handlers.status import STATES, Surroundings, desired_status
from weighmaster.records.authorities import kept_elsewhere
from weighmaster.records.published import NOTHING, KeyReader, Published
from weighmaster.telemetry import StoreMetrics

RECHECK_INTERVAL = 60.0
"""Seconds between full checks, which notice what no event tells: an exception that expires."""

FOLLOW_INTERVAL = 3.0
"""Seconds between them while keys are kept in Secrets and ConfigMaps, which nothing tells of."""

RETRY_INTERVAL = 5.0
"""Seconds until the next full check when one has failed in part."""

_PUBLISHERS = ModelPublisher.names.plural
_PROFILES = SandboxProfile.names.plural
_WITH_KEYS = frozenset(
    {ClusterModelPolicy.names.plural, ModelPolicy.names.plural, ModelPublisher.names.plural}
)
_KINDS = {resource.names.plural: resource.names.kind for resource in RESOURCES}

_log = structlog.get_logger()


class KnownNames:
    """Names of the objects that others depend on. A Sink for reflectors."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._names: dict[str, set[ObjectKey]] = {}
        self._on_change = on_change

    def replace(self, resource: str, objects: list[Json]) -> None:
        """Take a full listing."""
        self._set(resource, {object_key(stored) for stored in objects})

    def update(self, resource: str, stored: Json) -> None:
        """Take a new or changed object."""
        self._set(resource, self._names[resource] | {object_key(stored)})

    def remove(self, resource: str, key: ObjectKey) -> None:
        """Forget an object."""
        self._set(resource, self._names[resource] - {key})

    def of(self, resource: str) -> frozenset[str] | None:
        """The names, or None before the first listing."""
        keys = self._names.get(resource)
        return None if keys is None else frozenset(name for _, name in keys)

    def _set(self, resource: str, keys: set[ObjectKey]) -> None:
        if self._names.get(resource) != keys:
            self._names[resource] = keys
            self._on_change()


class StatusReconciler:
    """Writes the status of our resources: of one at a time, and of all now and then."""

    def __init__(
        self,
        client: ApiClient,
        metrics: StoreMetrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        omitted: Callable[[], frozenset[str]] = frozenset,
        keys: KeyReader | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._followed = False
        """Whether keys are known to be kept elsewhere, so that a change of them is looked for."""
        self._found = False
        self._omitted = omitted
        self._clock = clock
        self._wake = asyncio.Event()
        self._names = KnownNames(self._wake.set)
        self._reflectors = [
            Reflector(
                client,
                Resource(plural, _collection(plural), metadata_only=True),
                self._names,
                metrics,
            )
            for plural in (_PUBLISHERS, _PROFILES)
        ]

    def not_ready(self) -> str | None:
        """Why no status can be written yet; None when it can."""
        return "publishers have not been listed yet" if self._look_around() is None else None

    async def run(self) -> None:
        """Check all resources when dependencies change and every so often, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"reflect {reflector.resource.name}")
            group.create_task(self._recheck(), name="status checks")

    async def check(self, resource: str, stored: Json) -> None:
        """Write the status of one object, if it has to change."""
        around = self._look_around()
        if around is None:
            return  # it is checked with all others once the dependencies are known
        whole = {**stored, "kind": _KINDS[resource]}
        published = await self._published(resource, whole)
        status = desired_status(resource, whole, around, published)
        if status is None:
            return
        namespace, name = object_key(stored)
        within = f"namespaces/{namespace}/" if namespace else ""
        try:
            await self._client.patch_status(
                f"/apis/{GROUP}/{VERSION}/{within}{resource}/{name}", status
            )
        except ClusterError as error:
            if error.status != 404:  # deleted meanwhile
                raise

    async def _published(self, resource: str, stored: Json) -> Published | None:
        """The keys that an object keeps elsewhere; None while they cannot be read."""
        if self._keys is None or resource not in _WITH_KEYS:
            return NOTHING
        if kept_elsewhere(resource, stored):
            self._found = True
            if not self._followed:
                self._followed = True
                self._wake.set()  # or the next look would be as late as if there were none
        return await self._keys.of(resource, stored)

    async def _recheck(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(FOLLOW_INTERVAL if self._followed else RECHECK_INTERVAL):
                    await self._wake.wait()
            self._wake.clear()
            if not await self._check_all():
                await asyncio.sleep(RETRY_INTERVAL)
                self._wake.set()

    async def _check_all(self) -> bool:
        """Check every object; whether all could be. One that cannot be keeps no other from it."""
        done, self._found = True, False
        for resource in STATES:
            try:
                listing = await self._client.list(_collection(resource))
            except ClusterError as error:
                _log.warning("status check failed", resource=resource, error=str(error))
                done = False
                continue
            for stored in listing.items:
                try:
                    await self.check(resource, stored)
                except ClusterError as error:
                    namespace, name = object_key(stored)
                    _log.warning(
                        "status check failed",
                        resource=resource,
                        namespace=namespace,
                        name=name,
                        error=str(error),
                    )
                    done = False
        self._followed = self._found
        return done

    def _look_around(self) -> Surroundings | None:
        publishers, profiles = self._names.of(_PUBLISHERS), self._names.of(_PROFILES)
        if publishers is None or profiles is None:
            return None
        return Surroundings(publishers, profiles, self._clock(), self._omitted())


def _collection(resource: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/{resource}"


def register(registry: kopf.OperatorRegistry, reconciler: StatusReconciler) -> None:
    """Register the handlers of the controller."""

    async def on_change(
        body: kopf.Body, event: kopf.RawEvent, resource: kopf.Resource, **_: Any
    ) -> None:
        if event["type"] != "DELETED":
            await reconciler.check(resource.plural, {key: body[key] for key in body})

    for plural in STATES:
        kopf.on.event(GROUP, VERSION, plural, registry=registry, id=f"status-{plural}")(on_change)
