"""More signers than a record holds: said in the record, in the policy, and to who is refused."""

from typing import Any

import msgspec

from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import namespaced, policy, snapshot, use, workload
from tests.unit.core.test_assess import signed_evidence
from tests.unit.records.cluster import NOW, FakeCluster, FakeGatherer, record
from tests.unit.records.conftest import Start
from tests.unit.records.situations import KEY, PINNED, SIGNED, failure_of, quiet, resolved
from weighmaster.core.assess import MAX_AUTHORITIES
from weighmaster.core.attestations import MAX_DEMANDS
from weighmaster.core.evaluate import evaluate
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Outcome
from weighmaster.handlers.status import Surroundings, desired_status
from weighmaster.records.authorities import named_identities
from weighmaster.records.view import View

Json = dict[str, Any]
SCAN = "https://example.com/scan/v1"


def keyless(n: int) -> Json:
    return {"keyless": {"issuer": "https://a.example", "subject": f"s{n}"}}


def rules(number: int) -> list[Json]:
    """Rules that name so many times 16 signers."""
    return [
        {"signature": {"authorities": [keyless(16 * n + m) for m in range(16)]}}
        for n in range(number)
    ]


CROWD = namespaced(*rules(20), name="crowd")


async def test_record_holds_what_it_can_and_says_that_it_is_not_all(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelpolicies", CROWD)
    cluster.put("clustermodelpolicies", policy(SIGNED))
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster), within=30)
    await quiet()
    assert cluster.calls["patch_status"] == 1, "the keeper is kept busy"
    found = cluster.status("m")["authorities"]
    assert len(found) == MAX_AUTHORITIES
    assert [each["verified"] for each in found].count(True) == 1, "crowded out"
    assert failure_of(cluster)["reason"] == "AuthoritiesOmitted"
    assert failure_of(cluster)["message"].startswith("65 of the signers and attestations")


async def test_record_says_so_no_more_once_all_fit(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelpolicies", CROWD)
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: failure_of(cluster).get("reason") == "AuthoritiesOmitted", within=30)
    before = cluster.status("m")["authorities"]
    held = [msgspec.to_builtins(each.identity) for each in named_identities([CROWD], [])]
    first = [held[at : at + 16] for at in range(0, MAX_AUTHORITIES, 16)]
    fitting = [
        {"signature": {"authorities": [{"keyless": each["keyless"]} for each in some]}}
        for some in first
    ]
    cluster.put("modelpolicies", namespaced(*fitting, name="crowd"))
    await eventually(lambda: not failure_of(cluster), within=30)
    assert cluster.status("m")["authorities"] == before


async def test_rule_whose_signer_is_not_looked_for_is_refused_and_does_not_wait(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelpolicies", CROWD)
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster), within=30)
    stored = {**cluster.record("m"), "kind": "ModelRecord"}
    found = evaluate(workload(), (use(PINNED),), snapshot(CROWD, policy(SIGNED), stored), NOW)
    omitted = [each for each in found if "not all looked for" in each.message]
    assert omitted
    assert {each.outcome for each in omitted} == {Outcome.ERROR}
    assert {each.reason for each in omitted} == {Reason.EVIDENCE_NOT_AVAILABLE}
    assert {each.awaits for each in omitted} == {None}
    assert all(each.outcome is not Outcome.PASS for each in found)


def test_policy_whose_signers_are_not_looked_for_says_so_and_others_do_not() -> None:
    view = View([CROWD, policy(SIGNED)], [])
    around = Surroundings(frozenset(), frozenset(), NOW, view.omitted)
    status = desired_status("modelpolicies", CROWD, around)
    assert status is not None
    ready = status["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("False", "AuthoritiesOmitted")
    assert ready["message"].startswith("65 of its authorities are not looked for")
    other = desired_status("clustermodelpolicies", policy(SIGNED), around)
    assert other is not None
    assert other["conditions"][0]["status"] == "True"


def test_attestations_beyond_what_a_record_holds_are_said_as_well() -> None:
    attested = [
        {"attestation": {"predicateType": f"{SCAN}/{n:03}", "authorities": [keyless(0)]}}
        for n in range(30)
    ]
    policies = [policy(*attested, name=f"p{n}") for n in range(2)]
    assert View(policies, []).omitted == frozenset()
    more = [
        {"attestation": {"predicateType": f"{SCAN}/more{n}", "authorities": [keyless(n)]}}
        for n in range(MAX_DEMANDS)
    ]
    crowd = namespaced(*more[:32], name="crowd"), namespaced(*more[32:], name="crowd2")
    assert len(View([*policies, *crowd], []).omitted) == 30
