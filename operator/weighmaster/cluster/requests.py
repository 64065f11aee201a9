"""Requests for evidence: the webhook creates ModelRecords, the controller fills them in."""

import asyncio
from collections import OrderedDict

import structlog

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import API_VERSION, VERSION, ModelRecord
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.store import ClusterStore
from weighmaster.core.evaluate.records import record_name
from weighmaster.errors import ClusterError

COLLECTION = f"/apis/{GROUP}/{VERSION}/{ModelRecord.names.plural}"

MAX_WAITING = 1000
"""Requests not sent yet; more are dropped, and made again by the next request for the model."""

MAX_REMEMBERED = 10_000
"""References that are not asked for twice."""

_log = structlog.get_logger()


class EvidenceRequests:
    """Asks for evidence, once per reference however many pods use it, and waits for it a little.

    Asking never blocks: records are created one after another in the background.
    """

    def __init__(self, client: ApiClient, store: ClusterStore, wait: float) -> None:
        self._client = client
        self._store = store
        self._wait = wait
        self._queue: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        self._asked: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Create the records that are asked for, until cancelled."""
        while True:
            reference = await self._queue.get()
            try:
                await self._client.create(COLLECTION, new_record(reference))
                _log.info("record created", reference=reference)
            except ClusterError as error:
                if error.status != 409:
                    self._asked.pop(reference, None)
                    _log.warning("record not created", reference=reference, error=str(error))
                    await asyncio.sleep(0.5)

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
        settled = all(record is not None and not record.pending for record in records)
        if not settled:
            # One that was deleted meanwhile may be asked for again.
            for reference, record in zip(references, records, strict=True):
                if record is None and self._queue.empty():
                    self._asked.pop(reference, None)
        return settled


def new_record(reference: str) -> dict[str, object]:
    """A ModelRecord for a reference, as the webhook creates it."""
    return {
        "apiVersion": API_VERSION,
        "kind": ModelRecord.names.kind,
        "metadata": {
            "name": record_name(reference),
            "labels": {"app.kubernetes.io/managed-by": "weighmaster"},
        },
        "spec": {"reference": reference},
    }
