"""What goes wrong around the keeper neither loses nor invents evidence."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.signing.bundles import public_pem
from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import policy, publisher
from tests.unit.core.test_assess import signed_evidence
from tests.unit.records.cluster import (
    NOW,
    FakeCluster,
    FakeGatherer,
    Time,
    as_decided_by,
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
    quiet,
    resolved,
)
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import ClusterError
from weighmaster.records import keeper as keeper_module

Json = dict[str, Any]


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
