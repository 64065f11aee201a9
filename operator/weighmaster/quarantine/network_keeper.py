"""The keeper of NetworkPolicies: each is there before it is needed, and as it should be.

It is level-triggered: what is wanted is worked out from policies, profiles, namespaces and pods,
and compared with what is stored. Without a complete view of them nothing is done.
"""

import asyncio
from collections.abc import Hashable
from functools import partial

import structlog

from weighmaster.cluster.client import ApiClient, Json
from weighmaster.core.enforce.confinement.network import NAME_PREFIX
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.errors import ClusterError
from weighmaster.quarantine.attempts import Attempts
from weighmaster.quarantine.cluster_view import ClusterView
from weighmaster.quarantine.looking import keep_looking
from weighmaster.quarantine.networks import Network
from weighmaster.quarantine.terms import Terms
from weighmaster.quarantine.wanted import Place, wanted_networks
from weighmaster.telemetry import SandboxMetrics, where_failed

KEPT_FOR = 20.0
"""Seconds for which one that nothing needs is kept: a policy that is deleted and created anew, as
some tools update it, must not leave a moment without it."""

LOOK_AGAIN = 10.0
"""Seconds between looks when nothing happens meanwhile."""

_log = structlog.get_logger()


class NetworkKeeper:
    """Creates, corrects and deletes the NetworkPolicies of sandbox profiles."""

    def __init__(
        self,
        client: ApiClient,
        view: ClusterView,
        metrics: SandboxMetrics,
        terms: Terms,
    ) -> None:
        self._client = client
        self._view = view
        self._metrics = metrics
        self._terms = terms
        self._clock = terms.monotonic
        self._wake = view.subscribe()
        self._attempts = Attempts(terms.leads, self._wake.set, self._report, terms.monotonic)
        self._seen: tuple[object, ...] = ()
        self._wanted: dict[Place, Json] = {}
        self._unwanted: dict[Place, float] = {}
        self._taken: dict[Place, tuple[Json, Json]] = {}

    async def run(self) -> None:
        """Keep them until cancelled."""
        async with asyncio.TaskGroup() as group:

            async def look() -> float:
                self.look(group)
                return LOOK_AGAIN

            await keep_looking("network policies", self._wake, look)

    def ready(self, place: Place) -> bool:
        """Whether the NetworkPolicy of a profile in a namespace is stored as it should be."""
        found, desired = self._view.networks.get(*place), self._wanted.get(place)
        return found is not None and desired is not None and self._is_right(place, found, desired)

    def look(self, group: asyncio.TaskGroup) -> None:
        """Begin all that has to be done now."""
        snapshot = self._view.snapshot()
        if snapshot is None or not self._terms.leads():
            return
        self._attempts.tidy()
        self._work_out(snapshot)
        for place, desired in self._wanted.items():
            self._unwanted.pop(place, None)
            found = self._view.networks.get(*place)
            right = found is not None and self._is_right(place, found, desired)
            if not right and self._attempts.may(place, found):
                write = partial(self._write, place, found, desired)
                self._attempts.run(group, place, found, write)
        self._metrics.network_policies.set(len(self._wanted))
        for network in list(self._view.networks.own()):
            self._consider_deleting(network, group)

    def _work_out(self, snapshot: Snapshot) -> None:
        """Know what is wanted; worked out again when something that it depends on has changed."""
        labelled = {(pod.namespace, pod.profile) for pod in self._view.pods if pod.profile}
        seen = snapshot.policies, snapshot.namespaces, snapshot.facilities.profiles, labelled
        if self._seen != seen:
            self._wanted = wanted_networks(snapshot, self._view.pods, self._terms.exempt)
            self._seen = seen
            self._taken = {at: each for at, each in self._taken.items() if at in self._wanted}

    def _is_right(self, place: Place, found: Network, desired: Json) -> bool:
        if found.is_as(desired):
            return True
        # What the API server makes of it is as right as it can be: writing again changes nothing.
        stored = (found.stored or {}).get("spec")
        return not found.leaving and self._taken.get(place) == (desired["spec"], stored)

    async def _write(self, place: Place, found: Network | None, desired: Json) -> None:
        namespace, name = place[0], desired["metadata"]["name"]
        if found is None:
            made = "created"
            answer = await self._client.create(_collection(namespace), desired)
        else:
            made = "corrected"
            path = f"{_collection(namespace)}/{name}"
            answer = await self._client.replace(path, found.replaced_by(desired))
        if answer.get("spec") != desired["spec"]:
            self._taken[place] = desired["spec"], answer.get("spec") or {}
        self._metrics.network_policy_writes.labels(made).inc()
        _log.info(f"network policy {made}", namespace=namespace, name=name)

    def _consider_deleting(self, network: Network, group: asyncio.TaskGroup) -> None:
        """Delete one that nothing has needed for a while, if it was made by us."""
        at = network.namespace, network.name
        place = network.namespace, network.name.removeprefix(NAME_PREFIX)
        if place in self._wanted or not network.managed or network.leaving:
            self._unwanted.pop(at, None)
            return
        since = self._unwanted.setdefault(at, self._clock())
        if self._clock() < since + KEPT_FOR or not self._attempts.may(at, network):
            return

        async def delete() -> None:
            path = f"{_collection(network.namespace)}/{network.name}"
            await self._client.delete(path, uid=network.uid)
            self._metrics.network_policy_writes.labels("deleted").inc()
            _log.info("network policy deleted", namespace=network.namespace, name=network.name)

        self._attempts.run(group, at, network, delete)

    def _report(self, key: Hashable, error: Exception) -> None:
        """Log what goes wrong when it begins; it is tried again and again."""
        if isinstance(error, ClusterError):
            _log.warning("network policy not written", key=key, error=str(error))
        else:
            _log.error("network policy failed", key=key, **where_failed(error))


def _collection(namespace: str) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
