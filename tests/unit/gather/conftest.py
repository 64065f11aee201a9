import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.hub.fake_registry import FakeRegistry
from tests.hub.server import Hub
from weighmaster.gather.addresses import Lookup
from weighmaster.gather.client import HttpClient
from weighmaster.gather.pace import Clock
from weighmaster.gather.service import Gatherer
from weighmaster.gather.settings import GatherSettings, Timeouts

NAMES = {"hub.test", "cdn.test", "evil.test", "registry.test", "auth.test"}
"""Names that lead to loopback in these tests, as if their owners were public hosts."""


async def lookup(host: str, port: int) -> list[str]:
    if host in NAMES or host == "localhost":
        return ["127.0.0.1"]
    raise OSError(f"{host} is not known here")


class FakeTime:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(wall=self.read, monotonic=self.read, sleep=self.sleep)


def settings_for(*hubs: Hub, **changes: Any) -> GatherSettings:
    """Settings that allow plain HTTP to these hubs on loopback, the first being ``hf``."""
    hosts = frozenset(
        f"{name}:{hub.port}" for hub in hubs for name in ("127.0.0.1", "localhost", *sorted(NAMES))
    )
    defaults: dict[str, Any] = {
        "endpoints": {"hf": hubs[0].url} if hubs else {},
        "internal_hosts": hosts,
        "plain_http_hosts": hosts,
        "timeouts": Timeouts(connect=5, read=5, request=10, gather=30),
    }
    return GatherSettings(**{**defaults, **changes})


Start = Callable[..., Any]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def hub(stack: AsyncExitStack) -> Hub:
    return await stack.enter_async_context(Hub())


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def gatherer_for(stack: AsyncExitStack, time: FakeTime) -> Start:
    async def start(settings: GatherSettings) -> Gatherer:
        gatherer = Gatherer(settings, clock=time.clock, lookup=lookup)
        return await stack.enter_async_context(gatherer)

    return start


@pytest.fixture
def client_for(stack: AsyncExitStack, time: FakeTime) -> Any:
    async def start(settings: GatherSettings, names: Lookup = lookup) -> HttpClient:
        client = HttpClient(settings, clock=time.clock, lookup=names, jitter=lambda: 1.0)
        return await stack.enter_async_context(client)

    return start


@pytest.fixture
async def fake(stack: AsyncExitStack) -> FakeRegistry:
    return await stack.enter_async_context(FakeRegistry())


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.hub.fixtures")
