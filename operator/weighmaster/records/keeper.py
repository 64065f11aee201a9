"""The keeper: gathers and verifies ahead of time, and keeps the status of ModelRecords true.

It is level-triggered: from what the API server has now (records, policies, publishers) it works out
which records are due, and works on those. Nothing that happens while it is away is lost.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog
from msgspec import Struct

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import VERSION, ClusterModelPolicy, ModelPolicy, ModelPublisher
from weighmaster.api.v1alpha1 import ModelRecord as RecordResource
from weighmaster.api.v1alpha1.meta import ObjectMeta
from weighmaster.api.v1alpha1.record import EvidenceState, ModelRecordSpec, ModelRecordStatus
from weighmaster.api.v1alpha1.rules import Lineage
from weighmaster.cluster.client import ApiClient, Json
from weighmaster.cluster.reflector import Reflector, Resource
from weighmaster.core import references
from weighmaster.core.assess import Belonging, KnownAuthority, assess, unavailable
from weighmaster.core.evaluate.policies import read_spec
from weighmaster.core.evaluate.records import LINEAGE_DEPTH, new_record, read_record
from weighmaster.core.evaluate.snapshot import Snapshot, read_publisher
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.evidence import Evidence, Unavailable
from weighmaster.core.globs import fold
from weighmaster.core.values import ModelReference
from weighmaster.errors import ClusterError
from weighmaster.gather.credentials import NONE, Credentials
from weighmaster.records.authorities import Material, named_identities, resolve
from weighmaster.records.mirror import Mirror
from weighmaster.telemetry import StoreMetrics

CLUSTER_POLICIES = ClusterModelPolicy.names.plural
POLICIES = ModelPolicy.names.plural
PUBLISHERS = ModelPublisher.names.plural
RECORDS = RecordResource.names.plural

CONCURRENCY = 8
"""Records worked on at one time; gathering has limits of its own below."""

AHEAD = timedelta(seconds=60)
"""How long before it expires evidence is gathered again."""

RETRY = {
    EvidenceState.UNAVAILABLE: timedelta(seconds=15),
    EvidenceState.FAILED: timedelta(minutes=5),
}
"""When to ask again; the gatherer paces what really goes out."""

RETENTION = timedelta(days=30)
"""How long a record that Weighmaster made is kept without being used in a decision."""

TIDY_EVERY = timedelta(hours=1)

MAX_LINEAGE, MAX_PARENTS = 8, 8
"""Generations, and parents of one model, for which records are made: cards may name anything."""

LOOK_AGAIN = 5.0
"""Seconds between looks at what is due, when nothing happens meanwhile."""

_log = structlog.get_logger()


class Gathering(Protocol):
    """Who finds out about references."""

    async def resolve(
        self, reference: ModelReference, credentials: Credentials = NONE, *, refresh: bool = False
    ) -> Evidence | Unavailable:
        """Evidence, or why there is none."""
        ...


class _Due(Struct, frozen=True):
    """A record to work on. ``refresh`` says that what is kept in memory will not do."""

    stored: Json
    refresh: bool


class RecordKeeper:
    """Keeps the status of all ModelRecords."""

    def __init__(
        self,
        client: ApiClient,
        gatherer: Gathering,
        material: Material,
        metrics: StoreMetrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._gatherer = gatherer
        self._material = material
        self._clock = clock
        self._wake = asyncio.Event()
        self._mirror = Mirror(self._wake.set)
        self._reflectors = [
            Reflector(client, Resource(plural, _collection(plural)), self._mirror, metrics)
            for plural in (CLUSTER_POLICIES, POLICIES, PUBLISHERS, RECORDS)
        ]
        self._working: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._tidied: datetime | None = None

    def not_ready(self) -> str | None:
        """Why records cannot be kept yet; None when they can."""
        for reflector in self._reflectors:
            if not reflector.synced:
                return f"{reflector.resource.name} have not been listed yet"
        return None

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
                wanted = self._wanted()
                for due in self._due(wanted):
                    name = due.stored["metadata"]["name"]
                    if name not in self._working:
                        self._working[name] = group.create_task(self._work(name, due))
                await self._tidy()
            await asyncio.sleep(0.05)  # changes come in flocks

    async def _tidy(self) -> None:
        now = self._clock()
        if self._tidied is not None and now < self._tidied + TIDY_EVERY:
            return
        self._tidied = now
        try:
            await self._collect_garbage()
        except ClusterError as error:
            _log.warning("unused records not deleted", error=str(error))

    def _wanted(self) -> frozenset[str]:
        return frozenset(
            named.id for named in named_identities(self._policies(), self._publishers())
        )

    def _due(self, wanted: frozenset[str]) -> list[_Due]:
        now = self._clock()
        found = []
        for stored in self._mirror.of(RECORDS):
            reason = _reason(stored, wanted, now)
            if reason is not None:
                found.append(_Due(stored, refresh=reason == "expired"))
        return found

    async def _work(self, name: str, due: _Due) -> None:
        try:
            async with self._slots:
                await self._update(due)
        except ClusterError as error:
            _log.warning("record not written", record=name, error=str(error))
            await asyncio.sleep(1)
        finally:
            self._working.pop(name, None)
            self._wake.set()

    async def _update(self, due: _Due) -> None:
        metadata = read_metadata(due.stored)
        try:
            spec = msgspec.convert(due.stored.get("spec"), ModelRecordSpec)
        except msgspec.ValidationError:
            return
        reference = references.parse(spec.reference)
        answer = await self._gatherer.resolve(reference, NONE, refresh=due.refresh)
        belonging = self._belonging(reference)
        if isinstance(answer, Unavailable):
            status = unavailable(answer, belonging)
        else:
            authorities = await self._authorities()
            # Off the event loop: verifying keyless signatures takes milliseconds each.
            status = await asyncio.to_thread(
                assess, answer, spec, authorities, belonging, self._clock()
            )
        await self._client.patch_status(
            f"{_collection(RECORDS)}/{metadata.name}",
            _status(status, due.stored, metadata.generation, self._clock()),
        )
        await self._follow_lineage(metadata, status)
        _log.info(
            "record updated",
            record=metadata.name,
            reference=reference.canonical,
            state=status.state,
            signed_by=status.signed_by,
        )

    async def _follow_lineage(self, metadata: ObjectMeta, status: ModelRecordStatus) -> None:
        """Have records of what the model was made from, where a policy asks for lineage."""
        depth = metadata.annotations.get(LINEAGE_DEPTH, "0")
        above = int(depth) + 1 if depth.isdigit() and len(depth) < 3 else MAX_LINEAGE + 1
        if above > MAX_LINEAGE or not asks_for_lineage(self._policies()):
            return
        there = {stored.get("spec", {}).get("reference") for stored in self._mirror.of(RECORDS)}
        for reference in status.base_models[:MAX_PARENTS]:
            if reference not in there:
                with contextlib.suppress(ClusterError):  # the next look tries again
                    await self._client.create(_collection(RECORDS), new_record(reference, above))

    async def _collect_garbage(self) -> None:
        """Delete records that Weighmaster made and no decision has used for a long time."""
        oldest = (self._clock() - RETENTION).date().isoformat()
        for stored in self._mirror.of(RECORDS):
            if is_garbage(stored, oldest):
                name = stored["metadata"]["name"]
                await self._client.delete(f"{_collection(RECORDS)}/{name}")
                _log.info("record deleted: unused", record=name)

    async def _authorities(self) -> list[KnownAuthority]:
        named = named_identities(self._policies(), self._publishers())
        return [await resolve(each, self._material) for each in named]

    def _belonging(self, reference: ModelReference) -> Belonging:
        publishers = [read_publisher(stored) for stored in self._publishers()]
        owners = Snapshot(publishers=publishers).publishers.owners(fold(reference.location))
        owner = min(owners, key=lambda publisher: publisher.name, default=None)
        return Belonging(owner.name, owner.jurisdiction) if owner else Belonging()

    def _policies(self) -> list[Json]:
        return [
            {**stored, "kind": kind}
            for plural, kind in (
                (CLUSTER_POLICIES, "ClusterModelPolicy"),
                (POLICIES, "ModelPolicy"),
            )
            for stored in self._mirror.of(plural)
        ]

    def _publishers(self) -> list[Json]:
        return self._mirror.of(PUBLISHERS)


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


def is_garbage(stored: Json, oldest: str) -> bool:
    """Whether a record was made by Weighmaster and last used before a day (``YYYY-MM-DD``)."""
    record = read_record(stored)
    created = read_metadata(stored).creation_timestamp
    last = record.last_used or (created.date().isoformat() if created else "")
    return record.managed and bool(last) and last < oldest


def _reason(stored: Json, wanted: frozenset[str], now: datetime) -> str | None:
    """Why a record has to be worked on now; None when it need not be."""
    try:
        status = msgspec.convert(stored.get("status") or {}, ModelRecordStatus)
    except msgspec.ValidationError:
        return "unreadable"
    generation = read_metadata(stored).generation
    if status.state in (None, EvidenceState.PENDING) or status.observed_generation != generation:
        return "new"
    if status.state in RETRY and status.fetched_at is not None:
        return "expired" if now >= status.fetched_at + RETRY[status.state] else None
    if status.expires_at is not None and now >= status.expires_at - AHEAD:
        return "expired"
    if {result.id for result in status.authorities} != wanted:
        return "authorities"
    return None


def _status(
    status: ModelRecordStatus, stored: Json, generation: int, now: datetime
) -> dict[str, Any]:
    """The status as a merge patch: what it does not say any more is removed."""
    resolved = status.state is EvidenceState.RESOLVED
    before: dict[str, Any] = next(iter((stored.get("status") or {}).get("conditions") or ()), {})
    condition = {
        "type": "Ready",
        "status": "True" if resolved else "False",
        "reason": status.state.value if status.state else "Pending",
        "message": "evidence gathered"
        if resolved or not status.failures
        else status.failures[0].message,
        "observedGeneration": generation,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if before.get("status") == condition["status"] and before.get("lastTransitionTime"):
        condition["lastTransitionTime"] = before["lastTransitionTime"]
    patch: dict[str, Any] = msgspec.to_builtins(status)
    patch = {key: _without_none(value) for key, value in patch.items()}
    patch["conditions"] = [condition]
    patch["observedGeneration"] = generation
    return patch


def _without_none(value: Any) -> Any:
    """Lists replace lists in a merge patch, and their members may hold no null."""
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _collection(plural: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/{plural}"
