"""What policies find among running pods, written to their status and shown in metrics."""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial

import msgspec

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import VERSION, ClusterModelPolicy, ModelPolicy
from weighmaster.cluster.client import ApiClient
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.errors import ClusterError
from weighmaster.quarantine.attempts import Attempts
from weighmaster.quarantine.plan import Tally
from weighmaster.quarantine.pods import Pod
from weighmaster.telemetry import SandboxMetrics

INTERVAL = 2.0
"""Seconds between two writes of one status at least."""

MAX_MESSAGE = 1024


class Statuses:
    """Writes tallies when they change, each policy's at its own pace."""

    def __init__(self, client: ApiClient, attempts: Attempts, metrics: SandboxMetrics) -> None:
        self._client = client
        self._attempts = attempts
        self._metrics = metrics
        self._written: dict[PolicyKey, Tally] = {}

    def write(self, group: asyncio.TaskGroup, tallies: Mapping[PolicyKey, Tally]) -> bool:
        """Begin to write what has changed; whether there is more to write later."""
        self._written = {key: each for key, each in self._written.items() if key in tallies}
        later = False
        for key, tally in tallies.items():
            if self._written.get(key) == tally:
                continue
            if self._attempts.may(("status", key), tally):
                write = partial(self._write, key, tally)
                self._attempts.run(group, ("status", key), tally, write, rest=INTERVAL)
            else:
                later = True
        return later

    def show(self, tallies: Mapping[PolicyKey, Tally]) -> None:
        """Set the metrics of policies."""
        for gauge in (self._metrics.violations, self._metrics.waiting):
            gauge.clear()
        for key, tally in tallies.items():
            self._metrics.violations.labels(str(key)).set(tally.violating)
            self._metrics.waiting.labels(str(key)).set(tally.waiting)

    def show_pods(self, pods: Iterable[Pod], exposed: int) -> None:
        """Set the metrics of pods."""
        metrics = self._metrics
        metrics.sandboxed.clear()
        metrics.quarantined.clear()
        serving = 0
        for pod in pods:
            serving += bool(pod.served.uses)
            if pod.profile:
                metrics.sandboxed.labels(pod.profile).inc()
            if pod.quarantined:
                metrics.quarantined.labels(pod.profile).inc()
        metrics.serving.set(serving)
        metrics.exposed.set(exposed)

    async def _write(self, key: PolicyKey, tally: Tally) -> None:
        plural = (ModelPolicy if key.namespace else ClusterModelPolicy).names.plural
        within = f"namespaces/{key.namespace}/" if key.namespace else ""
        status = msgspec.to_builtins(tally)
        status["message"] = tally.message[:MAX_MESSAGE]
        try:
            await self._client.patch_status(
                f"/apis/{GROUP}/{VERSION}/{within}{plural}/{key.name}", {"running": status}
            )
        except ClusterError as error:
            if error.status != 404:  # deleted meanwhile
                raise
        self._written[key] = tally
