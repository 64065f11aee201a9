"""The plan: what is done next about running pods, from how things stand. Pure.

Order and pace are what keeps a mistake in a policy from becoming an outage: the strictest decisions
first, one pod of each owner before the second of any, no more in a minute and no more at once than
the policy says.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

from msgspec import Struct

from weighmaster.api.v1alpha1.policy import Running
from weighmaster.core.evaluate.policies import Policy, PolicyKey
from weighmaster.core.values import Action
from weighmaster.quarantine.pace import Obstacle, Pace
from weighmaster.quarantine.pods import Pod
from weighmaster.quarantine.situation import (
    MAX_SHUTDOWN,
    Case,
    Deed,
    Doing,
    Situation,
    policy_key,
)
from weighmaster.quarantine.verdicts import Objection

_ASKED_BY = {Doing.QUARANTINE: Running.QUARANTINE, Doing.EVICT: Running.EVICT}


class Tally(Struct):
    """What a policy finds among running pods, as its status says it."""

    violating: int = 0
    undecided: int = 0
    quarantined: int = 0
    waiting: int = 0
    exposed: int = 0
    message: str = ""


class Plan(Struct, frozen=True):
    """What to do now, and what each policy finds."""

    deeds: tuple[Deed, ...]
    tallies: Mapping[PolicyKey, Tally]


class _Asked(Struct, frozen=True):
    """The same deed for each of the policies that ask for it: one that may is enough."""

    case: Case
    deeds: Sequence[Deed]


def plan(situation: Situation) -> Plan:
    """What to do next. Nothing is in it twice, and nothing that is under way."""
    pace = Pace(situation)
    tallies = _tallies(situation)
    obstacles: dict[PolicyKey, list[Obstacle]] = defaultdict(list)
    chosen = []
    for asked in _in_order(situation):
        found = [(deed, pace.obstacle(deed, asked.case)) for deed in asked.deeds]
        free = next((deed for deed, obstacle in found if obstacle is None), None)
        if free is not None:
            pace.take(free)
            chosen.append(free)
            continue
        for deed, obstacle in found:
            tallies[deed.policy].waiting += 1
            obstacles[deed.policy].extend(filter(None, [obstacle]))
    for key, tally in tallies.items():
        tally.message = _message(tally, obstacles[key])
    return Plan(tuple(chosen), tallies)


def _in_order(situation: Situation) -> list[_Asked]:
    """What is asked for, in the order in which it is to be done."""
    policies = {policy.key: policy for policy in situation.snapshot.policies}
    out = {uid for uid, _ in situation.under_way}
    out |= {case.pod.uid for case in situation.cases if case.pod.quarantined}
    turns = Counter(_owner(case.pod) for case in situation.cases if case.pod.uid in out)
    found: list[tuple[tuple[int, int, int, str, str], _Asked]] = []
    objected = (case for case in situation.cases if case.verdict.objected)
    for case in sorted(objected, key=lambda case: (case.pod.namespace, case.pod.name)):
        pod = case.pod
        strictest = max(objection.action for objection in case.verdict.objections)
        turn = turns[_owner(pod)]
        asked = [
            (rank, _Asked(case, deeds))
            for rank, doing in enumerate(Doing)
            if (pod.uid, doing) not in situation.under_way
            and (deeds := list(_deeds(doing, case, policies, situation.now)))
        ]
        if asked and pod.uid not in out:
            turns[_owner(pod)] += 1
        found += [((-strictest, turn, rank, pod.namespace, pod.name), each) for rank, each in asked]
    return [asked for _, asked in sorted(found, key=itemgetter(0))]


def _deeds(
    doing: Doing, case: Case, policies: Mapping[PolicyKey, Policy], now: datetime
) -> Iterator[Deed]:
    enforced = [each for each in case.verdict.objections if each.enforced]
    profiles = {policies[each.policy].sandbox_profile for each in enforced}
    for objection in enforced:
        policy = policies[objection.policy]
        if policy.running is not _ASKED_BY[doing]:
            continue
        if _is_open(doing, case.pod, objection, profiles) and not _is_going(doing, case.pod, now):
            yield Deed(
                doing,
                case.pod,
                policy.key,
                case.verdict.decision,
                objection.line,
                policy.sandbox_profile or "",
            )


def _is_open(
    doing: Doing, pod: Pod, objection: Objection, profiles: Collection[str | None]
) -> bool:
    """Whether something has not been done to a pod yet, and makes sense.

    A pod that was admitted confined is where a Sandbox decision wants it to be. One that bears the
    label of a profile that no policy asks for has put itself into a sandbox of its own choice.
    """
    if doing is Doing.QUARANTINE:
        return pod.profile not in profiles
    admitted_confined = bool(pod.profile) and not pod.quarantined
    return not (admitted_confined and objection.action is Action.SANDBOX)


def _is_going(doing: Doing, pod: Pod, now: datetime) -> bool:
    """Whether a pod need not be evicted, being deleted already.

    One that has given itself ages to shut down runs on for ages, and is evicted all the same.
    """
    if doing is not Doing.EVICT or not pod.leaving:
        return False
    return pod.ends is None or pod.ends <= now + MAX_SHUTDOWN + _SLACK


_SLACK = timedelta(minutes=1)
"""Clocks differ."""


def _owner(pod: Pod) -> str:
    return pod.owner.uid if pod.owner is not None else pod.uid


def _tallies(situation: Situation) -> dict[PolicyKey, Tally]:
    tallies = {policy.key: Tally() for policy in situation.snapshot.policies}
    for case in situation.cases:
        for objection in case.verdict.objections:
            tally = tallies.get(objection.policy)
            if tally is not None:
                tally.violating += objection.action > Action.ALLOW
                tally.undecided += objection.action is Action.ALLOW
        if case.pod.quarantined:
            tally = tallies.get(policy_key(case.pod.quarantined_by))
            if tally is not None:
                tally.quarantined += 1
                tally.exposed += case.pod.uid in situation.exposed
    return tallies


def _message(tally: Tally, obstacles: Sequence[Obstacle]) -> str:
    parts = []
    worst = min(obstacles, default=None)
    if worst is not None and worst.text:
        parts.append(worst.text)
    if tally.exposed:
        parts.append(
            f"{tally.exposed} of the pods in quarantine are not isolated, see their events"
        )
    return "; ".join(parts)
