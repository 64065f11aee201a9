"""Waiting workloads: objects that were let in before it was known what to pin them to.

The webhook marks them by a label. Once the record of what they wait for says something, the label
is taken off: the change goes through the mutating stage, which writes what it could not write
before, or puts the label back. What is written, and whether at all, is decided there and only
there.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from weighmaster.cluster.client import ApiClient, Json
from weighmaster.core.enforce import AWAITING, waits_for
from weighmaster.core.evaluate.records import is_gathered, read_record, record_key
from weighmaster.core.workload_kinds import CHANGEABLE
from weighmaster.errors import ClusterError
from weighmaster.records.held import Held

LOOK_EVERY = 60.0
"""Seconds between looks when no record changes."""

LOOK_SOON = 2.0
SOON_FOR = timedelta(seconds=20)
"""How often, and for how long after a record has changed: the object may not be stored yet."""

FLOCK = 0.5
"""Seconds between looks at least: records change in flocks."""

DISCOVER_EVERY = timedelta(minutes=2)
"""How old the list of kinds may be that there are in the cluster."""

AGAIN_AFTER = timedelta(minutes=5)
"""How long an object is left alone whose change was refused."""

MAX_TOUCHED = 100
"""Objects that are changed in one look."""

_log = structlog.get_logger()


class WaitingWorkloads:
    """Touches workloads that wait for evidence once it is there.

    ``records`` gives the records as they are stored now.
    """

    def __init__(
        self,
        client: ApiClient,
        records: Callable[[], Iterable[Held]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._records = records
        self._clock = clock
        self._wake = asyncio.Event()
        self._collections: list[str] = []
        self._discovered: datetime | None = None
        self._refused: dict[str, datetime] = {}

    def wake(self) -> None:
        """A record has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Look for workloads that wait, until cancelled."""
        until = self._clock()
        while True:
            pause = LOOK_SOON if self._clock() < until else LOOK_EVERY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            if self._wake.is_set():
                self._wake.clear()
                until = self._clock() + SOON_FOR
            await self.look()
            await asyncio.sleep(FLOCK)

    async def look(self) -> None:
        """Touch the workloads that wait for something that is known by now."""
        try:
            await self._discover()
        except ClusterError as error:
            _log.warning("kinds not listed", error=str(error))
            return
        known: dict[str, Held] | None = None
        touched = 0
        for collection in self._collections:
            for waiting in await self._waiting(collection):
                if known is None:
                    known = {held.key: held for held in self._records()}
                if touched < MAX_TOUCHED and self._is_ready(waiting, known):
                    touched += 1
                    await self._touch(collection, waiting)

    async def _waiting(self, collection: str) -> list[Json]:
        try:
            listing = await self._client.list(collection, selector=AWAITING)
        except ClusterError as error:
            if error.status in (403, 404):  # a kind that has gone, or is none of ours
                self._discovered = None
            _log.warning("waiting workloads not listed", path=collection, error=str(error))
            return []
        return listing.items

    def _is_ready(self, waiting: Json, known: dict[str, Held]) -> bool:
        """Whether all that is known to be looked for has been found, or cannot be."""
        now = self._clock()
        if now < self._refused.get(_uid(waiting), now):
            return False
        namespace = str((waiting.get("metadata") or {}).get("namespace") or "")
        keys = {record_key(each, namespace) for each in waits_for(waiting) if is_gathered(each)}
        found = [read_record(known[key].stored) for key in keys if key in known]
        # Without any record nobody has asked; the touch does.
        return not any(record.awaited(now) for record in found) and (
            not found or any(record.missing(now) is None for record in found)
        )

    async def _touch(self, collection: str, waiting: Json) -> None:
        metadata = waiting["metadata"]
        base, _, resource = collection.rpartition("/")
        namespace = metadata.get("namespace")
        within = f"/namespaces/{namespace}" if namespace else ""
        path = f"{base}{within}/{resource}/{metadata['name']}"
        try:
            await self._client.patch(path, {"metadata": {"labels": {AWAITING: None}}})
        except ClusterError as error:
            self._forget_old()
            self._refused[_uid(waiting)] = self._clock() + AGAIN_AFTER
            _log.warning("waiting workload not changed", path=path, error=str(error))
        else:
            _log.info("waiting workload changed", path=path)

    def _forget_old(self) -> None:
        now = self._clock()
        self._refused = {uid: until for uid, until in self._refused.items() if now < until}

    async def _discover(self) -> None:
        """Which of the kinds there are in this cluster, and in which version."""
        now = self._clock()
        if self._discovered is not None and now < self._discovered + DISCOVER_EVERY:
            return
        groups = {str(each.get("name")): each for each in await self._groups()}
        collections = []
        for kinds in CHANGEABLE:
            if not kinds.group:
                prefix = "/api/v1"
            elif kinds.group in groups:
                version = groups[kinds.group].get("preferredVersion") or {}
                prefix = f"/apis/{version.get('groupVersion')}"
            else:
                continue
            served = await self._served(prefix)
            collections += [f"{prefix}/{name}" for name in kinds.resources if name in served]
        self._collections, self._discovered = collections, now

    async def _groups(self) -> list[Any]:
        return (await self._client.get("/apis")).get("groups") or []

    async def _served(self, prefix: str) -> frozenset[str]:
        resources = (await self._client.get(prefix)).get("resources") or []
        return frozenset(str(resource.get("name")) for resource in resources)


def _uid(waiting: Json) -> str:
    return str((waiting.get("metadata") or {}).get("uid"))
