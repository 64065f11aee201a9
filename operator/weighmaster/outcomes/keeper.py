"""The keeper of outcomes: writes what verifying containers have found, while it leads.

It is level-triggered: from the pods and ModelRecords that there are it works out which records do
not say yet what they should. Nothing that happens while it is away is lost as long as the pods are
there.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from weighmaster.cluster.client import ApiClient, Json
from weighmaster.cluster.recording import COLLECTION, create_record
from weighmaster.cluster.reflector import ObjectKey, Reflector, Resource
from weighmaster.core.enforce.verification import LABEL
from weighmaster.core.evaluate.records import read_record
from weighmaster.core.evidence import UnavailableReason
from weighmaster.core.mounted import Verdict
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import ClusterError, StagingReason
from weighmaster.outcomes.entries import Due, Known, due
from weighmaster.outcomes.incidents import incident
from weighmaster.outcomes.reports import Report, Reports
from weighmaster.quarantine.events import Events
from weighmaster.quarantine.looking import keep_looking
from weighmaster.quarantine.owners import Owners
from weighmaster.quarantine.terms import Terms
from weighmaster.telemetry import OutcomeMetrics, SandboxMetrics, StoreMetrics

PODS = f"/api/v1/pods?labelSelector={LABEL}%3Dtrue"

MAX_WRITES = 50
"""Records written in one look; the next one goes on with the rest."""

MAX_COUNTED = 50_000
"""Reports that are remembered to have been counted."""

PATIENCE = 60.0
"""Seconds until the next look when nothing changes."""

AGAIN_AFTER = 2.0
"""Seconds until the next look after a write that failed, or with more to write."""

_REASONS = frozenset(
    reason.value
    for reasons in (VerificationReason, UnavailableReason, StagingReason)
    for reason in reasons
)

_log = structlog.get_logger()


class Records:
    """Names and entries of ModelRecords by what they are about. A Sink with its ``keep``."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._by_name: dict[str, Known] = {}
        self._on_change = on_change

    @staticmethod
    def keep(stored: Json) -> Known:
        """What is known of a record."""
        record = read_record(stored)
        return Known(record.name, record.reference, tuple(record.status.content))

    def replace(self, resource: str, objects: list[Known]) -> None:  # noqa: ARG002
        """Take a full listing in place of everything before."""
        self._by_name = {known.name: known for known in objects}
        self._on_change()

    def update(self, resource: str, stored: Known) -> None:  # noqa: ARG002
        """Take a new or changed record."""
        if self._by_name.get(stored.name) != stored:
            self._by_name[stored.name] = stored
            self._on_change()

    def remove(self, resource: str, key: ObjectKey) -> None:  # noqa: ARG002
        """Forget a record."""
        self._by_name.pop(key[1], None)

    def by_key(self) -> Mapping[str, Known]:
        """The record of each reference; of several, the first by name."""
        found: dict[str, Known] = {}
        for name in sorted(self._by_name, reverse=True):
            known = self._by_name[name]
            if known.key:
                found[known.key] = known
        return found


class Metrics(Struct, frozen=True):
    """Where things are counted."""

    store: StoreMetrics
    outcomes: OutcomeMetrics
    events: SandboxMetrics


class OutcomeKeeper:
    """Keeps what was found in ModelRecords, tells people, and counts.

    ``image`` is Weighmaster's own, by which its containers are known; without it none is. Each
    time of leading has a keeper of its own.
    """

    def __init__(
        self, client: ApiClient, image: str | None, metrics: Metrics, terms: Terms
    ) -> None:
        self._client = client
        self._events = Events(client, Owners(client), metrics.events, terms)
        self._metrics = metrics.outcomes
        self._leads = terms.leads
        self._wake = asyncio.Event()
        self._reports = Reports(image, self._wake.set)
        self._records = Records(self._wake.set)
        self._begun = terms.wall().replace(microsecond=0)  # kubelets write whole seconds
        self._counted: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        pods = Resource("verified pods", PODS, keep=self._reports.keep)
        records = Resource("modelrecords", COLLECTION, keep=self._records.keep)
        self._reflectors = (
            Reflector(client, pods, self._reports, metrics.store),
            Reflector(client, records, self._records, metrics.store),
        )

    def not_ready(self) -> str | None:
        """Why nothing is written yet; None when all is seen that has to be."""
        for reflector in self._reflectors:
            if not reflector.synced:
                return f"{reflector.resource.name} have not been listed yet"
        return None

    async def run(self) -> None:
        """Keep outcomes until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"reflect {reflector.resource.name}")
            group.create_task(self._events.run(), name="events about outcomes")
            group.create_task(keep_looking("outcomes", self._wake, self._look), name="outcomes")

    async def _look(self) -> float:
        if self.not_ready() is not None:
            return AGAIN_AFTER
        reports = list(self._reports)
        for report in reports:
            self._tell(report)
        wanted = due(reports, self._records.by_key())
        failed = False
        for each in wanted[:MAX_WRITES]:
            if not self._leads():
                return AGAIN_AFTER
            try:
                await self._write(each)
            except ClusterError as error:
                _log.warning("outcome not written", record=each.name, error=str(error))
                failed = True
        return AGAIN_AFTER if failed or len(wanted) > MAX_WRITES else PATIENCE

    def _tell(self, report: Report) -> None:
        """Count a report once, and tell what it found wrong; events know what has been told.

        What was there before is not counted: whoever led then has, and a change of leaders would
        look as if everything had been verified again.
        """
        seen = (report.pod.uid, report.container, report.at.isoformat())
        if report.at >= self._begun and seen not in self._counted:
            self._counted[seen] = None
            if len(self._counted) > MAX_COUNTED:
                self._counted.popitem(last=False)
            self._count(report.verdict)
        found = incident(report)
        if found is not None:
            self._events.tell(found)

    def _count(self, verdict: Verdict) -> None:
        verified = sum(weighed.bytes for weighed in verdict.verified if weighed.bytes > 0)
        reason = verdict.reason if verdict.reason in _REASONS else ""
        self._metrics.ended(verdict.result.value, reason, verified, max(0.0, verdict.seconds))

    async def _write(self, wanted: Due) -> None:
        if not wanted.name:  # the watch tells of it once it is there
            await create_record(self._client, wanted.reference, namespace=wanted.namespace)
            return
        entries = [_plain(msgspec.to_builtins(entry)) for entry in wanted.entries]
        await self._client.patch_status(f"{COLLECTION}/{wanted.name}", {"content": entries})
        _log.info(
            "outcome written",
            record=wanted.name,
            reference=wanted.reference,
            outcomes=sorted({entry.outcome.value for entry in wanted.entries}),
        )


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without nulls, which its definition does not allow."""
    return {key: value for key, value in entry.items() if value is not None}
