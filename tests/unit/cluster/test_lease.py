"""One leads at a time, whatever the network and the clocks do; and somebody does soon.

All of it in simulated time: minutes pass in milliseconds.
"""

import asyncio
import copy
import functools
import itertools
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighmaster.cluster.lease import Lease, Process, Timing
from weighmaster.errors import ClusterError, LeaseLostError, SettingsError

Json = dict[str, Any]
INFINITY = float("inf")
DURATION, DEADLINE, RETRY = 15.0, 10.0, 2.0 * 1.2


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Nobody waits: when there is nothing to do, it is later at once."""

    def __init__(self) -> None:
        loop = self
        self.now = 1000.0

        class Selector(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> Any:
                assert timeout is not None, "everything waits for something that never comes"
                loop.now += timeout
                return super().select(0)

        super().__init__(Selector())

    def time(self) -> float:
        return self.now


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test in simulated time; it must leave no task behind."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def checked() -> None:
            await test(*arguments, **named)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            runner.run(checked())

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


class Cluster:
    """Keeps one Lease as the API server does: a write that changes nothing is none."""

    def __init__(self) -> None:
        self.stored: Json | None = None
        self.version = 7
        self.written_at = 0.0

    @property
    def spec(self) -> Json:
        assert self.stored is not None
        spec: Json = self.stored["spec"]
        return spec

    def get(self) -> Json:
        if self.stored is None:
            raise ClusterError("not found", status=404)
        return copy.deepcopy(self.stored)

    def create(self, body: Mapping[str, Any]) -> Json:
        if self.stored is not None:
            raise ClusterError("exists", status=409)
        assert "resourceVersion" not in body["metadata"]
        return self.put(body)

    def replace(self, body: Mapping[str, Any]) -> Json:
        stored = self.get()
        if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            raise ClusterError("conflict", status=409)
        return stored if body == stored else self.put(body)

    def put(self, body: Mapping[str, Any]) -> Json:
        self.version += 1
        self.written_at = now()
        self.stored = copy.deepcopy(dict(body))
        self.stored["metadata"] |= {"resourceVersion": str(self.version)}
        return self.get()

    def write(self, **changes: Any) -> None:
        """As somebody else."""
        self.put({"metadata": {"name": "lead"}, "spec": {**self.spec, **changes}})


class Link:
    """One candidate's way to the cluster. A request on its way arrives even if nobody waits."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.there, self.back = 0.01, 0.01
        self.refuses = False
        self.weather: Callable[[], None] = lambda: None

    async def get(self, _path: str) -> Json:
        return await self._call(self.cluster.get)

    async def create(self, _path: str, body: Mapping[str, Any]) -> Json:
        return await self._call(lambda: self.cluster.create(body))

    async def replace(self, _path: str, body: Mapping[str, Any]) -> Json:
        return await self._call(lambda: self.cluster.replace(body))

    async def _call(self, operation: Callable[[], Json]) -> Json:
        self.weather()
        if self.refuses:
            raise ClusterError("connection refused")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Json | ClusterError] = loop.create_future()
        back = self.back

        def arrive() -> None:
            result: Json | ClusterError
            try:
                result = operation()
            except ClusterError as error:
                result = error
            if back < INFINITY:
                loop.call_later(back, settle, result)

        def settle(result: Json | ClusterError) -> None:
            if not answer.done():
                answer.set_result(result)

        if self.there < INFINITY:
            loop.call_later(self.there, arrive)
        result = await answer
        if isinstance(result, ClusterError):
            raise result
        return result

    def cut(self) -> None:
        self.there = INFINITY

    def heal(self) -> None:
        self.there, self.back, self.refuses = 0.01, 0.01, False


class Candidate:
    """A process with a Lease, whose work says when it goes on."""

    def __init__(self, cluster: Cluster, identity: str, **options: Any) -> None:
        self.link = Link(cluster)
        self.changes: list[tuple[float, bool]] = []
        self.overstays: list[float] = []
        self.active = False
        self.stops_within = 0.0
        self.skew = timedelta()
        start = random.uniform(0, 1e6)
        process = Process(
            monotonic=lambda: start + now(),
            wall=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=now()) + self.skew,
            on_change=lambda leading: self.changes.append((now(), leading)),
            on_overstay=lambda: self.overstays.append(now()),
        )
        options = {"process": process, "timing": Timing(), **options}
        self.lease = Lease(self.link, "system", "lead", identity=identity, **options)
        self.task: asyncio.Task[str] | None = None

    async def work(self) -> str:
        self.active = True
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self.stops_within)
            self.active = False
        return "never"

    def start(self, work: Callable[[], Coroutine[Any, Any, str]] | None = None) -> None:
        self.task = asyncio.create_task(self.lease.run(work or self.work))

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task

    async def lost(self) -> str:
        """Wait until it says so; returns what it says."""
        assert self.task is not None
        with pytest.raises(LeaseLostError) as caught:
            await self.task
        assert not self.active
        return str(caught.value)


async def until(holds: Callable[[], bool], within: float = 60.0) -> float:
    """Wait until something holds; returns when that was."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)
    return now()


Pair = tuple[Cluster, Candidate, Candidate]


async def a_leader_and_a_standby(**options: Any) -> Pair:
    cluster = Cluster()
    first, second = Candidate(cluster, "first", **options), Candidate(cluster, "second")
    first.start()
    await until(lambda: first.active)
    second.start()
    await asyncio.sleep(30)
    assert first.active
    assert not second.active
    return cluster, first, second


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
    assert cluster.spec["leaseDurationSeconds"] == 15
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
    cluster.write(holderIdentity="dead", leaseDurationSeconds=15, leaseTransitions=3)
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


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "silent"])
@simulated
async def test_leader_that_is_cut_off_stops_ten_seconds_after_it_sent_its_last_renewal(
    refuses: bool,
) -> None:
    cluster, first, second = await a_leader_and_a_standby()
    first.link.back = 4.5
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
    assert first.overstays[0] - first.changes[-1][0] == pytest.approx(4.5)
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


class Storm:
    """Candidates in bad weather, which stop, crash and come back; no two may ever be active."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.cluster = Cluster()
        self.active: set[str] = set()
        self.led = 0
        self.calm = False

    async def live(self, name: str) -> None:
        """Run one candidate after another, each until it stops or crashes."""
        for generation in itertools.count():
            candidate = Candidate(self.cluster, f"{name}-{generation}")
            candidate.skew = timedelta(hours=self.random.uniform(-100, 100))
            candidate.link.weather = self._weather(candidate.link)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.random.choice([20, 60, 300, None])):
                    while candidate.link.weather != candidate.link.cut:
                        await self._lead(candidate)
            assert not candidate.overstays
            await asyncio.sleep(self.random.choice([0.1, 3, 20]))

    async def _lead(self, candidate: Candidate) -> None:
        async def act() -> None:
            assert not self.active, f"{candidate.lease.identity} acts beside {self.active}"
            self.active.add(candidate.lease.identity)
            self.led += 1
            try:
                await asyncio.sleep(self.random.choice([3, 30, 10_000]))
            finally:
                try:
                    if self.random.random() < 0.5 and not self.calm:
                        candidate.link.weather = candidate.link.cut  # it crashes: no release
                    else:
                        await asyncio.sleep(self.random.uniform(0, 4.4))
                finally:
                    self.active.clear()

        try:
            await candidate.lease.run(act)
        except LeaseLostError:
            assert candidate.lease.identity not in self.active

    def _weather(self, link: Link) -> Callable[[], None]:
        changes_at = 0.0
        kind = "fine"

        def draw() -> None:
            nonlocal changes_at, kind
            link.heal()
            if self.calm:
                return
            if now() >= changes_at:
                changes_at = now() + self.random.uniform(1, 40)
                kind = self.random.choice(["fine", "fine", "slow", "lossy", "cut", "refused"])
            link.refuses = kind == "refused"
            if kind == "slow":
                link.there = self.random.uniform(0, 30) * self.random.random() ** 2
                link.back = self.random.uniform(0, 6) * self.random.random()
            elif kind == "lossy":
                link.there = self.random.choice([0.01, 3.0, 9.0, INFINITY])
                link.back = self.random.choice([0.01, 0.01, 3.0, INFINITY])
            elif kind == "cut":
                link.there = self.random.choice([INFINITY, 12.0, 25.0])

        return draw


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
