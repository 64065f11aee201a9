"""A keeper that looks often, in a cluster in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.records.cluster import FakeCluster, FakeGatherer, FakeMaterial, Time
from weighmaster.cluster import reflector
from weighmaster.gather.settings import GatherSettings
from weighmaster.records import keeper as keeper_module
from weighmaster.records.keeper import RecordKeeper
from weighmaster.records.supplied import Supplies
from weighmaster.telemetry import StoreMetrics

Start = Callable[..., RecordKeeper]
Settle = Callable[[], Awaitable[None]]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.hub.fixtures")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def gatherer(time: Time) -> FakeGatherer:
    return FakeGatherer(time)


@pytest.fixture
def material() -> FakeMaterial:
    return FakeMaterial()


@pytest.fixture
async def start(
    cluster: FakeCluster,
    gatherer: FakeGatherer,
    material: FakeMaterial,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Start]:
    """Starts a keeper, ending the one before; the last must still run at the end."""
    monkeypatch.setattr(keeper_module, "LOOK_AGAIN", 0.02)
    monkeypatch.setattr(keeper_module, "FLOCK", 0.002)
    monkeypatch.setattr(keeper_module, "AGAIN_AFTER", 0.01)
    monkeypatch.setattr(reflector, "BACKOFF", (0.005,) * 6)
    tasks: list[asyncio.Task[None]] = []

    def begin(*defaults: str) -> RecordKeeper:
        for task in tasks:
            task.cancel()
        metrics = StoreMetrics(CollectorRegistry())
        supplies = Supplies(material, GatherSettings(), defaults)
        keeper = RecordKeeper(cluster, gatherer, supplies, metrics, clock=time)
        tasks.append(asyncio.create_task(keeper.run()))
        return keeper

    yield begin
    assert not tasks[-1].done(), "the keeper has ended"
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
