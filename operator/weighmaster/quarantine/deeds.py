"""Deeds: what is done to running pods, as requests to the API server, and what is told of it."""

from collections.abc import Callable
from datetime import datetime

import structlog

from weighmaster.cluster.client import ApiClient, Json
from weighmaster.core.enforce.confinement.marks import QUARANTINED_AT, QUARANTINED_BY, ROLLOUT
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.errors import ClusterError
from weighmaster.quarantine.events import Events
from weighmaster.quarantine.incidents import Incident, of_pod
from weighmaster.quarantine.owners import ROLLED, Owners
from weighmaster.quarantine.pods import Owner, Pod
from weighmaster.quarantine.situation import MAX_SHUTDOWN, Deed
from weighmaster.quarantine.wanted import Place
from weighmaster.quarantine.way_out import age
from weighmaster.telemetry import SandboxMetrics

_log = structlog.get_logger()


class Deeds:
    """Does things to pods. All raise ClusterError when the API server does not take them.

    A pod that is gone, or is another of the same name by now, needs nothing done to it.
    """

    def __init__(
        self,
        client: ApiClient,
        owners: Owners,
        events: Events,
        metrics: SandboxMetrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._owners = owners
        self._events = events
        self._metrics = metrics
        self._clock = clock

    async def quarantine(self, deed: Deed, ready: Callable[[Place], bool]) -> None:
        """Label a pod, so that a NetworkPolicy isolates it; the policy has to be there."""
        pod = deed.pod
        if not ready((pod.namespace, deed.profile)):
            raise ClusterError("the NetworkPolicy has gone meanwhile")
        at = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        marks = {QUARANTINED_AT: at, QUARANTINED_BY: str(deed.policy)}
        changes: Json = {"labels": {SANDBOX_LABEL: deed.profile}, "annotations": marks}
        if not await self._patch(pod, {"metadata": changes}):
            return
        self._done("quarantine", pod, policy=str(deed.policy), decision=deed.decision)
        self._events.tell(
            of_pod(
                pod,
                "Quarantined",
                f'isolated by SandboxProfile "{deed.profile}" (decision {deed.decision}):'
                f" {deed.why}",
                which=str(deed.policy),
                when=at,
            )
        )

    async def evict(self, deed: Deed) -> None:
        """Have a pod evicted (policy/v1 Eviction), which PodDisruptionBudgets may forbid."""
        pod = deed.pod
        options: Json = {"preconditions": {"uid": pod.uid}}
        most = int(MAX_SHUTDOWN.total_seconds())
        if pod.grace > most:
            options["gracePeriodSeconds"] = most
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": options,
        }
        try:
            await self._client.create(f"{_path(pod)}/eviction", eviction)
        except ClusterError as error:
            if error.status == 429:
                self._events.tell(
                    of_pod(
                        pod,
                        "EvictionBlocked",
                        "is to be evicted and a PodDisruptionBudget does not allow it now:"
                        f" {deed.why}",
                        which=str(deed.policy),
                    )
                )
            if error.status not in (404, 409):
                raise
            return
        self._done("evict", pod, policy=str(deed.policy), decision=deed.decision)
        self._events.tell(
            of_pod(
                pod,
                "Evicted",
                f"evicted (decision {deed.decision}): {deed.why}",
                which=str(deed.policy),
                when=pod.uid,
            )
        )

    async def release(self, pod: Pod, decision: str) -> None:
        """Take a pod out of quarantine, as it is."""
        nothing = dict.fromkeys((QUARANTINED_AT, QUARANTINED_BY))
        changes: Json = {"labels": {SANDBOX_LABEL: None}, "annotations": nothing}
        if await self._patch(pod, {"metadata": changes}):
            self._done("release", pod, decision=decision)
            self._events.tell(
                of_pod(
                    pod,
                    "QuarantineLifted",
                    f"no policy asks for its quarantine any more (decision {decision})",
                    when=str(pod.quarantined_at),
                    warning=False,
                )
            )

    async def expire(self, pod: Pod) -> None:
        """Have a quarantined pod ended by its kubelet.

        By a deadline that is over, and not before its time: ``activeDeadlineSeconds`` can be set
        and lowered but never taken away again, so a pod that is released would die of it.
        """
        if await self._patch(pod, {"spec": {"activeDeadlineSeconds": age(pod, self._clock())}}):
            self._done("expire", pod)
            self._events.tell(
                of_pod(
                    pod,
                    "SandboxExpired",
                    f'has been in quarantine for as long as SandboxProfile "{pod.profile}" allows',
                    when=str(pod.quarantined_at),
                )
            )

    async def root(self, pod: Pod) -> Owner | None:
        """The Deployment or whatever else a pod belongs to; None if to nothing."""
        return await self._owners.root(pod.namespace, pod.owner) if pod.owner is not None else None

    async def roll(self, pod: Pod, root: Owner | None, decision: str) -> None:
        """Have a pod's owner make its pods anew; where it cannot, tell people that they may."""
        plural = ROLLED.get(root.kind) if root and root.api_version == "apps/v1" else None
        if root is None or plural is None:
            self.tell_way_out(pod, root, decision)
            return
        path = f"/apis/apps/v1/namespaces/{pod.namespace}/{plural}/{root.name}"
        annotations = {"annotations": {ROLLOUT: decision}}
        changes: Json = {
            "metadata": {"uid": root.uid},
            "spec": {"template": {"metadata": annotations}},
        }
        await self._client.patch(path, changes)
        self._done("rollout", pod, owner=f"{root.kind}/{root.name}", decision=decision)
        self._events.tell(
            Incident(
                namespace=pod.namespace,
                about=root,
                reason="RolledOut",
                message=(
                    "its pods are made anew, because they are allowed to run unconfined now"
                    f" (decision {decision})"
                ),
                when=decision,
                warning=False,
            )
        )

    def tell_way_out(self, pod: Pod, root: Owner | None, decision: str) -> None:
        """Tell how a pod that was admitted confined gets out."""
        if root is not None and root.kind in ROLLED:
            advice = f"kubectl rollout restart {root.kind.lower()}/{root.name} -n {pod.namespace}"
        elif root is not None:
            advice = f"have {root.kind} {root.name} make it anew"
        else:
            advice = "delete it and create it again"
        self._events.tell(
            of_pod(
                pod,
                "SandboxReleasable",
                f"may run unconfined now (decision {decision}) and was admitted confined: {advice}",
                which=decision,
                warning=False,
            )
        )

    async def _patch(self, pod: Pod, changes: Json) -> bool:
        """Merge changes into this very pod; whether it is still there."""
        metadata = {**changes.get("metadata", {}), "uid": pod.uid}
        try:
            await self._client.patch(_path(pod), {**changes, "metadata": metadata})
        except ClusterError as error:
            if error.status not in (404, 409):
                raise
            return False
        return True

    def _done(self, action: str, pod: Pod, **about: str) -> None:
        self._metrics.actions.labels(action).inc()
        _log.info(f"pod: {action}", namespace=pod.namespace, name=pod.name, **about)


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
