"""One leads at a time whatever the network and the clocks do; and somebody does soon."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cluster.lease_simulation import (
    DEADLINE,
    INFINITY,
    RETRY,
    USUAL,
    Candidate,
    Cluster,
    Json,
    Link,
    Storm,
    a_leader_and_a_standby,
    now,
    simulated,
    until,
)
from weighmaster.cluster.lease import Lease, Process, Timing
from weighmaster.errors import SettingsError


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "silent"])
@simulated
async def test_leader_that_is_cut_off_stops_at_the_deadline_of_its_last_renewal(
    refuses: bool,
) -> None:
    cluster, first, second = await a_leader_and_a_standby()
    first.link.back = USUAL.attempt - 0.5
    await asyncio.sleep(60)
    assert first.active
    if refuses:
        first.link.refuses = True
    else:
        first.link.cut()
    assert "not renewed in time" in await first.lost()
    sent = cluster.written_at - 0.01
    assert now() == pytest.approx(sent + DEADLINE)
    assert not second.active
    assert not first.overstays
    await until(lambda: second.active)
    await second.stop()


@simulated
async def test_renewal_that_got_through_unnoticed_is_no_loss() -> None:
    cluster, first, second = await a_leader_and_a_standby()

    def only_reads_are_answered() -> None:
        first.link.back = 0.01 if first.link.back == INFINITY else INFINITY

    first.link.weather = only_reads_are_answered
    first.link.back = INFINITY
    version = cluster.version
    await until(lambda: cluster.version != version)  # the answer to this one is lost
    first.link.weather = first.link.heal
    await asyncio.sleep(60)
    assert first.active
    await first.stop()
    await second.stop()


@simulated
async def test_leader_stops_as_soon_as_it_sees_another_holder() -> None:
    cluster, first, second = await a_leader_and_a_standby()
    cluster.write(holderIdentity="intruder")
    begun = now()
    assert "held by 'intruder'" in await first.lost()
    assert now() - begun < RETRY + 0.1
    assert cluster.spec["holderIdentity"] == "intruder"
    await until(lambda: second.active)
    await second.stop()


@simulated
async def test_deleted_lease_is_put_back_by_its_holder_not_taken_by_the_standby() -> None:
    cluster, first, second = await a_leader_and_a_standby()
    for _ in range(20):
        cluster.stored = None
        await asyncio.sleep(random.uniform(2.5, 6))
        assert cluster.spec["holderIdentity"] == "first"
        assert first.active
    first.link.cut()
    await first.lost()
    cluster.stored = None
    await until(lambda: second.active)
    await second.stop()


@simulated
async def test_standby_waits_while_the_api_server_is_away_and_leads_when_it_is_back() -> None:
    cluster = Cluster()
    only = Candidate(cluster, "only")
    only.link.refuses = True
    only.start()
    await asyncio.sleep(600)
    only.link.refuses = False
    only.link.cut()
    await asyncio.sleep(600)
    assert not only.active
    only.link.heal()
    await until(lambda: only.active, within=5 + RETRY)
    await only.stop()


@simulated
async def test_standby_can_be_stopped_at_any_moment() -> None:
    cluster, first, second = await a_leader_and_a_standby()
    second.link.cut()
    await asyncio.sleep(3)
    await second.stop()
    assert second.changes == []
    await first.stop()
    assert cluster.spec["holderIdentity"] == ""


@simulated
async def test_answer_that_comes_after_the_deadline_acquires_nothing() -> None:
    cluster = Cluster()
    slow = Candidate(cluster, "slow", timing=Timing(lease_duration=60, renew_deadline=6))
    slow.link.back = 1.0
    jump = [0.0]
    slow.lease._process = Process(monotonic=lambda: now() + jump[0])

    def freeze() -> None:
        if now() > begun + 0.5 and not jump[0]:  # the second request, which creates
            asyncio.get_running_loop().call_later(0.5, lambda: jump.__setitem__(0, 6.0))

    begun = now()
    slow.link.weather = freeze
    slow.start()
    await asyncio.sleep(2.5)
    assert cluster.spec["holderIdentity"] == "slow"
    assert not slow.active
    await until(lambda: slow.active, within=10)
    await slow.stop()


@simulated
async def test_work_that_does_not_end_is_reported_before_another_could_start() -> None:
    _, first, second = await a_leader_and_a_standby()
    first.stops_within = 100
    first.link.cut()
    took_over = await until(lambda: second.active)
    assert len(first.overstays) == 1
    assert took_over - first.overstays[0] >= 0.4
    assert first.overstays[0] - first.changes[-1][0] == pytest.approx(USUAL.grace - DEADLINE)
    await first.lost()
    assert len(first.overstays) == 1
    await second.stop()


@simulated
async def test_frozen_leader_knows_that_it_leads_no_more_before_its_event_loop_does() -> None:
    cluster = Cluster()
    jump = [0.0]
    process = Process(monotonic=lambda: now() + jump[0])
    first = Candidate(cluster, "first", process=process)
    first.start()
    await until(lambda: first.active)
    said = [first.lease.leading]
    jump[0] = 20
    said.append(first.lease.leading)
    assert said == [True, False]
    await first.stop()


@simulated
async def test_leadership_is_told_once_each_time_it_changes() -> None:
    _, first, second = await a_leader_and_a_standby()
    await first.stop()
    await until(lambda: second.active)
    second.link.cut()
    await second.lost()
    second.link.heal()
    second.start()
    await until(lambda: second.active)
    await second.stop()
    assert [leading for _, leading in first.changes] == [True, False]
    assert [leading for _, leading in second.changes] == [True, False, True, False]


@simulated
async def test_own_lease_is_led_again_at_once_after_an_outage() -> None:
    cluster = Cluster()
    only = Candidate(cluster, "only")
    only.start()
    await until(lambda: only.active)
    only.link.refuses = True
    await only.lost()
    only.link.heal()
    only.start()
    await until(lambda: only.active, within=1)
    assert cluster.spec["leaseTransitions"] == 0
    await only.stop()


@simulated
async def test_cancellation_of_a_task_inside_the_client_is_a_failed_request_and_no_more() -> None:
    _, first, second = await a_leader_and_a_standby()
    strikes = [3]

    def strike() -> None:
        if strikes[0]:
            strikes[0] -= 1
            raise asyncio.CancelledError

    first.link.weather = second.link.weather = strike
    await asyncio.sleep(60)
    assert strikes == [0]
    assert first.active
    first.link.weather = second.link.weather = lambda: None
    await first.stop()
    await second.stop()


@pytest.mark.parametrize(
    "answer",
    [
        {"metadata": {}, "spec": {}},
        {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": 5}},
        {"metadata": {"resourceVersion": "1"}, "spec": []},
        [],
    ],
)
@simulated
async def test_lease_that_cannot_be_read_is_not_led(answer: Any) -> None:
    only = Candidate(Cluster(), "only")
    only.link.cluster.get = lambda: answer  # type: ignore[method-assign]
    only.start()
    await asyncio.sleep(60)
    assert not only.active
    await only.stop()


@simulated
async def test_lease_that_is_stored_for_somebody_else_is_not_led() -> None:
    cluster = Cluster()
    only = Candidate(cluster, "only")

    def create(body: Mapping[str, Any]) -> Json:
        return cluster.put({**body, "spec": {**body["spec"], "holderIdentity": "other"}})

    cluster.create = create  # type: ignore[method-assign]
    only.start()
    await asyncio.sleep(10)
    assert not only.active
    await only.stop()


@simulated
async def test_whatever_else_the_lease_has_stays() -> None:
    cluster = Cluster()
    metadata = {"name": "lead", "labels": {"a": "b"}}
    cluster.put({"metadata": metadata, "spec": {"strategy": "x"}})
    only = Candidate(cluster, "only")
    only.start()
    await asyncio.sleep(10)
    await only.stop()
    assert cluster.get()["metadata"]["labels"] == {"a": "b"}
    assert cluster.spec["strategy"] == "x"


@pytest.mark.parametrize(
    "timing",
    [(10, 10.0, 2.0), (15, 10.0, 8.5), (15, 10.0, 0.0), (15, float("nan"), 2.0), (15, 2.0, 2.0)],
)
def test_durations_that_could_let_two_lead_are_refused(timing: tuple[int, float, float]) -> None:
    duration, deadline, period = timing
    with pytest.raises(SettingsError, match="lease"):
        Timing(lease_duration=duration, renew_deadline=deadline, retry_period=period)


def test_identities_differ_even_on_one_host() -> None:
    made = {Lease(Link(Cluster()), "system", "lead").identity for _ in range(10)}
    assert len(made) == 10


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
@simulated
async def test_no_two_ever_act_at_once_and_in_fine_weather_one_does(seed: int) -> None:
    storm = Storm(seed)
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(storm.live(name)) for name in "abc"]
        await asyncio.sleep(600)
        assert storm.led
        storm.calm = True
        await until(lambda: bool(storm.active), within=60)
        for life in lives:
            life.cancel()
