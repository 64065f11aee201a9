"""One leads at a time, and hands over cleanly. All of it in simulated time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.cluster.lease_simulation import (
    DEADLINE,
    DURATION,
    RETRY,
    Candidate,
    Cluster,
    a_leader_and_a_standby,
    now,
    simulated,
    until,
)
from weighmaster.cluster.lease import Process, Timing


@simulated
async def test_first_candidate_makes_the_lease_and_leads() -> None:
    cluster = Cluster()
    first = Candidate(cluster, "first")
    first.start()
    await until(lambda: first.active, within=1)
    begun = cluster.spec["acquireTime"]
    await asyncio.sleep(600)
    assert first.active
    assert first.lease.leading
    assert cluster.spec["holderIdentity"] == "first"
    assert cluster.spec["leaseDurationSeconds"] == DURATION
    assert cluster.spec["leaseTransitions"] == 0
    assert cluster.spec["acquireTime"] == begun == "2026-01-01T00:16:40.020000Z"
    assert cluster.spec["renewTime"] > "2026-01-01T00:26:37"
    await first.stop()


@pytest.mark.parametrize("hours", [-1000, 0, 1000])
@simulated
async def test_dead_leader_is_succeeded_once_its_lease_expires_whatever_the_time_of_day(
    hours: int,
) -> None:
    cluster, first, second = await a_leader_and_a_standby()
    second.skew = timedelta(hours=hours)
    first.link.cut()
    await first.lost()
    died = first.changes[-1][0] - DEADLINE  # when its last renewal was sent
    took_over = await until(lambda: second.active)
    assert DURATION <= took_over - died <= DURATION + RETRY + 0.1
    assert cluster.spec["holderIdentity"] == "second"
    assert cluster.spec["leaseTransitions"] == 1
    assert cluster.spec["acquireTime"] == cluster.spec["renewTime"]
    await second.stop()


@simulated
async def test_lease_of_the_dead_is_taken_at_the_moment_it_expires() -> None:
    cluster = Cluster()
    cluster.stored = {"metadata": {}, "spec": {}}
    cluster.write(holderIdentity="dead", leaseDurationSeconds=int(DURATION), leaseTransitions=3)
    only = Candidate(cluster, "only")
    only.start()
    begun = now()
    assert DURATION <= await until(lambda: only.active) - begun < DURATION + 0.1
    assert cluster.spec["leaseTransitions"] == 4
    await only.stop()


@simulated
async def test_wall_clock_that_stands_still_renews_as_well() -> None:
    timeless = Process(monotonic=now, wall=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    _, first, second = await a_leader_and_a_standby(process=timeless)
    await first.stop()
    await second.stop()


@simulated
async def test_duration_is_that_of_the_holder_not_ones_own() -> None:
    patient = Timing(lease_duration=40, renew_deadline=30)
    _, first, second = await a_leader_and_a_standby(timing=patient)
    first.link.cut()
    begun = now()
    await first.lost()
    assert await until(lambda: second.active) > begun + 40 - RETRY
    await second.stop()


@simulated
async def test_clean_stop_releases_the_lease_after_the_work_and_the_successor_leads_at_once() -> (
    None
):
    cluster, first, second = await a_leader_and_a_standby()
    second.link.cut()
    first.stops_within = 60
    stopping = asyncio.create_task(first.stop())
    await asyncio.sleep(59)
    assert cluster.spec["holderIdentity"] == "first"
    assert first.lease.leading
    await stopping
    assert not first.active
    assert cluster.spec["holderIdentity"] == ""
    assert cluster.spec["leaseDurationSeconds"] == 1
    second.link.heal()
    await until(lambda: second.active, within=RETRY + 5)  # five for the request that is cut off
    assert cluster.spec["leaseTransitions"] == 1
    await second.stop()


@simulated
async def test_successor_leads_within_a_retry_period_of_a_clean_stop() -> None:
    _, first, second = await a_leader_and_a_standby()
    await first.stop()
    await until(lambda: second.active, within=RETRY + 0.1)
    await second.stop()


@simulated
async def test_lease_is_released_when_the_work_ends_by_itself() -> None:
    cluster = Cluster()

    async def done() -> str:
        await asyncio.sleep(5)
        return "done"

    assert await Candidate(cluster, "first").lease.run(done) == "done"
    assert cluster.spec["holderIdentity"] == ""

    async def fails() -> str:
        await asyncio.sleep(5)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is ours
        await Candidate(cluster, "second").lease.run(fails)
    assert cluster.spec["holderIdentity"] == ""
    assert cluster.spec["leaseTransitions"] == 1


@simulated
async def test_lease_is_released_even_if_a_renewal_is_still_on_its_way() -> None:
    cluster = Cluster()
    first = Candidate(cluster, "first")
    first.start()
    await until(lambda: first.active)
    first.link.there = 2.0  # of the renewal
    await asyncio.sleep(RETRY + 0.1)
    delays = iter([0.01, 3.0])  # of the release: what it reads is old when it writes

    def draw() -> None:
        first.link.there = next(delays, 0.01)

    first.link.weather = draw
    await first.stop()
    assert next(delays, None) is None
    assert cluster.spec["holderIdentity"] == ""
