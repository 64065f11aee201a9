"""The keeper of the sandbox: everything the controller does about it, while it leads."""

import asyncio

from weighmaster.cluster.client import ApiClient
from weighmaster.quarantine.cluster_view import ClusterView
from weighmaster.quarantine.network_keeper import NetworkKeeper
from weighmaster.quarantine.pod_keeper import PodKeeper
from weighmaster.quarantine.terms import Terms
from weighmaster.telemetry import SandboxMetrics, StoreMetrics


class SandboxKeeper:
    """Keeps NetworkPolicies and running pods. Each time of leading has one of its own.

    What an earlier one saw is old by then, and must not be acted on.
    """

    def __init__(
        self,
        client: ApiClient,
        store_metrics: StoreMetrics,
        metrics: SandboxMetrics,
        terms: Terms,
        image: str | None = None,
    ) -> None:
        """``image`` is Weighmaster's own; without it no pod counts as verified before start."""
        self._view = ClusterView(client, store_metrics, image)
        self._networks = NetworkKeeper(client, self._view, metrics, terms)
        self._pods = PodKeeper(client, self._view, self._networks, metrics, terms)

    def not_ready(self) -> str | None:
        """Why nothing is done yet; None when all is seen that has to be."""
        return self._view.not_ready()

    async def run(self) -> None:
        """Keep the sandbox until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._view.run(), name="view of the cluster")
            group.create_task(self._networks.run(), name="network policies")
            group.create_task(self._pods.run(), name="running pods")
