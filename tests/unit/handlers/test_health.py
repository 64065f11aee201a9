"""Health answers whether the process lives, and whether it may be sent requests."""

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Counter

from weighmaster.errors import SettingsError
from weighmaster.health import HealthServer

pytestmark = pytest.mark.network


async def get(port: int, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def ask(path: str, not_ready: Callable[[], str | None] = lambda: None) -> tuple[int, str]:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc()
    server = HealthServer(registry, not_ready, "127.0.0.1", 0)
    port = await server.start()
    try:
        return await get(port, path)
    finally:
        await server.stop()


async def test_process_that_is_not_ready_lives_and_says_why() -> None:
    problem = "namespaces have not been listed yet"
    assert await ask("/livez", lambda: problem) == (200, "ok\n")
    assert await ask("/readyz", lambda: problem) == (503, f"not ready: {problem}\n")
    assert await ask("/readyz") == (200, "ok\n")


async def test_metrics_are_served() -> None:
    status, text = await ask("/metrics")
    assert status == 200
    assert "things_total 1.0" in text


@pytest.mark.parametrize(("problem", "value"), [(None, "1.0"), ("no policies yet", "0.0")])
async def test_readiness_is_a_metric_too(problem: str | None, value: str) -> None:
    _, text = await ask("/metrics", lambda: problem)
    assert f"weighmaster_ready {value}" in text


async def test_other_paths_are_not_found() -> None:
    assert (await ask("/"))[0] == 404


async def test_port_in_use_is_told_by_the_name_of_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = HealthServer(
            CollectorRegistry(), lambda: None, "127.0.0.1", taken.getsockname()[1]
        )
        with pytest.raises(SettingsError, match=r"^health-port: cannot listen on 127"):
            await server.start()
