"""A view of the cluster, for everything that is done about running pods.

It is only given out while all of it is known and fresh: what is done by half of the truth, such as
policies without the exceptions from them, is done to people's pods.
"""

import asyncio

from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.reflector import Reflector, Resource
from weighmaster.cluster.sandboxes import NETWORK_POLICIES
from weighmaster.cluster.store import ClusterStore
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.quarantine.networks import Networks
from weighmaster.quarantine.pods import Pods
from weighmaster.telemetry import StoreMetrics

MAX_STALENESS = 180.0
"""Seconds without word from the API server after which nothing is done; as for the webhook."""


class ClusterView:
    """Policies and what belongs to them, pods and NetworkPolicies."""

    def __init__(self, client: ApiClient, metrics: StoreMetrics, image: str | None) -> None:
        self._wakes: list[asyncio.Event] = []
        self.store = ClusterStore(client, metrics, MAX_STALENESS, sandboxes=False)
        self.pods = Pods(self._changed, image)
        self.networks = Networks(self._changed)
        pods = Resource("pods", "/api/v1/pods", keep=self.pods.keep)
        networks = Resource(
            NETWORK_POLICIES.name,
            NETWORK_POLICIES.path,
            keep=self.networks.keep,
        )
        self._reflectors = (
            Reflector(client, pods, self.pods, metrics),
            Reflector(client, networks, self.networks, metrics),
        )

    def subscribe(self) -> asyncio.Event:
        """An event that is set whenever anything changes; to be cleared by who asked for it."""
        wake = asyncio.Event()
        self._wakes.append(wake)
        return wake

    def snapshot(self) -> Snapshot | None:
        """What decisions read; None while a change of anything here could go unnoticed."""
        for reflector in self._reflectors:
            if not reflector.watching or reflector.staleness > MAX_STALENESS:
                return None
        if not self.store.watching:
            return None
        return self.store.snapshot()

    def not_ready(self) -> str | None:
        """Why nothing is given out; None when it is."""
        for reflector in self._reflectors:
            if not reflector.synced:
                return f"{reflector.resource.name} have not been listed yet"
        return self.store.not_ready()

    async def run(self) -> None:
        """Keep the view current until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.store.run())
            group.create_task(self._pass_on(), name="changes of policies")
            for reflector in self._reflectors:
                group.create_task(reflector.run(), name=f"reflect {reflector.resource.name}")

    async def _pass_on(self) -> None:
        while True:
            await self.store.changed()
            self._changed()

    def _changed(self) -> None:
        for wake in self._wakes:
            wake.set()
