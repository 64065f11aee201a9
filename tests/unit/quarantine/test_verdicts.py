"""Verdicts are those of admission, and are worked out only when something may have changed."""

from datetime import datetime, timedelta
from typing import Any

from tests.unit.core.builders import (
    FORBIDDEN,
    KNOWN,
    NOW,
    exception,
    namespaced,
    policy,
    publisher,
    request,
    snapshot,
)
from tests.unit.quarantine.situations import pod
from tests.unit.quarantine.test_plan import pods_of
from weighmaster.cluster.store import PolicyStore
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.core.values import Action
from weighmaster.pipeline import review
from weighmaster.policy_files import add_document
from weighmaster.quarantine.pods import Served
from weighmaster.quarantine.situation import policy_key
from weighmaster.quarantine.verdicts import EVERYTHING_EVERY, Verdicts, judge

Json = dict[str, Any]
NEEDS_EVIDENCE = {"license": {"allow": ["MIT"]}}


def served(document: Json) -> Served:
    (held,) = pods_of(document)
    return held.served


def test_verdict_is_the_decision_of_admission() -> None:
    documents = [policy(FORBIDDEN), policy(KNOWN, name="known", action="Warn")]
    document = pod()
    taken = snapshot(*documents)
    admitted = review(request(document), taken, NOW).decision
    assert admitted is not None
    found = judge(served(document), taken, NOW)
    assert (found.decision, found.action) == (admitted.id, admitted.action)
    assert found.objected
    assert not found.lawful


def test_objections_are_those_of_each_policy_with_its_strictest_failure() -> None:
    taken = snapshot(
        policy(KNOWN, FORBIDDEN, NEEDS_EVIDENCE),
        policy(NEEDS_EVIDENCE, name="unsure"),
        policy(FORBIDDEN, name="soft", action="Warn"),
        policy(KNOWN, name="content"),
    )
    found = {each.policy.name: each for each in judge(served(pod()), taken, NOW).objections}
    assert found.keys() == {"strict", "unsure", "soft"}
    assert (found["strict"].action, found["strict"].enforced) == (Action.DENY, True)
    assert 'rule "rule-1"' in found["strict"].line
    assert (found["unsure"].action, found["unsure"].undecided) == (Action.ALLOW, True)
    assert not found["unsure"].enforced
    assert (found["soft"].action, found["soft"].enforced) == (Action.WARN, False)


def test_what_cannot_be_decided_is_neither_objected_to_nor_lawful() -> None:
    pinned = pod()
    pinned["spec"]["containers"][0]["args"] += ["--revision", "a" * 40]
    found = judge(served(pinned), snapshot(policy(NEEDS_EVIDENCE)), NOW)
    assert (found.objected, found.lawful) == (False, False)
    assert found.awaits == (f"hf://acme/m@{'a' * 40}",)


def test_policy_that_cannot_be_used_and_publisher_that_is_missing_decide_nothing() -> None:
    deny: Json = {"origin": {"assurance": "Namespace", "publishers": {"deny": ["gone"]}}}
    rules: list[Json] = [{"watermark": {}}, deny]
    for rule in rules:
        found = judge(served(pod()), snapshot(policy(rule)), NOW)
        assert (found.objected, found.lawful) == (False, False)


def test_too_many_models_are_neither_objected_to_nor_lawful() -> None:
    document = pod()
    container = document["spec"]["containers"][0]
    document["spec"]["containers"] = [
        {**container, "name": f"c{n}", "args": ["--model", f"acme/m{n}"]} for n in range(300)
    ]
    found = judge(served(document), snapshot(policy(KNOWN)), NOW)
    assert (found.objected, found.lawful) == (False, False)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def store_of(*documents: Json) -> PolicyStore:
    store = PolicyStore()
    for document in documents:
        assert add_document(store, document)
    return store


async def test_only_what_a_change_may_concern_is_judged_again() -> None:
    store = store_of(policy(FORBIDDEN))
    verdicts = Verdicts(Clock())
    here, there = served(pod()), served(pod(namespace="elsewhere"))
    assert await verdicts.renew(store.snapshot(), [here, there]) == 2
    assert await verdicts.renew(store.snapshot(), [here, there]) == 0
    add_document(store, namespaced(KNOWN, name="own", namespace="elsewhere"))
    assert await verdicts.renew(store.snapshot(), [here, there]) == 1
    add_document(store, publisher("acme", "hf://acme/**"))
    assert await verdicts.renew(store.snapshot(), [here, there]) == 2
    new = served(pod("new", model="acme/new"))
    assert await verdicts.renew(store.snapshot(), [here, there, new]) == 1
    assert await verdicts.renew(store.snapshot(), [here]) == 0
    assert verdicts.on(there) is None


async def test_exception_that_ends_is_noticed_when_it_does() -> None:
    ends = (NOW + timedelta(hours=1)).isoformat()
    store = store_of(policy(FORBIDDEN), exception(expiresAt=ends, references=["hf://**"]))
    clock = Clock()
    verdicts = Verdicts(clock)
    here = served(pod())
    await verdicts.renew(store.snapshot(), [here])
    found = verdicts.on(here)
    assert found is not None
    assert found.lawful
    clock.now += timedelta(minutes=59, seconds=59)
    await verdicts.renew(store.snapshot(), [here])
    clock.now += timedelta(seconds=1)
    assert await verdicts.renew(store.snapshot(), [here]) == 1
    found = verdicts.on(here)
    assert found is not None
    assert found.objected


async def test_everything_is_judged_again_now_and_then() -> None:
    store = store_of(policy(FORBIDDEN))
    clock = Clock()
    verdicts = Verdicts(clock)
    here = served(pod())
    await verdicts.renew(store.snapshot(), [here])
    clock.now += EVERYTHING_EVERY
    assert await verdicts.renew(store.snapshot(), [here]) == 1
    clock.now += EVERYTHING_EVERY / 2
    add_document(store, namespaced(KNOWN, name="own", namespace="elsewhere"))
    assert await verdicts.renew(store.snapshot(), [here]) == 0
    clock.now += EVERYTHING_EVERY / 2
    assert await verdicts.renew(store.snapshot(), [here]) == 1


def test_keys_of_policies_are_read_back_as_they_were_written() -> None:
    for key in (PolicyKey("strict"), PolicyKey("strict", "team-a")):
        assert policy_key(str(key)) == key
