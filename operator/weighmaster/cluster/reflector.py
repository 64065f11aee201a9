"""A reflector: keeps a copy of one resource by LIST and WATCH.

Every listing replaces the whole copy, so an object that was deleted while no watch was open is gone
afterwards; kopf's indices keep it (NOTES-kopf section 2). Bookmarks keep the resource version young
and show that the watch is alive (KEP-956).
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from msgspec import Struct

from weighmaster.cluster.client import ApiClient, Json, Keep, everything
from weighmaster.errors import ClusterError, ResourceExpiredError, WeighmasterError
from weighmaster.telemetry import StoreMetrics

BACKOFF = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between failures; short, since without the API server there is nothing else to do."""

_log = structlog.get_logger()

ObjectKey = tuple[str, str]
"""Namespace, empty for cluster-scoped objects, and name."""


class Resource(Struct, frozen=True):
    """What to reflect. ``metadata_only`` saves the memory of specs that nobody reads.

    ``keep`` makes of each object, as it comes, what the sink is given.
    """

    name: str
    path: str
    metadata_only: bool = False
    keep: Keep = everything


class Sink(Protocol):
    """Where a reflector puts what it sees."""

    def replace(self, resource: str, objects: list[Any]) -> None:
        """Take a full listing in place of everything before."""

    def update(self, resource: str, stored: Any) -> None:
        """Take a new or changed object."""

    def remove(self, resource: str, key: ObjectKey) -> None:
        """Forget an object."""


def object_key(stored: Json) -> ObjectKey:
    """Namespace and name of an object."""
    found = stored.get("metadata")
    metadata: dict[str, Any] = found if isinstance(found, dict) else {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


class Reflector:
    """Feeds one resource into a sink, for ever."""

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        sink: Sink,
        metrics: StoreMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self.resource = resource
        self._sink = sink
        self._metrics = metrics
        self._clock = clock
        self._heard_at: float | None = None
        self._version = ""
        self._watching = False

    @property
    def synced(self) -> bool:
        """Whether a full listing has been taken."""
        return self._heard_at is not None

    @property
    def staleness(self) -> float:
        """Seconds since the API server was last heard of; infinite before the first listing."""
        return float("inf") if self._heard_at is None else self._clock() - self._heard_at

    @property
    def watching(self) -> bool:
        """Whether a watch tells of every change, or was ended in good order a moment ago.

        A broken one may have left anything untold, long before ``staleness`` shows it.
        """
        return self._watching

    async def run(self) -> None:
        """List and watch until cancelled; failures are retried and never end it."""
        failures = 0
        while True:
            listed = self._version
            try:
                await self._list()
                listed = self._version
                await self._watch()
                failures = 0
            except ResourceExpiredError:
                # A version that is expired as soon as it is listed is a failure like any other.
                if self._version != listed:
                    failures = 0
                self._watching = False
                _log.info("listing again", resource=self.resource.name)
            except Exception as error:  # noqa: BLE001 - whatever an answer did, the next may be good
                self._report(error)
            await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)] * _jitter())
            failures += 1

    async def _list(self) -> None:
        resource = self.resource
        listing = await self._client.list(
            resource.path, metadata_only=resource.metadata_only, keep=resource.keep
        )
        self._sink.replace(resource.name, listing.items)
        self._heard_at = self._clock()
        self._metrics.relists.labels(resource.name).inc()
        self._version = listing.resource_version

    async def _watch(self) -> None:
        """Watch until the version expires or failures call for a fresh listing."""
        failures = 0
        while failures < len(BACKOFF):
            before = self._version
            try:
                await self._follow()
                failures = 0
                await asyncio.sleep(BACKOFF[0] * _jitter())
            except ResourceExpiredError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever an answer did, the next may be good
                self._report(error)
                failures = 0 if self._version != before else failures
                await asyncio.sleep(BACKOFF[failures] * _jitter())
                failures += 1

    async def _follow(self) -> None:
        """Take events. The version moves with each, so that a broken watch repeats none of them.

        Repeated events would bring back, for a moment, what has been changed or deleted since.
        """
        resource = self.resource
        seconds = random.randint(240, 300)  # noqa: S311 - spreads reconnections, guards nothing
        events = self._client.watch(
            resource.path,
            self._version,
            seconds,
            metadata_only=resource.metadata_only,
            on_open=self._opened,
        )
        async for event in events:
            stored: Json = event.get("object") or {}
            version = str((stored.get("metadata") or {}).get("resourceVersion") or self._version)
            match event.get("type"):
                case "ADDED" | "MODIFIED":
                    self._sink.update(resource.name, resource.keep(stored))
                case "DELETED":
                    self._sink.remove(resource.name, object_key(stored))
            self._heard_at = self._clock()
            self._version = version

    def _opened(self) -> None:
        self._watching = True

    def _report(self, error: Exception) -> None:
        self._watching = False
        self._metrics.failures.labels(self.resource.name).inc()
        text = str(error) if isinstance(error, WeighmasterError) else type(error).__name__
        hint = {}
        if isinstance(error, ClusterError) and error.status == 404:
            hint["hint"] = "is the CustomResourceDefinition installed? see `weighmaster crds`"
        _log.warning("reflector failed", resource=self.resource.name, error=text, **hint)


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
