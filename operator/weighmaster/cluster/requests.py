"""Requests for evidence: the webhook creates ModelRecords, the controller fills them in."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog
from msgspec import Struct

from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.recording import COLLECTION, create_record
from weighmaster.cluster.store import ClusterStore
from weighmaster.core.evaluate.records import LAST_USED, Record
from weighmaster.errors import ClusterError

MAX_WAITING = 1000
"""Requests not sent yet; more are dropped, and made again by the next request for the model."""

MAX_REMEMBERED = 10_000
"""References that are not asked for twice."""

AGAIN_AFTER = 0.5
"""Seconds of rest after a request that failed."""

_FOR_GOOD = frozenset({400, 409, 413, 422})
"""Refusals that asking again does not change: of the record itself, or of all its names."""

_log = structlog.get_logger()


class _Use(Struct, frozen=True):
    name: str
    day: str


class EvidenceRequests:
    """Asks for evidence, once per reference however many pods use it, and waits for it a little.

    Asking never blocks: records are created one after another in the background.
    """

    def __init__(
        self,
        client: ApiClient,
        store: ClusterStore,
        wait: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._store = store
        self._wait = wait
        self._clock = clock
        self._queue: asyncio.Queue[str | _Use] = asyncio.Queue(MAX_WAITING)
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._noted: dict[str, str] = {}

    async def run(self) -> None:
        """Create the records that are asked for and note which are used, until cancelled."""
        while True:
            job = await self._queue.get()
            try:
                if isinstance(job, _Use):
                    annotations = {"annotations": {LAST_USED: job.day}}
                    await self._client.patch(f"{COLLECTION}/{job.name}", {"metadata": annotations})
                else:
                    await create_record(self._client, job)
            except ClusterError as error:
                self._failed(job, error)
                if isinstance(job, str):  # what is only noted must not hold up what is asked for
                    await asyncio.sleep(AGAIN_AFTER)

    def _failed(self, job: str | _Use, error: ClusterError) -> None:
        if isinstance(job, _Use):
            self._noted.pop(job.name, None)
            return
        _log.warning("record not created", reference=job, error=str(error))
        if error.status not in _FOR_GOOD:
            self._asked.pop(job, None)

    def used(self, records: Iterable[Record], day: str) -> None:
        """Note that records were used on a day, once a day; never blocks."""
        for record in records:
            if not record.managed or record.last_used >= day:
                continue
            if self._noted.get(record.name) == day:
                continue
            if len(self._noted) >= MAX_REMEMBERED:
                self._noted.clear()
            try:
                self._queue.put_nowait(_Use(record.name, day))
            except asyncio.QueueFull:
                return
            self._noted[record.name] = day

    def ask(self, references: tuple[str, ...]) -> None:
        """Ask for evidence about references that nobody has asked for lately."""
        snapshot = self._store.snapshot()
        for reference in references:
            there = snapshot is not None and reference in snapshot.records
            if there or reference in self._asked:
                continue
            try:
                self._queue.put_nowait(reference)
            except asyncio.QueueFull:
                return
            self._asked[reference] = None
            if len(self._asked) > MAX_REMEMBERED:
                self._asked.popitem(last=False)

    async def settled(self, references: tuple[str, ...]) -> bool:
        """Wait until there is evidence about all references; false when that takes too long."""
        try:
            async with asyncio.timeout(self._wait):
                while not self._is_settled(references):
                    await self._store.changed()
        except TimeoutError:
            return False
        return True

    def _is_settled(self, references: tuple[str, ...]) -> bool:
        snapshot = self._store.snapshot()
        if snapshot is None:
            return False
        records = [snapshot.records.get(reference) for reference in references]
        now = self._clock()
        settled = all(record is not None and not record.awaited(now) for record in records)
        if not settled:
            # One that was deleted meanwhile may be asked for again.
            for reference, record in zip(references, records, strict=True):
                if record is None and self._queue.empty():
                    self._asked.pop(reference, None)
        return settled
