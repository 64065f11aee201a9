"""The pace: how much more each policy may do to running pods at a moment. Pure.

How much has been done is read from the pods themselves, so that a controller that has just taken
over knows as well.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from msgspec import Struct

from weighmaster.api.v1alpha1.policy import Running
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.quarantine.situation import Case, Deed, Doing, Situation, policy_key

WINDOW = timedelta(minutes=1)
"""The minute of ``maxPerMinute``."""


class Obstacle(Struct, frozen=True, order=True):
    """Why something waits. What people have to mend comes before what passes by itself."""

    rank: int
    text: str


SETTLING = Obstacle(9, "")

_REFUSED = {
    Doing.QUARANTINE: Obstacle(2, "the API server refuses to have pods labelled; see the log"),
    Doing.EVICT: Obstacle(4, "held up by PodDisruptionBudgets, or refused by the API server"),
}


class Pace:
    """What may still be done; told of what is, by ``take``."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._policies = {policy.key: policy for policy in situation.snapshot.policies}
        self._evictions = dict(situation.evictions)
        self._recent = Counter(
            policy
            for (_, doing), policy in situation.under_way.items()
            if doing is Doing.QUARANTINE
        )
        self._out_of_service = {uid for uid, _ in situation.under_way}
        self._serving: Counter[PolicyKey] = Counter()
        self._out: Counter[PolicyKey] = Counter()
        recently = situation.now - WINDOW
        for case in situation.cases:
            pod = case.pod
            if pod.quarantined and pod.quarantined_at and pod.quarantined_at > recently:
                self._recent[policy_key(pod.quarantined_by)] += 1
            if pod.quarantined or (pod.leaving and case.verdict.objected):
                self._out_of_service.add(pod.uid)
        self._sum_up()

    def obstacle(self, deed: Deed, case: Case) -> Obstacle | None:
        """What keeps something from being done now."""
        if not case.settled:
            return SETTLING
        pace = self._policies[deed.policy].pace
        if deed.doing is Doing.QUARANTINE:
            if (unready := self._unready(deed)) is not None:
                return unready
            exhausted = self._recent[deed.policy] >= pace.max_per_minute
        else:
            exhausted = self._evictions.get(deed.policy, 0) < 1
        out, serving = self._out[deed.policy], self._serving[deed.policy]
        if deed.pod.uid not in self._out_of_service and out * 100 >= serving * pace.max_percent:
            return Obstacle(
                3,
                f"{out} of {serving} pods that serve models are in quarantine or on their way out;"
                f" the rest waits until enforcement.pace.maxPercent ({pace.max_percent}) is raised",
            )
        if (deed.pod.uid, deed.doing) in self._situation.refused:
            return _REFUSED[deed.doing]
        if exhausted:
            return Obstacle(5, f"paced by enforcement.pace.maxPerMinute ({pace.max_per_minute})")
        return None

    def take(self, deed: Deed) -> None:
        """Count something as done."""
        if deed.doing is Doing.QUARANTINE:
            self._recent[deed.policy] += 1
        else:
            self._evictions[deed.policy] -= 1
        if deed.pod.uid not in self._out_of_service:
            self._out_of_service.add(deed.pod.uid)
            for key in self._covering(deed.pod.namespace):
                self._out[key] += 1

    def _unready(self, deed: Deed) -> Obstacle | None:
        profile = self._situation.snapshot.facilities.profiles.get(deed.profile)
        if profile is None or profile.spec is None:
            return Obstacle(
                0, f'there is no SandboxProfile "{deed.profile}" that can be used to isolate pods'
            )
        namespace = deed.pod.namespace
        if not self._situation.ready((namespace, deed.profile)):
            return Obstacle(
                1,
                f'the NetworkPolicy of profile "{deed.profile}" in namespace {namespace} is not'
                " there yet",
            )
        return None

    def _sum_up(self) -> None:
        """Pods that serve models, and those out of service, in all namespaces of each policy."""
        serving: Counter[str] = Counter()
        out: Counter[str] = Counter()
        for case in self._situation.cases:
            if case.pod.served.uses:
                serving[case.pod.namespace] += 1
                out[case.pod.namespace] += case.pod.uid in self._out_of_service
        for namespace, count in serving.items():
            for key in self._covering(namespace):
                self._serving[key] += count
                self._out[key] += out[namespace]

    def _covering(self, namespace: str) -> Iterable[PolicyKey]:
        for policy, _ in self._situation.snapshot.applicable(namespace):
            if policy.running is not Running.REPORT:
                yield policy.key
