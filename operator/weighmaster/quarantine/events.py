"""Events on pods and their owners: one for each thing that is so, not one each time it is seen.

An event's name comes from what it says, so that a controller that is started again repeats none.
"""

import asyncio
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import NoReturn

import structlog

from weighmaster.cluster.client import ApiClient, Json
from weighmaster.errors import ClusterError
from weighmaster.quarantine.incidents import Incident
from weighmaster.quarantine.owners import Owners
from weighmaster.quarantine.pods import Owner
from weighmaster.quarantine.terms import Terms
from weighmaster.telemetry import SandboxMetrics, where_failed

COMPONENT = "weighmaster-controller"

MAX_MESSAGE = 1024
"""Characters (core/v1 Event)."""

MAX_WAITING = 2000
"""Events not written yet; more are dropped and counted."""

MAX_REMEMBERED = 50_000

REPEATED_AFTER = timedelta(hours=1)
"""How long an API server keeps events; what is still so then is told again."""

INTERVAL = 0.02
"""Seconds between events at least: they must not crowd out what is done."""

_log = structlog.get_logger()


class Events:
    """Writes events in the background; telling never blocks."""

    def __init__(
        self,
        client: ApiClient,
        owners: Owners,
        metrics: SandboxMetrics,
        terms: Terms,
    ) -> None:
        self._client = client
        self._owners = owners
        self._metrics = metrics
        self._leads = terms.leads
        self._clock = terms.wall
        self._queue: asyncio.Queue[Incident] = asyncio.Queue(MAX_WAITING)
        self._told: OrderedDict[str, datetime] = OrderedDict()

    @property
    def full(self) -> bool:
        """Whether no more can be told now; what is still so can be told later."""
        return self._queue.full()

    def tell(self, incident: Incident) -> None:
        """Have an incident told, unless it has been lately."""
        if self._is_news(incident.key):
            try:
                self._queue.put_nowait(incident)
            except asyncio.QueueFull:
                self._forget(incident)

    async def run(self) -> NoReturn:
        """Write events until cancelled."""
        while True:
            incident = await self._queue.get()
            try:
                await self._write(incident)
                if incident.owner is not None:
                    await self._tell_owner(incident, incident.owner)
            except ClusterError as error:
                _log.warning("event not written", reason=incident.reason, error=str(error))
                self._forget(incident)
            except Exception as error:  # noqa: BLE001 - one that fails must not end the others
                _log.error("event failed", reason=incident.reason, **where_failed(error))
                self._forget(incident)
            await asyncio.sleep(INTERVAL)

    def _forget(self, incident: Incident) -> None:
        self._told.pop(incident.key, None)
        self._metrics.events_dropped.inc()

    def _is_news(self, key: str) -> bool:
        """Whether something has not been told lately; from now on it has."""
        now = self._clock()
        told = self._told.get(key)
        if told is not None and now < told + REPEATED_AFTER:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        return True

    async def _tell_owner(self, incident: Incident, owner: Owner) -> None:
        """Tell the owner of a pod what is so for one of its pods: once, however many they are."""
        root = await self._owners.root(incident.namespace, owner)
        told = Incident(
            namespace=incident.namespace,
            about=root,
            reason=incident.reason,
            message=f"pod {incident.about.name}: {incident.message}",
            which=incident.which,
            warning=incident.warning,
        )
        if self._is_news(told.key):
            await self._write(told)

    async def _write(self, incident: Incident) -> None:
        if not self._leads():
            return
        namespace = incident.namespace or "default"
        try:
            await self._client.create(
                f"/api/v1/namespaces/{namespace}/events", _event(incident, namespace, self._clock())
            )
        except ClusterError as error:
            if error.status not in (404, 409):  # its namespace is gone, or it is there already
                raise


def _event(incident: Incident, namespace: str, now: datetime) -> Json:
    about = incident.about
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    message = incident.message
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name[:230]}.{incident.key}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": incident.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "reason": incident.reason,
        "message": message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 3]}...",
        "type": "Warning" if incident.warning else "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
