"""Candidates for a Lease in simulated time: minutes pass in milliseconds."""

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

from weighmaster.cluster.lease import JITTER, Lease, Process, Timing
from weighmaster.errors import ClusterError, LeaseLostError

Json = dict[str, Any]
INFINITY = float("inf")
USUAL = Timing()
DURATION, DEADLINE = float(USUAL.lease_duration), USUAL.renew_deadline
RETRY = USUAL.retry_period * JITTER[1]


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
                        await asyncio.sleep(self.random.uniform(0, USUAL.grace - DEADLINE - 0.1))
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
