"""The plan: what is done next, in which order, how fast, and what is never done."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.builders import FORBIDDEN, KNOWN, NOW, namespaced, policy, snapshot
from tests.unit.quarantine.situations import namespace, pod, profile, quarantining, replica
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import Action
from weighmaster.quarantine.plan import Plan, plan
from weighmaster.quarantine.pods import Pod, Pods
from weighmaster.quarantine.situation import MAX_SHUTDOWN, Case, Doing, Situation
from weighmaster.quarantine.verdicts import UNDECIDABLE, judge

Json = dict[str, Any]
LABEL = "weighmaster.dev/sandbox"
AT, BY = "weighmaster.dev/quarantined-at", "weighmaster.dev/quarantined-by"
STRICT = PolicyKey("strict")


def pods_of(*documents: Json) -> list[Pod]:
    pods = Pods(lambda: None)
    pods.replace("pods", [pods.keep(document) for document in documents])
    return list(pods)


def quarantined(document: Json, seconds_ago: float = 0, by: str = "strict") -> Json:
    metadata = document["metadata"]
    metadata["labels"] = {**metadata.get("labels", {}), LABEL: "isolated"}
    at = (NOW - timedelta(seconds=seconds_ago)).isoformat()
    metadata["annotations"] = {AT: at, BY: by}
    return document


def situation(policies: Iterable[Json], pods: Iterable[Json], **fields: Any) -> Situation:
    taken: Snapshot = snapshot(*policies, profile(), namespace())
    unsettled = fields.pop("unsettled", ())
    cases = [
        Case(each, judge(each.served, taken, NOW), each.name not in unsettled)
        for each in pods_of(*pods)
    ]
    return Situation(
        **{"cases": cases, "snapshot": taken, "now": NOW, "ready": lambda _: True, **fields}
    )


def planned(policies: Iterable[Json], pods: Iterable[Json], **fields: Any) -> Plan:
    return plan(situation(policies, pods, **fields))


def names(made: Plan, doing: Doing = Doing.QUARANTINE) -> list[str]:
    return [deed.pod.name for deed in made.deeds if deed.doing is doing]


def replicas(count: int, owner: str = "web") -> list[Json]:
    return [replica(f"{owner}-{number:02}", owner) for number in range(count)]


def paced(per_minute: int = 1000, percent: int = 100, **enforcement: Any) -> Json:
    pace = {"maxPerMinute": per_minute, "maxPercent": percent}
    return quarantining(enforcement={"pace": pace, **enforcement})


def test_lawful_pods_are_left_alone() -> None:
    made = planned([quarantining(KNOWN)], replicas(3))
    assert made.deeds == ()
    assert made.tallies[STRICT].violating == 0


def test_deed_says_by_which_policy_profile_and_decision_and_why() -> None:
    (deed,) = planned([quarantining()], [pod()]).deeds
    assert (deed.policy, deed.profile) == (STRICT, "isolated")
    assert len(deed.decision) == 16
    assert 'policy "strict", rule "rule-0"' in deed.why


@pytest.mark.parametrize("action", ["Audit", "Warn"])
def test_what_would_be_admitted_is_never_acted_on(action: str) -> None:
    for running in ("Quarantine", "Evict"):
        made = planned([paced(action=action, running=running)], [pod()], evictions={STRICT: 9})
        assert made.deeds == ()
        assert made.tallies[STRICT].violating == 1


def test_what_has_too_many_models_is_not_acted_on() -> None:
    there = situation([quarantining()], [pod()])
    cases = [Case(each.pod, UNDECIDABLE) for each in there.cases]
    assert plan(msgspec.structs.replace(there, cases=cases)).deeds == ()


def test_undecided_pods_are_counted_and_left_alone() -> None:
    made = planned([quarantining({"license": {"allow": ["MIT"]}})], [pod()])
    assert made.deeds == ()
    assert (made.tallies[STRICT].violating, made.tallies[STRICT].undecided) == (0, 1)


def test_no_more_than_the_pace_within_a_minute() -> None:
    made = planned([paced(4)], replicas(10))
    assert len(made.deeds) == 4
    assert made.tallies[STRICT].waiting == 6
    assert "maxPerMinute (4)" in made.tallies[STRICT].message


def test_what_was_quarantined_within_the_minute_counts_whoever_did_it() -> None:
    pods = replicas(10)
    recent = [quarantined(each, 59) for each in pods[:2]]
    earlier = [quarantined(each, 61) for each in pods[2:4]]
    made = planned([paced(4)], [*recent, *earlier, *pods[4:]])
    assert len(made.deeds) == 2


def test_what_other_policies_have_quarantined_does_not_count_against_the_rate() -> None:
    pods = replicas(6)
    others = [quarantined(each, 1, by="team/strict") for each in pods[:3]]
    assert len(planned([paced(3)], [*others, *pods[3:]]).deeds) == 3


def test_what_is_under_way_counts_and_is_not_begun_again() -> None:
    pods = replicas(6)
    begun = {(f"uid-default-web-{number:02}", Doing.QUARANTINE): STRICT for number in range(3)}
    made = planned([paced(4)], pods, under_way=begun)
    assert len(made.deeds) == 1
    assert not set(names(made)) & {"web-00", "web-01", "web-02"}
    assert made.tallies[STRICT].waiting == 2


@pytest.mark.parametrize(
    ("percent", "most"), [(1, 1), (10, 1), (50, 3), (60, 3), (61, 4), (100, 5)]
)
def test_share_of_the_pods_that_serve_models_is_never_exceeded(percent: int, most: int) -> None:
    assert len(planned([paced(percent=percent)], replicas(5)).deeds) == most


def test_share_counts_all_that_are_out_and_says_what_to_do() -> None:
    pods = replicas(10)
    out = [quarantined(each, 3600, by="another") for each in pods[:4]]
    made = planned([paced(percent=50)], [*out, *pods[4:]])
    assert len(made.deeds) == 1
    message = made.tallies[STRICT].message
    assert "5 of 10 pods that serve models" in message
    assert "until enforcement.pace.maxPercent (50) is raised" in message


def test_share_is_of_the_namespaces_that_the_policy_covers() -> None:
    own = namespaced(
        FORBIDDEN,
        name="own",
        namespace="default",
        enforcement=paced(percent=50)["spec"]["enforcement"],
    )
    elsewhere = [pod(f"x-{number}", namespace="elsewhere") for number in range(20)]
    made = planned([own], [*replicas(4), *elsewhere])
    assert len(made.deeds) == 2


def test_one_of_each_owner_before_the_second_of_any() -> None:
    pods = [each for owner in ("a", "b", "c") for each in replicas(3, owner)]
    assert names(planned([paced(3)], pods)) == ["a-00", "b-00", "c-00"]
    out = [quarantined(pods[0], 3600)]
    assert names(planned([paced(2)], [*out, *pods[1:]])) == ["b-00", "c-00"]


def test_the_strictest_decisions_come_first() -> None:
    lenient = quarantining(
        {"expression": {"cel": "model.location != 'hf://acme/m'", "message": "m"}},
        name="lenient",
        enforcement={"action": "Sandbox", "pace": {"maxPerMinute": 1, "maxPercent": 100}},
    )
    strict = quarantining(
        {"expression": {"cel": "model.location != 'hf://evil/m'", "message": "m"}},
        enforcement={"pace": {"maxPerMinute": 1, "maxPercent": 20}},
    )
    made = planned([lenient, strict], [pod("a"), pod("b"), pod("z", model="evil/m")])
    assert names(made)[0] == "z"


def test_any_of_several_policies_may_do_it_and_one_is_charged() -> None:
    slow = quarantining(name="a-slow", enforcement={"pace": {"maxPerMinute": 1, "maxPercent": 100}})
    made = planned([slow, quarantining(name="fast")], replicas(4))
    assert len(made.deeds) == 4
    by = Counter(deed.policy.name for deed in made.deeds)
    assert by == {"a-slow": 1, "fast": 3}
    assert len({deed.pod.uid for deed in made.deeds}) == 4


def test_verdict_that_has_not_settled_waits() -> None:
    made = planned([quarantining()], [pod("a"), pod("b")], unsettled={"a"})
    assert names(made) == ["b"]
    assert made.tallies[STRICT].waiting == 1


def test_nothing_is_labelled_before_its_network_policy_is_there() -> None:
    made = planned([quarantining()], [pod()], ready=lambda place: place != ("default", "isolated"))
    assert made.deeds == ()
    assert "is not there yet" in made.tallies[STRICT].message


def test_nothing_is_quarantined_by_a_profile_that_is_not_there() -> None:
    made = planned([paced(sandboxProfile="other")], [pod()])
    assert made.deeds == ()
    assert 'no SandboxProfile "other"' in made.tallies[STRICT].message


def test_what_people_have_to_mend_is_said_before_what_passes_by_itself() -> None:
    documents = [paced(1, 1), quarantining(name="other", enforcement={"sandboxProfile": "gone"})]
    made = planned(documents, replicas(3))
    assert "gone" in made.tallies[PolicyKey("other")].message
    assert "maxPercent" in made.tallies[STRICT].message


def test_confined_pod_is_where_the_policy_wants_it() -> None:
    for action in ("Sandbox", "Deny"):
        made = planned([paced(action=action)], [pod(labels={LABEL: "isolated"})])
        assert made.deeds == ()


def test_pod_in_a_sandbox_of_its_own_choice_is_put_where_it_belongs() -> None:
    made = planned([quarantining(), profile("lenient")], [pod(labels={LABEL: "lenient"})])
    (deed,) = made.deeds
    assert deed.profile == "isolated"


def test_pod_that_another_policy_has_confined_is_left_there() -> None:
    sandbox = policy(
        FORBIDDEN,
        name="audit",
        enforcement={"action": "Sandbox", "sandboxProfile": "lenient"},
    )
    made = planned([quarantining(), sandbox], [pod(labels={LABEL: "lenient"})])
    assert made.deeds == ()


def test_eviction_needs_what_the_bucket_holds() -> None:
    evicting = paced(running="Evict")
    assert names(planned([evicting], replicas(3)), Doing.EVICT) == []
    made = planned([evicting], replicas(3), evictions={STRICT: 2})
    assert names(made, Doing.EVICT) == ["web-00", "web-01"]
    assert made.tallies[STRICT].waiting == 1


def test_eviction_keeps_to_the_share_as_well() -> None:
    made = planned([paced(percent=50, running="Evict")], replicas(4), evictions={STRICT: 9})
    assert len(made.deeds) == 2


def test_pod_that_is_on_its_way_out_is_not_evicted_again_and_counts() -> None:
    pods = replicas(4)
    for each in pods[:2]:
        each["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    made = planned([paced(percent=50, running="Evict")], pods, evictions={STRICT: 9})
    assert made.deeds == ()


def test_pod_that_has_given_itself_a_year_to_shut_down_is_evicted_all_the_same() -> None:
    pods = replicas(2)
    pods[0]["metadata"]["deletionTimestamp"] = "2027-11-24T12:00:00Z"
    pods[1]["metadata"]["deletionTimestamp"] = (NOW + MAX_SHUTDOWN).isoformat()
    made = planned([paced(percent=100, running="Evict")], pods, evictions={STRICT: 9})
    assert names(made, Doing.EVICT) == ["web-00"]


def test_marks_on_a_pod_that_is_not_confined_count_against_no_pace() -> None:
    forged = [quarantined(pod(f"forged-{n}"), seconds_ago=-3600) for n in range(9)]
    for each in forged:
        del each["metadata"]["labels"][LABEL]
    made = planned([paced(per_minute=5)], [*forged, *replicas(3)])
    assert len(made.deeds) == 5


def test_pod_that_was_admitted_confined_is_evicted_by_deny_and_not_by_sandbox() -> None:
    confined = [pod(labels={LABEL: "isolated"})]
    for action, evicted in (("Sandbox", 0), ("Deny", 1)):
        made = planned([paced(action=action, running="Evict")], confined, evictions={STRICT: 9})
        assert len(made.deeds) == evicted


def test_pod_that_one_policy_isolates_and_another_evicts_is_isolated_first() -> None:
    evicting = quarantining(name="evicting", enforcement={"running": "Evict"})
    made = planned([quarantining(), evicting], [pod()], evictions={PolicyKey("evicting"): 1})
    assert [deed.doing for deed in made.deeds] == [Doing.QUARANTINE, Doing.EVICT]


def test_what_was_refused_lately_lets_others_by() -> None:
    refused = {("uid-default-web-00", Doing.EVICT)}
    made = planned([paced(running="Evict")], replicas(2), evictions={STRICT: 1}, refused=refused)
    assert names(made, Doing.EVICT) == ["web-01"]
    assert "PodDisruptionBudgets" in made.tallies[STRICT].message


def test_tallies_say_what_each_policy_finds() -> None:
    pods = [quarantined(pod("a"), 100), pod("b"), quarantined(pod("c"), 100, by="gone")]
    made = planned([quarantining(), policy(KNOWN, name="known")], pods, exposed={"uid-default-a"})
    tally = made.tallies[STRICT]
    assert (tally.violating, tally.quarantined, tally.waiting, tally.exposed) == (3, 1, 0, 1)
    assert "1 of the pods in quarantine are not isolated" in tally.message
    assert made.tallies[PolicyKey("known")].violating == 0


_POLICIES = [
    paced(3, 40),
    quarantining(name="other", enforcement={"pace": {"maxPerMinute": 2, "maxPercent": 70}}),
    quarantining(KNOWN, name="known"),
    quarantining(name="evicting", enforcement={"running": "Evict"}),
]


@given(
    st.lists(st.sampled_from(range(len(_POLICIES))), min_size=1, max_size=3, unique=True),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("", "now", "old"))), max_size=20),
    st.integers(0, 3),
)
def test_whatever_the_situation_no_pace_is_exceeded_and_a_second_plan_adds_no_pod(
    chosen: list[int], pods: list[tuple[str, str]], evictions: int
) -> None:
    documents = []
    for number, (owner, state) in enumerate(pods):
        document = replica(f"{owner}-{number:02}", owner)
        documents.append(
            quarantined(document, 1 if state == "now" else 3600) if state else document
        )
    policies = [_POLICIES[index] for index in chosen]
    tokens = {PolicyKey("evicting"): evictions}
    there = situation(policies, documents, evictions=tokens)
    made = plan(there)
    marks = [(deed.pod.uid, deed.doing) for deed in made.deeds]
    assert len(marks) == len(set(marks))
    recent = Counter(
        case.pod.quarantined_by
        for case in there.cases
        if case.pod.quarantined_at is not None
        and case.pod.quarantined_at > NOW - timedelta(minutes=1)
    )
    for each in there.snapshot.policies:
        own = [deed for deed in made.deeds if deed.policy == each.key]
        labelled = sum(deed.doing is Doing.QUARANTINE for deed in own)
        assert not labelled or recent[each.key.name] + labelled <= each.pace.max_per_minute
        assert sum(deed.doing is Doing.EVICT for deed in own) <= tokens.get(each.key, 0)
    for deed in made.deeds:
        assert not (deed.doing is Doing.QUARANTINE and deed.pod.profile)
        (case,) = (case for case in there.cases if case.pod is deed.pod)
        assert case.verdict.action >= Action.SANDBOX
    begun = {(deed.pod.uid, deed.doing): deed.policy for deed in made.deeds}
    left = {
        key: count - sum(deed.policy == key and deed.doing is Doing.EVICT for deed in made.deeds)
        for key, count in tokens.items()
    }
    again = plan(msgspec.structs.replace(there, under_way=begun, evictions=left))
    assert {deed.pod.uid for deed in again.deeds} <= {uid for uid, _ in begun}
