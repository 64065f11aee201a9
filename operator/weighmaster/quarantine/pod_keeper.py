"""The keeper of running pods: judges them continually, and sees to what follows.

It is level-triggered: what there is (pods, policies, evidence) is judged by the pipeline that
admits pods, a plan is made from that, and what the plan asks for is begun. What was done shows on
the pods; nothing else has to be remembered, so another controller can go on where this one stops.
"""

import asyncio
import time
from collections.abc import Hashable, Iterable, Sequence
from functools import partial

import structlog

from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.requests import EvidenceRequests
from weighmaster.core.evaluate.facilities import Facilities
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.core.evaluate.records import record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.errors import ClusterError
from weighmaster.quarantine.attempts import Attempts
from weighmaster.quarantine.buckets import Buckets
from weighmaster.quarantine.cluster_view import ClusterView
from weighmaster.quarantine.deeds import Deeds
from weighmaster.quarantine.events import Events
from weighmaster.quarantine.incidents import exposure, violation
from weighmaster.quarantine.looking import keep_looking
from weighmaster.quarantine.network_keeper import NetworkKeeper
from weighmaster.quarantine.networks import Network
from weighmaster.quarantine.owners import Owners
from weighmaster.quarantine.plan import plan
from weighmaster.quarantine.pods import Pod
from weighmaster.quarantine.situation import Case, Deed, Doing, Mark, Situation
from weighmaster.quarantine.standings import Standings
from weighmaster.quarantine.statuses import Statuses
from weighmaster.quarantine.terms import Terms
from weighmaster.quarantine.verdicts import Verdicts
from weighmaster.quarantine.wanted import rules_of
from weighmaster.quarantine.way_out import Way, WayOut, ways_out
from weighmaster.telemetry import SandboxMetrics, where_failed

LOOK_AGAIN = 5.0
"""Seconds between looks when nothing happens and nothing waits."""

SOON = 0.5
"""Seconds between looks while something waits for its time."""

ROLLOUT_REST = 600.0
"""Seconds for which an owner is not rolled out again, whatever its new pods are like."""

ROLLOUTS = 10
"""Owners that are rolled out within a minute: one exception may release many at once."""

_log = structlog.get_logger()


class PodKeeper:
    """Reports, quarantines, evicts, releases and ends pods, as policies and profiles say."""

    def __init__(
        self,
        client: ApiClient,
        view: ClusterView,
        networks: NetworkKeeper,
        metrics: SandboxMetrics,
        terms: Terms,
    ) -> None:
        self._view = view
        self._networks = networks
        self._metrics = metrics
        self._terms = terms
        self._wake = view.subscribe()
        owners = Owners(client)
        self._events = Events(client, owners, metrics, terms)
        self._deeds = Deeds(client, owners, self._events, metrics, terms.wall)
        self._attempts = Attempts(terms.leads, self._wake.set, self._report, terms.monotonic)
        self._statuses = Statuses(client, self._attempts, metrics)
        self._requests = EvidenceRequests(client, view.store, 0)
        self._verdicts = Verdicts(terms.wall)
        self._standings = Standings(terms.monotonic)
        self._buckets = Buckets(terms.monotonic)
        self._begun: dict[Mark, PolicyKey] = {}
        self._rolled: dict[str, float] = {}

    async def run(self) -> None:
        """Keep pods until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run(), name="events")
            group.create_task(self._requests.run(), name="requests for evidence")
            await keep_looking("running pods", self._wake, partial(self.look, group))

    async def look(self, group: asyncio.TaskGroup) -> float:
        """Begin all that has to be done now; seconds until the next look at the latest."""
        snapshot = self._view.snapshot()
        if snapshot is None or not self._terms.leads():
            return SOON
        begun = time.monotonic()
        served = {pod.served for pod in self._pods()}
        if await self._verdicts.renew(snapshot, served):
            self._metrics.audit_duration.observe(time.monotonic() - begun)
            self._ask_for_evidence(snapshot)
        self._attempts.tidy()
        judged = [(pod, self._verdicts.on(pod.served)) for pod in self._pods()]
        cases = self._standings.settle(
            (pod, verdict) for pod, verdict in judged if verdict is not None
        )
        exposed = self._find_exposed(
            (case.pod for case in cases if case.pod.profile), snapshot.facilities
        )
        situation = self._situation(snapshot, cases, exposed)
        made = plan(situation)
        for deed in made.deeds:
            self._begin(deed, group)
        outs = list(ways_out(cases, snapshot.facilities.profiles, situation.now))
        for out in outs:
            self._let_out(out, group)
        self._tell(cases)
        self._statuses.show(made.tallies)
        self._statuses.show_pods((case.pod for case in cases), len(exposed))
        later = self._statuses.write(group, made.tallies)
        waits = later or any(not case.settled for case in cases)
        waits = waits or any(tally.waiting for tally in made.tallies.values())
        return SOON if waits or made.deeds or outs else LOOK_AGAIN

    def _pods(self) -> list[Pod]:
        return [pod for pod in self._view.pods if pod.namespace not in self._terms.exempt]

    def _situation(
        self, snapshot: Snapshot, cases: Sequence[Case], exposed: dict[str, list[Network]]
    ) -> Situation:
        pods = {case.pod.uid: case.pod for case in cases}
        self._begun = {
            mark: policy
            for mark, policy in self._begun.items()
            if mark[0] in pods and self._attempts.under_way(mark, pods[mark[0]])
        }
        refused = {
            (case.pod.uid, doing)
            for case in cases
            if case.verdict.objected
            for doing in Doing
            if (case.pod.uid, doing) not in self._begun
            and not self._attempts.may((case.pod.uid, doing), case.pod)
        }
        return Situation(
            cases=cases,
            snapshot=snapshot,
            now=self._terms.wall(),
            ready=self._networks.ready,
            evictions=self._buckets.fill(snapshot.policies),
            under_way=self._begun,
            refused=refused,
            exposed=exposed.keys(),
        )

    def _begin(self, deed: Deed, group: asyncio.TaskGroup) -> None:
        mark = deed.pod.uid, deed.doing
        self._begun[mark] = deed.policy
        if deed.doing is Doing.QUARANTINE:
            act = partial(self._deeds.quarantine, deed, self._networks.ready)
        else:
            self._buckets.take(deed.policy)
            act = partial(self._evict, deed)
        self._attempts.run(group, mark, deed.pod, act)

    async def _evict(self, deed: Deed) -> None:
        try:
            await self._deeds.evict(deed)
        except ClusterError:
            self._buckets.give_back(deed.policy)
            raise

    def _let_out(self, out: WayOut, group: asyncio.TaskGroup) -> None:
        pod, decision = out.case.pod, out.case.verdict.decision
        key = (out.way, pod.uid)
        rest = 0.0
        match out.way:
            case Way.RELEASE:
                act = partial(self._deeds.release, pod, decision)
            case Way.EXPIRE:
                act = partial(self._deeds.expire, pod)
            case Way.TELL:
                act, rest = partial(self._tell_way_out, pod, decision), ROLLOUT_REST
            case Way.ROLLOUT:
                key = (out.way, pod.owner.uid if pod.owner is not None else pod.uid)
                act, rest = partial(self._roll, pod, decision), ROLLOUT_REST
        if self._attempts.may(key, pod) and (out.way is not Way.ROLLOUT or self._may_roll()):
            self._attempts.run(group, key, pod, act, rest=rest)

    async def _roll(self, pod: Pod, decision: str) -> None:
        """Roll the owner out, unless it has been for another of its pods, or of its ReplicaSets."""
        root = await self._deeds.root(pod)
        if root is not None:
            now = self._terms.monotonic()
            if now < self._rolled.get(root.uid, float("-inf")) + ROLLOUT_REST:
                return
            self._rolled[root.uid] = now
        await self._deeds.roll(pod, root, decision)

    async def _tell_way_out(self, pod: Pod, decision: str) -> None:
        self._deeds.tell_way_out(pod, await self._deeds.root(pod), decision)

    def _may_roll(self) -> bool:
        """Whether another owner may be rolled out within this minute."""
        now = self._terms.monotonic()
        self._rolled = {uid: at for uid, at in self._rolled.items() if now < at + ROLLOUT_REST}
        lately = sum(now < at + 60 for at in self._rolled.values())
        return lately < ROLLOUTS

    def _find_exposed(
        self, confined: Iterable[Pod], facilities: Facilities
    ) -> dict[str, list[Network]]:
        """Confined pods that are not isolated, by uid, and what opens them."""
        exposed = {}
        for pod in confined:
            rules = rules_of(facilities.profiles.get(pod.profile))
            opening = self._view.networks.opening(pod, rules)
            if opening or pod.host_network:
                exposed[pod.uid] = opening
                for incident in exposure(pod, opening):
                    self._events.tell(incident)
        return exposed

    def _tell(self, cases: Iterable[Case]) -> None:
        """Tell of pods that would not be admitted as they are, and are not confined."""
        for case in cases:
            if not case.settled or case.pod.profile or case.pod.leaving:
                continue
            for objection in case.verdict.objections:
                if self._events.full:
                    return
                if objection.enforced:
                    self._events.tell(violation(case, objection))

    def _ask_for_evidence(self, snapshot: Snapshot) -> None:
        """Have evidence gathered that running pods lack, and what they use kept."""
        day = self._terms.wall().date().isoformat()
        for served in {pod.served for pod in self._pods()}:
            verdict = self._verdicts.on(served)
            if verdict is not None and verdict.awaits:
                self._requests.ask(verdict.awaits)
            namespace = served.workload.namespace
            found = (
                snapshot.records.get(record_key(use.reference, namespace)) for use in served.uses
            )
            self._requests.used((record for record in found if record is not None), day)

    def _report(self, key: Hashable, error: Exception) -> None:
        """Log and count what fails; it is tried again later."""
        what = str(key[0] if isinstance(key, tuple) else key)
        if isinstance(key, tuple) and isinstance(key[1], Doing):
            what = key[1]
        self._metrics.action_failures.labels(what).inc()
        if isinstance(error, ClusterError):
            _log.warning("not done", what=what, error=str(error))
        else:
            _log.error("failed", what=what, **where_failed(error))
