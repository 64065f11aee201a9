"""The keeper works on what is due, once, and loses nothing to failures."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import public_pem
from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import policy, publisher
from tests.unit.core.test_assess import signed_evidence
from tests.unit.records.cluster import (
    NOW,
    FakeCluster,
    FakeGatherer,
    FakeMaterial,
    Time,
    evidence,
    outage,
    record,
)
from tests.unit.records.conftest import Start
from tests.unit.records.situations import (
    COMMIT,
    KEY,
    MOVING,
    OTHER_KEY,
    PINNED,
    SIGNED,
    by_config_map,
    quiet,
    resolved,
)
from weighmaster.api.v1alpha1.record import EvidenceState
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import ClusterError

Json = dict[str, Any]


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


async def test_records_are_counted_by_state_and_by_whether_they_are_overdue(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    expires = (NOW + timedelta(hours=1)).timestamp()
    gatherer.answers[MOVING] = evidence(MOVING, resolved=PINNED, expires_at=expires)
    gatherer.answers["hf://acme/gone"] = outage("hf://acme/gone")
    cluster.put("modelrecords", record(MOVING, "m"))
    cluster.put("modelrecords", record("hf://acme/gone", "n"))
    keeper = start()
    await eventually(lambda: keeper.count(EvidenceState.UNAVAILABLE) == 1)
    await eventually(lambda: keeper.count(EvidenceState.RESOLVED) == 1)
    assert keeper.count(EvidenceState.PENDING) == 0
    assert keeper.overdue() == 0
    assert keeper.oldest() == timedelta()
    later = (NOW + timedelta(hours=9)).timestamp()
    gatherer.answers[MOVING] = evidence(MOVING, resolved=PINNED, expires_at=later)
    time.pass_by(hours=2)
    assert keeper.overdue() == 1
    assert keeper.oldest() == timedelta(hours=2)
    await eventually(lambda: keeper.overdue() == 0)


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


async def test_record_that_was_deleted_and_is_made_again_tells_what_there_is_now(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    """Deleting it is how people ask for that, whatever the gatherer remembers."""
    gatherer.remembers = True
    gatherer.answers[MOVING] = evidence(MOVING, resolved=f"{MOVING}@{'a' * 40}")
    cluster.put("modelrecords", record(MOVING, "m"))
    start()
    await eventually(resolved(cluster))
    cluster.remove("modelrecords", "m")
    gatherer.answers[MOVING] = evidence(MOVING, resolved=f"{MOVING}@{'b' * 40}")
    time.pass_by(minutes=1)
    made = {"creationTimestamp": time.now.isoformat()}
    cluster.put("modelrecords", record(MOVING, "m", metadata=made))
    await eventually(resolved(cluster))
    assert cluster.status("m")["resolved"] == f"{MOVING}@{'b' * 40}"


async def test_what_is_remembered_from_after_a_record_was_made_will_do(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    gatherer.remembers = True
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    cluster.put("modelrecords", record(PINNED, "m", asserted={"license": "MIT"}))
    await eventually(lambda: cluster.status("m").get("license") == "MIT")
    assert gatherer.asked == [(PINNED, False)] * 2


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
    time.pass_by(minutes=54)
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
