"""The keeper works on what is due, once, and loses nothing to failures."""

import asyncio
import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import public_pem
from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import namespaced, policy, publisher
from tests.unit.core.test_assess import signed_evidence
from tests.unit.records.cluster import (
    NOW,
    FakeCluster,
    FakeGatherer,
    FakeMaterial,
    Time,
    as_decided_by,
    evidence,
    outage,
    record,
)
from tests.unit.records.conftest import Start
from weighmaster.core.assess import Belonging, unavailable
from weighmaster.core.evidence import CardFacts, Evidence, UnavailableReason
from weighmaster.errors import ClusterError
from weighmaster.records import keeper as keeper_module
from weighmaster.records.held import hold

COMMIT = "a" * 40
PINNED = f"hf://acme/m@{COMMIT}"
MOVING = "hf://acme/m"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNED = {"signature": {"authorities": [{"key": {"pem": public_pem(KEY)}}]}}
LINEAGE = {
    "origin": {"publishers": {"allow": ["acme"]}, "assurance": "Namespace", "lineage": "Include"}
}

Json = dict[str, Any]


def by_config_map(name: str = "keys") -> Json:
    return {"signature": {"authorities": [{"key": {"configMapRef": {"name": name}}}]}}


def resolved(cluster: FakeCluster, name: str = "m") -> Callable[[], bool]:
    return lambda: cluster.status(name).get("state") == "Resolved"


async def quiet(seconds: float = 0.1) -> None:
    """Long enough for several looks."""
    await asyncio.sleep(seconds)


async def test_new_record_is_resolved(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    status = cluster.status("m")
    assert status["resolved"] == PINNED
    assert status["observedGeneration"] == 1
    assert status["conditions"][0]["type"] == "Ready"
    assert status["conditions"][0]["status"] == "True"


async def test_pinned_record_is_worked_on_once(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    time.pass_by(days=3000)
    await quiet()
    assert gatherer.asked == [(PINNED, False)]
    assert cluster.calls["patch_status"] == 1


async def test_changed_record_is_worked_on_again(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    assert "license" not in cluster.status("m")
    cluster.put("modelrecords", record(PINNED, "m", asserted={"license": "MIT"}))
    await eventually(lambda: cluster.status("m").get("license") == "MIT")
    cluster.put("modelrecords", record(PINNED, "m"))
    await eventually(lambda: "license" not in cluster.status("m"))


async def test_annotating_a_record_is_no_reason_to_work_on_it(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    await cluster.patch(
        "/apis/weighmaster.dev/v1alpha1/modelrecords/m",
        {"metadata": {"annotations": {"weighmaster.dev/last-used": "2026-11-24"}}},
    )
    await quiet()
    assert len(gatherer.asked) == 1


async def test_evidence_is_renewed_before_it_expires(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    expires = (NOW + timedelta(hours=1)).timestamp()
    gatherer.answers[MOVING] = evidence(MOVING, resolved=PINNED, expires_at=expires)
    cluster.put("modelrecords", record(MOVING, "m"))
    start()
    await eventually(resolved(cluster))
    time.pass_by(minutes=58)
    await quiet()
    assert len(gatherer.asked) == 1
    time.pass_by(minutes=1, seconds=30)
    later = (NOW + timedelta(hours=2)).timestamp()
    gatherer.answers[MOVING] = evidence(MOVING, resolved=PINNED, expires_at=later)
    await eventually(lambda: len(gatherer.asked) == 2)
    await eventually(lambda: cluster.status("m")["expiresAt"] == "2026-11-24T14:00:00Z")
    assert gatherer.asked[1] == (MOVING, True)
    await quiet()
    assert len(gatherer.asked) == 2


async def test_evidence_that_holds_for_seconds_is_not_gathered_without_pause(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    expires = (NOW + timedelta(seconds=30)).timestamp()
    gatherer.answers[MOVING] = evidence(MOVING, resolved=PINNED, expires_at=expires)
    cluster.put("modelrecords", record(MOVING, "m"))
    start()
    await eventually(resolved(cluster))
    await quiet()
    assert len(gatherer.asked) == 1


@pytest.mark.parametrize(
    "case",
    [
        (UnavailableReason.UNREACHABLE, "Unavailable", 15),
        (UnavailableReason.RATE_LIMITED, "Unavailable", 15),
        (UnavailableReason.NOT_FOUND, "Failed", 300),
        (UnavailableReason.HOSTILE_ANSWER, "Failed", 300),
    ],
)
async def test_what_could_not_be_found_out_is_asked_for_again_later(
    cluster: FakeCluster,
    gatherer: FakeGatherer,
    start: Start,
    time: Time,
    case: tuple[UnavailableReason, str, int],
) -> None:
    reason, state, seconds = case
    gatherer.answers[PINNED] = outage(reason=reason)
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: cluster.status("m").get("state") == state)
    assert cluster.status("m")["failures"][0]["reason"] == reason.value
    assert cluster.status("m")["conditions"][0]["status"] == "False"
    time.pass_by(seconds=seconds - 1)
    await quiet(0.06)
    assert len(gatherer.asked) == 1
    gatherer.answers.clear()
    time.pass_by(seconds=1)
    await eventually(resolved(cluster))
    assert gatherer.asked[1] == (PINNED, True)
    assert "failures" not in cluster.status("m") or cluster.status("m")["failures"] == []


async def test_new_authority_is_looked_for_and_an_old_one_forgotten(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    assert cluster.status("m")["authorities"] == []
    cluster.put("clustermodelpolicies", policy(SIGNED))
    await eventually(lambda: len(cluster.status("m")["authorities"]) == 1)
    assert cluster.status("m")["authorities"][0]["verified"] is True
    cluster.remove("clustermodelpolicies", "strict")
    await eventually(lambda: cluster.status("m")["authorities"] == [])
    assert "signedBy" not in cluster.status("m")


async def test_identities_of_other_publishers_are_not_looked_for(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    for n in range(20):
        pem = public_pem(ec.generate_private_key(ec.SECP256R1()))
        own = publisher(f"p{n}", f"hf://p{n}/**", identities=[{"key": {"pem": pem}}])
        cluster.put("modelpublishers", own)
    cluster.put("modelrecords", record(f"hf://P3/m@{COMMIT}", "m"))
    start()
    await eventually(resolved(cluster))
    assert len(cluster.status("m")["authorities"]) == 1
    assert cluster.status("m")["publisher"] == "p3"


async def test_publisher_that_comes_later_is_noted(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    cluster.put("modelpublishers", publisher("acme", "hf://acme/**", jurisdiction="FR"))
    await eventually(lambda: cluster.status("m").get("publisher") == "acme")
    assert cluster.status("m")["jurisdiction"] == "FR"
    cluster.remove("modelpublishers", "acme")
    await eventually(lambda: "publisher" not in cluster.status("m"))


async def test_more_authorities_than_a_record_holds_do_not_keep_the_keeper_busy(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    def keyless(n: int) -> Json:
        return {"keyless": {"issuer": "https://a.example", "subject": f"s{n}"}}

    many = [
        {"signature": {"authorities": [keyless(16 * n + m) for m in range(16)]}} for n in range(20)
    ]
    cluster.put("modelpolicies", namespaced(*many, name="crowd"))
    cluster.put("clustermodelpolicies", policy(SIGNED))
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    await quiet()
    assert cluster.calls["patch_status"] == 1
    found = cluster.status("m")["authorities"]
    assert len(found) == 256
    assert [each["verified"] for each in found].count(True) == 1, "crowded out"


async def test_key_that_is_exchanged_in_its_config_map_counts_no_more(
    cluster: FakeCluster,
    gatherer: FakeGatherer,
    material: FakeMaterial,
    start: Start,
    time: Time,
) -> None:
    material.config_maps["keys"] = {"value": public_pem(KEY)}
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    cluster.put("clustermodelpolicies", policy(by_config_map()))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    assert cluster.status("m")["authorities"][0]["verified"] is True
    material.config_maps["keys"] = {"value": public_pem(OTHER_KEY)}
    time.pass_by(seconds=16)
    await eventually(lambda: cluster.status("m")["authorities"][0]["verified"] is False)
    assert "signedBy" not in cluster.status("m")


async def test_key_that_was_exchanged_while_no_keeper_ran_counts_no_more(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    material.secrets["keys"] = {"value": base64.b64encode(public_pem(KEY).encode()).decode()}
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    rule = {"signature": {"authorities": [{"key": {"secretRef": {"name": "keys"}}}]}}
    cluster.put("clustermodelpolicies", policy(rule))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    assert cluster.status("m")["authorities"][0]["verified"] is True
    other = base64.b64encode(public_pem(OTHER_KEY).encode()).decode()
    material.secrets["keys"] = {"value": other}
    start()
    await eventually(lambda: cluster.status("m")["authorities"][0]["verified"] is False)


async def test_key_that_is_stored_after_the_policy_is_found(
    cluster: FakeCluster,
    gatherer: FakeGatherer,
    material: FakeMaterial,
    start: Start,
    time: Time,
) -> None:
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    cluster.put("clustermodelpolicies", policy(by_config_map()))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    assert cluster.status("m")["authorities"][0]["reason"] == "AuthorityUnusable"
    await quiet()
    assert cluster.calls["patch_status"] == 1
    material.config_maps["keys"] = {"value": public_pem(KEY)}
    time.pass_by(seconds=16)
    await eventually(lambda: cluster.status("m")["authorities"][0]["verified"] is True)


async def test_material_that_cannot_be_read_for_an_outage_revokes_nothing(
    cluster: FakeCluster,
    gatherer: FakeGatherer,
    material: FakeMaterial,
    start: Start,
    time: Time,
) -> None:
    material.config_maps["keys"] = {"value": public_pem(KEY)}
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    cluster.put("clustermodelpolicies", policy(by_config_map()))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    material.failure = ClusterError("GET failed: TimeoutError")
    time.pass_by(seconds=16)
    await quiet()
    start()
    await quiet()
    assert cluster.status("m")["authorities"][0]["verified"] is True
    assert cluster.calls["patch_status"] == 1


async def test_outage_of_the_hub_takes_no_evidence_away(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    before = cluster.status("m")
    gatherer.answers[PINNED] = outage(PINNED)
    cluster.put(
        "modelpublishers",
        publisher("acme", "hf://acme/**", identities=[{"key": {"pem": public_pem(OTHER_KEY)}}]),
    )
    await eventually(lambda: len(gatherer.asked) == 2)
    await quiet()
    assert cluster.status("m") == before
    assert len(gatherer.asked) == 2, "an outage is no reason to hurry"
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED)
    time.pass_by(seconds=16)
    await eventually(lambda: len(cluster.status("m")["authorities"]) == 2)


async def test_evidence_that_expires_during_an_outage_is_said_to_be_unavailable(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    expires = (NOW + timedelta(hours=1)).timestamp()
    gatherer.answers[MOVING] = evidence(MOVING, resolved=PINNED, expires_at=expires)
    cluster.put("modelrecords", record(MOVING, "m"))
    start()
    await eventually(resolved(cluster))
    gatherer.answers[MOVING] = outage(MOVING)
    time.pass_by(minutes=59, seconds=10)
    await eventually(lambda: len(gatherer.asked) == 2)
    await quiet(0.05)
    assert cluster.status("m")["state"] == "Resolved"
    time.pass_by(minutes=1)
    await eventually(lambda: cluster.status("m")["state"] == "Unavailable")
    assert "resolved" not in cluster.status("m")
    assert as_decided_by(cluster.record("m")).missing(time.now) == "the hub does not answer"


async def test_what_people_took_back_does_not_outlive_an_outage(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "m", asserted={"license": "MIT"}))
    start()
    await eventually(resolved(cluster))
    gatherer.answers[PINNED] = outage(PINNED)
    cluster.put("modelrecords", record(PINNED, "m"))
    await eventually(lambda: cluster.status("m")["state"] == "Unavailable")
    assert "license" not in cluster.status("m")


async def test_model_that_is_taken_down_loses_its_evidence(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    expires = (NOW + timedelta(hours=1)).timestamp()
    gatherer.answers[MOVING] = evidence(MOVING, resolved=PINNED, expires_at=expires)
    cluster.put("modelrecords", record(MOVING, "m"))
    start()
    await eventually(resolved(cluster))
    gatherer.answers[MOVING] = outage(MOVING, reason=UnavailableReason.NOT_FOUND)
    time.pass_by(minutes=59, seconds=10)
    await eventually(lambda: cluster.status("m")["state"] == "Failed")


@pytest.mark.parametrize("status", [0, 409, 429, 500, 503])
async def test_write_that_fails_is_tried_again(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, status: int
) -> None:
    cluster.put("modelrecords", record(PINNED, "m"))
    cluster.failures += [ClusterError("no", status=status)] * 3
    start()
    await eventually(resolved(cluster))
    assert cluster.calls["patch_status"] == 4


async def test_write_that_is_refused_is_not_tried_again_without_pause(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    cluster.put("modelrecords", record(PINNED, "m"))
    cluster.failures += [ClusterError("no", status=403)]
    start()
    await eventually(lambda: cluster.calls["patch_status"] == 1)
    await quiet()
    assert cluster.calls["patch_status"] == 1
    time.pass_by(seconds=31)
    await eventually(resolved(cluster))


async def test_record_that_is_deleted_while_it_is_worked_on_ends_nothing(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.gate = asyncio.Event()
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: bool(gatherer.asked))
    cluster.remove("modelrecords", "m")
    gatherer.gate.set()
    await quiet()
    assert "m" not in cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"]
    cluster.put("modelrecords", record(PINNED, "again"))
    await eventually(resolved(cluster, "again"))


async def test_record_that_is_changed_while_it_is_worked_on_is_worked_on_again(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.gate = asyncio.Event()
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: bool(gatherer.asked))
    cluster.put("modelrecords", record(PINNED, "m", asserted={"license": "MIT"}))
    await quiet(0.03)
    gatherer.gate.set()
    await eventually(lambda: cluster.status("m").get("license") == "MIT")
    assert cluster.status("m")["observedGeneration"] == 2


async def test_one_record_is_worked_on_by_one_task_and_many_by_a_few(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.gate = asyncio.Event()
    names = [f"m{n}" for n in range(40)]
    for name in names:
        cluster.put("modelrecords", record(f"hf://acme/{name}@{COMMIT}", name))
    start()
    await quiet(0.15)
    assert gatherer.most_at_once == keeper_module.CONCURRENCY
    gatherer.gate.set()
    for name in names:
        await eventually(resolved(cluster, name))
    assert len(gatherer.asked) == 40


async def test_record_is_not_worked_on_again_because_the_watch_lags(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.lag = 0.1
    for n in range(5):
        cluster.put("modelrecords", record(f"hf://acme/m{n}@{COMMIT}", f"m{n}"))
    start()
    for n in range(5):
        await eventually(resolved(cluster, f"m{n}"))
    await quiet(0.3)
    assert len(gatherer.asked) == 5


async def test_restarted_keeper_finds_its_work_done(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelpublishers", publisher("acme", "hf://acme/**", jurisdiction="FR"))
    for n in range(5):
        cluster.put("modelrecords", record(f"hf://acme/m{n}@{COMMIT}", f"m{n}"))
    start()
    for n in range(5):
        await eventually(resolved(cluster, f"m{n}"))
    start()
    await quiet()
    assert len(gatherer.asked) == 5
    assert cluster.calls["patch_status"] == 5


async def test_record_that_brings_the_keeper_down_does_so_for_itself_only(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    gatherer.answers[PINNED] = RecursionError("a defect")
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: bool(gatherer.asked))
    cluster.put("modelrecords", record(f"hf://acme/good@{COMMIT}", "good"))
    await eventually(resolved(cluster, "good"))
    await quiet()
    assert gatherer.count(PINNED) == 1
    gatherer.answers.clear()
    time.pass_by(seconds=31)
    await eventually(resolved(cluster))


async def test_status_that_cannot_be_read_is_written_anew(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    stored = record(PINNED, "m")
    stored["status"] = {"state": "Resolved", "resolved": PINNED, "trusted": True, "license": "MIT"}
    cluster.put("modelrecords", stored)
    start()
    await eventually(lambda: "trusted" not in cluster.status("m"))
    assert cluster.status("m")["state"] == "Resolved"
    assert "license" not in cluster.status("m")
    await quiet()
    assert cluster.calls["patch_status"] == 1


async def test_record_whose_spec_cannot_be_read_is_left_alone(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "m", trusted=True))
    cluster.put("modelrecords", record(f"hf://acme/good@{COMMIT}", "good"))
    start()
    await eventually(resolved(cluster, "good"))
    assert cluster.status("m") == {}
    assert gatherer.count(PINNED) == 0


async def test_transition_time_moves_only_when_the_condition_does(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    def since() -> datetime:
        return datetime.fromisoformat(cluster.status("m")["conditions"][0]["lastTransitionTime"])

    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    assert since() == NOW
    time.pass_by(minutes=5)
    cluster.put("modelrecords", record(PINNED, "m", asserted={"license": "MIT"}))
    await eventually(lambda: cluster.status("m").get("license") == "MIT")
    assert since() == NOW
    gatherer.answers[PINNED] = outage(PINNED)
    cluster.put("modelrecords", record(PINNED, "m"))
    await eventually(lambda: cluster.status("m")["state"] == "Unavailable")
    assert since() == NOW + timedelta(minutes=5)


async def test_two_records_of_one_reference_are_both_kept(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "one"))
    cluster.put("modelrecords", record(PINNED, "two", asserted={"license": "MIT"}))
    start()
    await eventually(resolved(cluster, "one"))
    await eventually(resolved(cluster, "two"))
    assert cluster.status("two")["license"] == "MIT"


# Lineage.


def made_from(reference: str, *bases: str) -> Evidence:
    return evidence(reference, card=CardFacts(base_models=bases, source="README.md"))


def references_of(cluster: FakeCluster) -> set[str]:
    stored = cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"].values()
    return {each["spec"]["reference"] for each in stored}


async def test_lineage_is_followed_only_where_a_policy_asks_for_it(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base")
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    await quiet()
    assert references_of(cluster) == {PINNED}
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    await eventually(lambda: references_of(cluster) == {PINNED, "hf://root/base"})


async def test_base_whose_record_could_not_be_made_is_tried_again(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base")
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    await eventually(lambda: "hf://root/base" in references_of(cluster))
    base = next(
        n for n in cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"] if n != "m"
    )
    cluster.failures += [ClusterError("no", status=503)] * 2
    cluster.remove("modelrecords", base)
    await eventually(lambda: "hf://root/base" in references_of(cluster))


async def test_model_with_many_parents_gets_records_of_all(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    bases = tuple(f"hf://merged/base{n}" for n in range(20))
    gatherer.answers[PINNED] = made_from(PINNED, *bases)
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: references_of(cluster) == {PINNED, *bases})


async def test_lineage_that_grows_without_end_makes_no_more_records_than_are_looked_at(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    def endless(reference: str) -> Evidence:
        end = reference[-12:].replace("/", "")
        return made_from(reference, *(f"hf://evil/{end}{n}" for n in range(8)))

    gatherer.finds = endless
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await quiet(0.4)
    assert len(references_of(cluster)) <= 32
    made = cluster.calls["create"]
    await quiet()
    assert cluster.calls["create"] == made


async def test_circle_in_a_lineage_ends(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://a/a", PINNED)
    gatherer.answers["hf://a/a"] = made_from("hf://a/a", "hf://b/b")
    gatherer.answers["hf://b/b"] = made_from("hf://b/b", "hf://a/a", PINNED)
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: references_of(cluster) == {PINNED, "hf://a/a", "hf://b/b"})
    await quiet()
    assert cluster.calls["create"] == 2


# Records that nothing uses.

LABELS = {"app.kubernetes.io/managed-by": "weighmaster"}
OLD = {"creationTimestamp": "2026-09-01T00:00:00Z", "labels": LABELS}


async def test_own_record_that_nobody_uses_is_deleted_and_others_are_kept(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    used = {"annotations": {"weighmaster.dev/last-used": "2026-11-20"}}
    junk = {"annotations": {"weighmaster.dev/last-used": "~"}}
    fresh = {"creationTimestamp": "2026-11-20T00:00:00Z"}
    for name, metadata in {
        "unused": OLD,
        "used": {**OLD, **used},
        "fresh": {**OLD, **fresh},
        "of-people": {**OLD, "labels": {}},
        "of-others": {**OLD, "labels": {"app.kubernetes.io/managed-by": "helm"}},
        "with-junk": {**OLD, **junk},
    }.items():
        cluster.put("modelrecords", record(f"hf://acme/{name}@{COMMIT}", name, metadata=metadata))
    start()
    await eventually(lambda: cluster.calls["delete"] == 2)
    await quiet()
    kept = cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"]
    assert set(kept) == {"used", "fresh", "of-people", "of-others"}


async def test_base_model_is_kept_for_as_long_as_what_was_made_from_it(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base")
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    used = {"annotations": {"weighmaster.dev/last-used": "2026-12-31"}}
    cluster.put("modelrecords", record(PINNED, "m", metadata={**OLD, **used}))
    start()
    await eventually(lambda: len(references_of(cluster)) == 2)
    time.pass_by(days=60)
    await quiet()
    assert references_of(cluster) == {PINNED, "hf://root/base"}
    assert cluster.calls["delete"] == 0
    time.pass_by(days=60)
    await eventually(lambda: references_of(cluster) == set())


def test_merge_patch_says_what_is_gone() -> None:
    before = {"state": "Resolved", "license": "MIT", "signedBy": "x", "expiresAt": "y"}
    held = hold({**record(PINNED, "m"), "status": before})
    assert held is not None
    patch = keeper_module._status(unavailable(outage(PINNED), Belonging()), held, "", NOW)
    assert {key for key in before if patch[key] is None} == {"license", "signedBy", "expiresAt"}
    assert b"null" not in msgspec.json.encode(patch["failures"])
    assert b"null" not in msgspec.json.encode(patch["conditions"])
