"""A misbehaving API server, a client of it and reflectors that do not wait long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.cluster.api_server import ApiServer
from weighmaster.cluster import reflector as reflector_module
from weighmaster.cluster.client import ApiClient, Json
from weighmaster.cluster.connection import Connection
from weighmaster.cluster.reflector import ObjectKey, Reflector, Resource, object_key
from weighmaster.telemetry import StoreMetrics


class Copy:
    """A sink that keeps what it is given, and how it came to be."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Json] = {}
        self.history: list[tuple[str, str]] = []

    def replace(self, _resource: str, objects: list[Json]) -> None:
        self.objects = {object_key(stored): stored for stored in objects}
        self.history.append(("replace", ""))

    def update(self, _resource: str, stored: Json) -> None:
        self.objects[object_key(stored)] = stored
        self.history.append(("update", object_key(stored)[1]))

    def remove(self, _resource: str, key: ObjectKey) -> None:
        self.objects.pop(key, None)
        self.history.append(("remove", key[1]))

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.objects}


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(api: ApiServer) -> AsyncIterator[ApiClient]:
    async with ApiClient(lambda: Connection(api.url, None, "token-1")) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are retried within milliseconds."""
    monkeypatch.setattr(reflector_module, "BACKOFF", (0.005, 0.01, 0.02, 0.02, 0.02, 0.02))


@pytest.fixture
async def start(
    client: ApiClient, impatient: None
) -> AsyncIterator[Callable[..., tuple[Reflector, Copy]]]:
    """Starts reflectors and ends them; each must still be running at the end."""
    tasks: list[asyncio.Task[None]] = []

    def begin(**options: Any) -> tuple[Reflector, Copy]:
        copy = Copy()
        metrics = StoreMetrics(CollectorRegistry())
        reflector = Reflector(client, Resource("things", "/things"), copy, metrics, **options)
        tasks.append(asyncio.create_task(reflector.run()))
        return reflector, copy

    yield begin
    for task in tasks:
        assert not task.done(), "a reflector has ended"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def eventually(holds: Callable[[], bool], within: float = 5) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)
