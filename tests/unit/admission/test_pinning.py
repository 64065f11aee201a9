"""The mutating stage waits for what it has to write, since it is written there or not at all."""

import base64
import json
from typing import Any

from tests.unit.admission.reviews import body, response_of
from tests.unit.admission.test_evidence import FakeEvidence, handler_of, store_with
from tests.unit.core.builders import pod
from weighmaster.core.enforce import AWAITING

BEFORE, TODAY = "a" * 40, "b" * 40
MOVING = "hf://acme/m"
REWRITE = {"reference": {"require": ["Pinned"], "pin": "Rewrite"}}
KNOWN = {"state": "Resolved", "resolved": f"{MOVING}@{TODAY}"}
Json = dict[str, Any]


def deployment(*words: str, **metadata: Any) -> Json:
    spec = pod("acme/m")["spec"]
    spec["containers"][0]["args"] += words
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "m", **metadata},
        "spec": {"template": {"spec": spec}},
    }


def written(**metadata: Any) -> Json:
    """A Deployment that was pinned before."""
    place = "spec.template.spec.containers[0].args[1]"
    notes = {"weighmaster.dev/pinned": f"{place}={MOVING}", **metadata.pop("annotations", {})}
    return deployment(f"--revision={BEFORE}", annotations=notes, **metadata)


def changes_of(answer: bytes) -> dict[str, Any]:
    """What the answer's patch puts where."""
    patch = response_of(answer).get("patch")
    changes = json.loads(base64.b64decode(patch)) if patch else []
    return {change["path"]: change.get("value") for change in changes}


def values_of(answer: bytes) -> str:
    return json.dumps(list(changes_of(answer).values()))


async def test_what_a_branch_stands_for_is_waited_for_and_written() -> None:
    store = store_with(REWRITE)
    evidence = FakeEvidence(lambda: store.put(MOVING, **KNOWN))
    answer = await handler_of(store, evidence).answer("/mutate", body(deployment()))
    assert evidence.waited == [(MOVING,)]
    assert TODAY in values_of(answer.body)


async def test_the_validating_stage_finds_the_pinned_reference_asked_for() -> None:
    store = store_with(REWRITE, {"license": {"allow": ["MIT"]}})
    evidence = FakeEvidence(lambda: store.put(MOVING, **KNOWN))
    await handler_of(store, evidence).answer("/mutate", body(deployment()))
    assert evidence.asked == [(MOVING,), (f"{MOVING}@{TODAY}",)]


async def test_what_cannot_be_told_in_time_is_marked() -> None:
    evidence = FakeEvidence()
    answer = await handler_of(store_with(REWRITE), evidence).answer("/mutate", body(deployment()))
    assert AWAITING in values_of(answer.body)
    assert evidence.waited == [(MOVING,)]


async def test_a_change_that_asks_for_the_revision_of_today_waits_for_it() -> None:
    store = store_with(REWRITE)
    asked = written(annotations={"weighmaster.dev/repin": "1"})
    evidence = FakeEvidence(lambda: store.put(MOVING, **KNOWN))
    request = body(asked, operation="UPDATE", oldObject=written())
    answer = await handler_of(store, evidence).answer("/mutate", request)
    assert evidence.asked[0] == evidence.waited[0] == (MOVING,)
    assert TODAY in values_of(answer.body)


async def test_one_that_still_has_its_revision_waits_for_nothing() -> None:
    evidence = FakeEvidence()
    request = body(deployment(annotations=written()["metadata"]["annotations"]),
                   operation="UPDATE", oldObject=written())  # fmt: skip
    answer = await handler_of(store_with(REWRITE), evidence).answer("/mutate", request)
    assert evidence.waited == []
    assert f"--revision={BEFORE}" in values_of(answer.body)


async def test_what_cannot_be_written_is_not_waited_for() -> None:
    made = deployment()
    made["spec"]["template"]["spec"]["containers"][0] |= {
        "args": ["--model", "$(MODEL)"],
        "env": [{"name": "MODEL", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "m"}}}],
    }
    evidence = FakeEvidence()
    await handler_of(store_with(REWRITE), evidence).answer("/mutate", body(made))
    assert evidence.waited == []
