"""A keeper of the sandbox that looks often, in a cluster in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial

import pytest
from msgspec import Struct
from prometheus_client import CollectorRegistry

from tests.unit.quarantine.cluster import MemoryCluster
from tests.unit.quarantine.situations import namespace, profile
from tests.unit.records.cluster import NOW, Time
from weighmaster.cluster import reflector
from weighmaster.quarantine import events, looking, network_keeper, pod_keeper, statuses
from weighmaster.quarantine.keeper import SandboxKeeper
from weighmaster.quarantine.terms import Terms
from weighmaster.telemetry import SandboxMetrics, StoreMetrics


class Running(Struct):
    """A keeper at work. ``leads`` may be taken from it."""

    keeper: SandboxKeeper
    task: asyncio.Task[None]
    registry: CollectorRegistry
    leads: bool = True

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"weighmaster_{name}", labels) or 0.0


class Looks:
    """Counts the looks of both loops, so that tests need not trust in how long those take."""

    def __init__(self) -> None:
        self.pods = 0
        self.networks = 0

    async def several(self) -> None:
        """Wait until everything that has happened has been looked at, and what follows as well."""
        pods, networks = self.pods + 4, self.networks + 4
        async with asyncio.timeout(20):
            while self.pods < pods or self.networks < networks:  # noqa: ASYNC110
                await asyncio.sleep(0.002)


LOOKS = Looks()
IMAGE = f"registry.example/weighmaster@sha256:{'1' * 64}"
"""Weighmaster's own image."""


async def quiet() -> None:
    """Long enough for several looks."""
    await LOOKS.several()


async def pass_by(time: Time, seconds: float) -> None:
    """Time goes by, with looks before and after."""
    await quiet()
    time.pass_by(seconds=seconds)
    await quiet()


def _count_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    look_at_pods = pod_keeper.PodKeeper.look
    look_at_networks = network_keeper.NetworkKeeper.look

    async def pods(self: pod_keeper.PodKeeper, group: asyncio.TaskGroup) -> float:
        LOOKS.pods += 1
        return await look_at_pods(self, group)

    def networks(self: network_keeper.NetworkKeeper, group: asyncio.TaskGroup) -> None:
        LOOKS.networks += 1
        look_at_networks(self, group)

    monkeypatch.setattr(pod_keeper.PodKeeper, "look", pods)
    monkeypatch.setattr(network_keeper.NetworkKeeper, "look", networks)


def _seconds(time: Time) -> float:
    return (time.now - NOW).total_seconds()


Start = Callable[[], Running]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cluster() -> MemoryCluster:
    """With one namespace and one profile."""
    made = MemoryCluster()
    made.put(namespace())
    made.put(profile())
    return made


@pytest.fixture
async def start(
    cluster: MemoryCluster, time: Time, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Start]:
    """Starts a keeper, ending the one before; the last must still run at the end."""
    for module in (pod_keeper, network_keeper):
        monkeypatch.setattr(module, "LOOK_AGAIN", 0.005)
    monkeypatch.setattr(pod_keeper, "SOON", 0.005)
    monkeypatch.setattr(looking, "FLOCK", 0.002)
    monkeypatch.setattr(events, "INTERVAL", 0)
    monkeypatch.setattr(statuses, "INTERVAL", 0)
    monkeypatch.setattr(reflector, "BACKOFF", (0.005,) * 6)
    _count_looks(monkeypatch)
    started: list[Running] = []

    def begin() -> Running:
        for running in started:
            running.task.cancel()
        registry = CollectorRegistry()
        terms = Terms(
            leads=lambda: started[-1].leads,
            exempt=frozenset({"kube-system"}),
            monotonic=partial(_seconds, time),
            wall=time,
        )
        keeper = SandboxKeeper(
            cluster, StoreMetrics(registry), SandboxMetrics(registry), terms, IMAGE
        )
        started.append(Running(keeper, asyncio.create_task(keeper.run()), registry))
        return started[-1]

    yield begin
    assert not started[-1].task.done(), "the keeper has ended"
    for running in started:
        running.task.cancel()
        with suppress(asyncio.CancelledError):
            await running.task
