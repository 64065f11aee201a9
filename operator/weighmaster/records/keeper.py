"""The keeper: gathers and verifies ahead of time, and keeps the status of ModelRecords true.

It is level-triggered: from what the API server has now (records, policies, publishers) it works out
which records are due, and works on those. Nothing that happens while it is away is lost.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import structlog

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import VERSION, ClusterModelPolicy, ModelPolicy, ModelPublisher
from weighmaster.api.v1alpha1 import ModelRecord as RecordResource
from weighmaster.api.v1alpha1.record import EvidenceState, ModelRecordStatus
from weighmaster.cluster.client import ApiClient, Json
from weighmaster.cluster.recording import create_record
from weighmaster.cluster.reflector import Reflector, Resource
from weighmaster.core.attestations import Demand
from weighmaster.core.values import ModelReference
from weighmaster.core.verify.authorities import KnownAuthority
from weighmaster.errors import ClusterError
from weighmaster.records.authorities import is_kept_elsewhere, resolve
from weighmaster.records.due import (
    RETRY,
    Sought,
    reason_to_work,
)
from weighmaster.records.held import Held, hold, missing_ancestors, unused
from weighmaster.records.making import Due, Gathering, StatusMaker
from weighmaster.records.mirror import Mirror
from weighmaster.records.status import MadeWith, status_patch
from weighmaster.records.supplied import Supplies
from weighmaster.records.view import View
from weighmaster.telemetry import StoreMetrics, where_failed

CLUSTER_POLICIES = ClusterModelPolicy.names.plural
POLICIES = ModelPolicy.names.plural
PUBLISHERS = ModelPublisher.names.plural
RECORDS = RecordResource.names.plural

CONCURRENCY = 8
"""Records worked on at one time; gathering has limits of its own below."""

RETENTION = timedelta(days=30)
"""How long a record that Weighmaster made is kept without being used in a decision."""

TIDY_EVERY = timedelta(hours=1)

MAX_CREATED = 32
"""Records for lineage that are made in one look, so that other work is not held up."""

MATERIAL_EVERY = timedelta(seconds=15)
"""How old what is known of a Secret or ConfigMap with key material may be."""

PAUSE = timedelta(seconds=30)
"""How long a record is left alone after a failure that trying again at once does not mend."""

FLOCK = 0.05
"""Seconds between looks at least: changes come in flocks."""

AGAIN_AFTER = 1.0
"""Seconds until a record is tried again that the API server did not take."""

LOOK_AGAIN = 5.0
"""Seconds between looks at what is due, when nothing happens meanwhile."""

_log = structlog.get_logger()


class RecordKeeper:
    """Keeps the status of all ModelRecords."""

    def __init__(
        self,
        client: ApiClient,
        gatherer: Gathering,
        supplies: Supplies,
        metrics: StoreMetrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._maker = StatusMaker(gatherer, supplies, clock)
        self._supplies = supplies
        self._clock = clock
        self._wake = asyncio.Event()
        self._mirror = Mirror(self._wake.set)
        self._reflectors = [
            Reflector(client, Resource(plural, _collection(plural)), self._mirror, metrics)
            for plural in (CLUSTER_POLICIES, POLICIES, PUBLISHERS, RECORDS)
        ]
        self._working: dict[str, asyncio.Task[None]] = {}
        self._paused: dict[str, datetime] = {}
        self._written: dict[str, tuple[Json, datetime]] = {}
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._tidied: datetime | None = None
        self._nameless: dict[str, datetime] = {}
        self._held: dict[str, Held | None] = {}
        self._seen: tuple[Json, ...] = ()
        self._view = View((), ())
        self._known: dict[str, KnownAuthority] = {}
        self._known_at: datetime | None = None
        self.on_written: Callable[[], None] = _nothing
        """Called when the status of a record has been written."""

    def not_ready(self) -> str | None:
        """Why records cannot be kept yet; None when they can."""
        for reflector in self._reflectors:
            if not reflector.synced:
                return f"{reflector.resource.name} have not been listed yet"
        return None

    def held(self) -> list[Held]:
        """The records as they were at the last look."""
        return [held for held in self._held.values() if held is not None]

    def count(self, state: EvidenceState) -> int:
        """How many records are in a state."""
        return sum(
            held.status is not None and (held.status.state or EvidenceState.PENDING) is state
            for held in self.held()
        )

    def overdue(self) -> int:
        """How many records have evidence that has expired."""
        now = self._clock()
        ends = (held.status.expires_at for held in self.held() if held.status is not None)
        return sum(end is not None and end <= now for end in ends)

    def oldest(self) -> timedelta:
        """The age of the oldest evidence among that which expires; none when there is no such."""
        now = self._clock()
        moving = (
            held.status
            for held in self.held()
            if held.status is not None and held.status.expires_at is not None
        )
        ages = (now - status.fetched_at for status in moving if status.fetched_at is not None)
        return max(ages, default=timedelta())

    def omitted(self) -> frozenset[str]:
        """What policies ask for that no record says anything of."""
        return self._view.omitted

    async def run(self) -> None:
        """Keep records until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"reflect {reflector.resource.name}")
            group.create_task(self._keep(group), name="records")

    async def _keep(self, group: asyncio.TaskGroup) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._wake.wait()
            self._wake.clear()
            if self.not_ready() is None:
                await self._look(group)
            await asyncio.sleep(FLOCK)

    async def _look(self, group: asyncio.TaskGroup) -> None:
        view, records = self._current_view(), self._records()
        try:
            await self._read_material(view, records)
            for due in self._due(view, records):
                name = due.held.metadata.name
                self._working[name] = group.create_task(self._work(name, due))
            await self._create_ancestors(view, records)
            await self._tidy()
        except ClusterError as error:
            _log.warning("records not looked after", error=str(error))

    def _current_view(self) -> View:
        """What policies and publishers ask for; worked out when they have changed."""
        policies, publishers = self._policies(), self._mirror.of(PUBLISHERS)
        seen = (*(stored for stored, _ in policies), *publishers)
        same = len(seen) == len(self._seen) and all(map(_is, seen, self._seen))
        if not same:
            self._seen = seen
            self._view = View([{**stored, "kind": kind} for stored, kind in policies], publishers)
        return self._view

    def _records(self) -> list[Held]:
        """All records, each read once: every look goes through all of them."""
        before, self._held = self._held, {}
        for stored in self._mirror.of(RECORDS):
            name = str((stored.get("metadata") or {}).get("name"))
            held = before.get(name)
            if held is None or held.stored is not stored:
                held = hold(stored)
            self._held[name] = held
        for memory in (self._paused, self._written):
            for name in memory.keys() - self._held.keys():
                del memory[name]
        return [held for held in self._held.values() if held is not None]

    async def _read_material(self, view: View, records: Iterable[Held]) -> None:
        """Know every authority that is looked for, and what else there is in objects of ours.

        Secrets and ConfigMaps are looked at now and then.

        Raises ClusterError when those cannot be read for no fault of theirs.
        """
        wanted = {named.id: named for held in records for named in view.looked_for(held.reference)}
        now = self._clock()
        stale = self._known_at is None or now >= self._known_at + MATERIAL_EVERY
        await self._supplies.look(records, again=stale)
        known = {}
        for key, named in wanted.items():
            before = self._known.get(key)
            if before is None or (stale and is_kept_elsewhere(named.identity)):
                try:
                    before = await resolve(named, self._supplies.material)
                except ClusterError:
                    if before is None:
                        raise
            known[key] = before
        self._known = known
        if stale:
            self._known_at = now

    def _due(self, view: View, records: Iterable[Held]) -> list[Due]:
        now = self._clock()
        found = []
        for held in records:
            name = held.metadata.name
            if name in self._working or now < self._paused.get(name, now):
                continue
            before, until = self._written.get(name, (None, now))
            if before is held.stored and now < until:
                continue  # the watch has not told yet what was written
            sought, notes = self._sought(view, held.reference), self._supplies.notes(held)
            if notes is None:
                continue  # the API server could not be asked after what it names
            reason = reason_to_work(held, sought, notes, now)
            if reason is not None:
                found.append(Due(held, sought, reason))
        return found

    def _sought(self, view: View, reference: ModelReference) -> Sought:
        return Sought(
            tuple(self._known[named.id] for named in view.named(reference)),
            tuple(
                Demand(demanded.predicate_type, self._known[demanded.by.id])
                for demanded in view.demanded(reference)
            ),
            view.belonging(reference),
            view.omitted_for(reference),
        )

    async def _work(self, name: str, due: Due) -> None:
        try:
            async with self._slots:
                await self._update(due)
        except ClusterError as error:
            _log.warning("record not written", record=name, error=str(error))
            if 400 <= error.status < 500 and error.status not in (404, 409, 429):
                self._pause(name, PAUSE)
            else:
                await asyncio.sleep(AGAIN_AFTER)
        except Exception as error:  # noqa: BLE001 - one bad record must not end the others
            _log.error("record failed", record=name, **where_failed(error))
            self._pause(name, PAUSE)
        finally:
            self._working.pop(name, None)
            self._wake.set()

    def _pause(self, name: str, pause: timedelta) -> None:
        self._paused[name] = self._clock() + pause

    async def _update(self, due: Due) -> None:
        made = await self._maker.status(due)
        if made is None:
            self._pause(due.held.metadata.name, RETRY[EvidenceState.UNAVAILABLE])
        else:
            await self._write(due.held, *made)

    async def _write(self, held: Held, status: ModelRecordStatus, made_with: MadeWith) -> None:
        await self._client.patch_status(
            f"{_collection(RECORDS)}/{held.metadata.name}",
            status_patch(status, held, made_with, self._clock()),
        )
        self._written[held.metadata.name] = held.stored, self._clock() + PAUSE
        self.on_written()
        _log.info(
            "record updated",
            record=held.metadata.name,
            reference=held.reference.canonical,
            state=status.state,
            signed_by=status.signed_by,
        )

    async def _create_ancestors(self, view: View, records: Iterable[Held]) -> None:
        """Have records of what models were made from, where a policy asks for lineage."""
        if not view.lineage:
            return
        missing = sorted(missing_ancestors(records).items())
        now = self._clock()
        self._nameless = {each: until for each, until in self._nameless.items() if now < until}
        for reference, depth in missing[:MAX_CREATED]:
            if now < self._nameless.get(reference, now):
                continue
            try:
                await create_record(self._client, reference, depth)
            except ClusterError as error:
                if error.status != 409:
                    raise
                self._nameless[reference] = now + PAUSE
                _log.warning("record not created", reference=reference, error=str(error))

    async def _tidy(self) -> None:
        """Delete records that Weighmaster made and no decision has used for a long time."""
        now = self._clock()
        if self._tidied is not None and now < self._tidied + TIDY_EVERY:
            return
        self._tidied = now
        oldest = (now - RETENTION).date().isoformat()
        for held in unused((held for held in self._held.values() if held), oldest):
            await self._client.delete(f"{_collection(RECORDS)}/{held.metadata.name}")
            _log.info("record deleted: unused", record=held.metadata.name)

    def _policies(self) -> list[tuple[Json, str]]:
        return [
            (stored, kind)
            for plural, kind in (
                (CLUSTER_POLICIES, ClusterModelPolicy.names.kind),
                (POLICIES, ModelPolicy.names.kind),
            )
            for stored in self._mirror.of(plural)
        ]


def _nothing() -> None:
    pass


def _is(one: object, other: object) -> bool:
    return one is other


def _collection(plural: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/{plural}"
