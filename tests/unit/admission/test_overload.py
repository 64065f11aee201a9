"""More requests than can be answered in time: whoever cannot be answered is told so at once."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.bench.workload import review_body, write_policies
from tests.certificates import write_certificate

ROOT = Path(__file__).parents[3]
TIMEOUT = 10
"""Seconds that the API server waits by default."""

SECONDS = 6

Json = dict[str, Any]


class Server(Struct, frozen=True):
    """Where a server process listens."""

    port: int
    health: int


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that can do a hundred requests a second."""
    write_certificate(tmp_path)
    write_policies(tmp_path)
    core = min(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "tests.bench.server", "slow", str(tmp_path), str(core)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        port, health = map(int, process.stdout.readline().split())
        try:
            yield Server(port, health)
        finally:
            process.kill()


class Load:
    """Requests at given times, whether those before are answered or not: an open loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._body = review_body()
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self.answers: list[tuple[float, Json]] = []

    async def run(self, per_second: float, seconds: float) -> None:
        async with asyncio.TaskGroup() as group:
            started = time.perf_counter()
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(started + number / per_second - time.perf_counter())
                group.create_task(self.ask())
        await self.close()

    async def close(self) -> None:
        for _, writer in self._free:
            writer.transport.abort()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in self._free), return_exceptions=True
        )

    async def ask(self) -> None:
        asked = time.perf_counter()
        if self._free:
            reader, writer = self._free.pop()
        else:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._context, limit=1 << 20
            )
        head = f"POST /validate?timeout={TIMEOUT}s HTTP/1.1\r\nHost: webhook\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(self._body)}\r\n\r\n"
        writer.write(head.encode() + self._body)
        answered = await reader.readuntil(b"\r\n\r\n")
        assert answered.startswith(b"HTTP/1.1 200"), answered
        length = int(answered.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        self._free.append((reader, writer))
        self.answers.append((time.perf_counter() - asked, json.loads(body)["response"]))


async def probe(port: int, until: asyncio.Event) -> list[float]:
    """How long the health endpoint takes, asked as a kubelet does, only more often."""
    times = []
    while not until.is_set():
        started = time.perf_counter()
        await asyncio.to_thread(
            urllib.request.urlopen, f"http://127.0.0.1:{port}/readyz", timeout=10
        )
        times.append(time.perf_counter() - started)
        await asyncio.sleep(0.1)
    return times


async def capacity(port: int) -> float:
    """Requests a second that the server can do on this machine, which may be busy."""
    load = Load(port)
    started = time.perf_counter()
    while time.perf_counter() - started < 1:
        await load.ask()
    await load.close()
    return len(load.answers) / (time.perf_counter() - started)


@pytest.mark.network
@pytest.mark.timeout(120)
async def test_four_times_the_load_is_answered_in_time_and_health_with_it(server: Server) -> None:
    can = await capacity(server.port)
    load, done = Load(server.port), asyncio.Event()
    probing = asyncio.create_task(probe(server.health, done))
    await load.run(per_second=4 * can, seconds=SECONDS)
    done.set()
    times = await probing
    counted = Counter(
        "allowed" if answer["allowed"] else answer["status"]["reason"] for _, answer in load.answers
    )
    assert set(counted) == {"allowed", "TooManyRequests"}
    assert len(load.answers) == int(4 * can * SECONDS)
    assert max(waited for waited, _ in load.answers) < TIMEOUT
    # What can be done is done, less what it costs to turn the others away.
    assert counted["allowed"] > can * SECONDS / 4
    assert max(times) < TIMEOUT / 2
    refusal = next(answer for _, answer in load.answers if not answer["allowed"])
    assert refusal["uid"]
    assert refusal["status"]["code"] == 429
    assert refusal["status"]["details"]["retryAfterSeconds"] == 1
    assert refusal["status"]["details"]["causes"][0]["reason"] == "Overloaded"


@pytest.mark.network
async def test_one_client_after_another_is_never_turned_away(server: Server) -> None:
    load = Load(server.port)
    for _ in range(30):
        await load.ask()
    await load.close()
    assert all(answer["allowed"] for _, answer in load.answers)
