"""``make bench``: admission requests per CPU-second and latency, beside a bare handler.

Server and client have a core each. Every figure of a run comes from that run, so compare those and
the ratio, not figures of different days or machines.
"""

import asyncio
import os
import resource
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import cast

import uvloop
from msgspec import Struct

from tests.bench.startup import start_webhook
from tests.bench.workload import review_body, write_policies
from tests.certificates import write_certificate

SERVER_CORE, CLIENT_CORE = 0, 1
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "12000"))
CONNECTIONS = (1, 16)
MANY = 2000
"""Workloads; more than a snapshot remembers findings of."""


class Result(Struct, frozen=True):
    """One measured run; times in microseconds, latencies in milliseconds."""

    server: str
    path: str
    workloads: int
    connections: int
    cpu_us: float
    p50_ms: float
    p99_ms: float


class Client(asyncio.Protocol):
    """One keep-alive connection that sends the next request when an answer is complete."""

    def __init__(
        self, requests: Iterator[bytes], count: int, done: asyncio.Future[list[float]]
    ) -> None:
        self._requests = requests
        self._left = count
        self._done = done
        self._times: list[float] = []
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer, or a part of one."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        if b'"allowed":true' not in body:
            self._done.set_exception(AssertionError(body.decode()))
            return
        self._times.append(time.perf_counter() - self._sent)
        self._buffer = b""
        self._left -= 1
        if self._left:
            self._send()
        elif not self._done.done():
            self._done.set_result(self._times)

    def _send(self) -> None:
        assert self._transport is not None
        request = next(self._requests)
        self._sent = time.perf_counter()
        self._transport.write(request)


async def load(
    port: int, path: str, bodies: list[bytes], connections: int, count: int
) -> list[float]:
    """Latencies, in seconds, of ``count`` requests over some connections."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    requests = cycle([_request(path, body) for body in bodies])
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[list[float]]] = []
    transports = []
    for _ in range(connections):
        done: asyncio.Future[list[float]] = loop.create_future()
        waiting.append(done)
        transport, _protocol = await loop.create_connection(
            partial(Client, requests, count // connections, done),
            "127.0.0.1",
            port,
            ssl=context,
        )
        transports.append(transport)
    times = [latency for each in await asyncio.gather(*waiting) for latency in each]
    for transport in transports:
        transport.close()
    return times


def cpu_seconds(process: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path}?timeout=10s HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def measure(kind: str, folder: Path, path: str, workloads: int = 1) -> list[Result]:
    """Start a server, load it with each number of connections, and stop it.

    With many ``workloads``, no request is about one that was asked about lately.
    """
    command = [sys.executable, "-m", "tests.bench.server", kind, str(folder), str(SERVER_CORE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split()[0])
            bodies = [review_body(f"assistant-{number}") for number in range(workloads)]
            results = []
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(load(port, path, bodies, 4, REQUESTS // 6))
                for connections in CONNECTIONS:
                    before = cpu_seconds(server.pid)
                    times = sorted(runner.run(load(port, path, bodies, connections, REQUESTS)))
                    used = cpu_seconds(server.pid) - before
                    results.append(
                        Result(
                            server=kind,
                            path=path,
                            workloads=workloads,
                            connections=connections,
                            cpu_us=used / len(times) * 1e6,
                            p50_ms=times[len(times) // 2] * 1e3,
                            p99_ms=times[len(times) * 99 // 100] * 1e3,
                        )
                    )
            return results
        finally:
            server.send_signal(signal.SIGKILL)


def detect_corpus(corpus: Path) -> str:
    """CPU seconds that ``weighmaster detect`` takes for the whole corpus, in one process."""
    files = sorted((corpus / "manifests").glob("*.yaml"))
    if not files:
        return f"no corpus at {corpus}; name one by CORPUS"
    command = [sys.executable, "-m", "weighmaster", "detect", "--output", "jsonl", *map(str, files)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return f"detection of {len(files)} files in one process: {used:.2f} s of CPU"


def main() -> None:
    """Measure, and print a table."""
    os.sched_setaffinity(0, {CLIENT_CORE % (os.cpu_count() or 1)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_certificate(folder)
        write_policies(folder)
        bare = measure("bare", folder, "/validate")
        ours = [
            *measure("weighmaster", folder, "/validate"),
            *measure("weighmaster", folder, "/mutate"),
            *measure("weighmaster", folder, "/validate", MANY),
        ]
    reference = {result.connections: result.cpu_us for result in bare}
    print(f"review of {len(review_body())} bytes, 20 matching policies, {REQUESTS} requests a run")  # noqa: T201
    print("server       path       workloads  conns  CPU us/req  req/CPU-s  x bare  p50 ms  p99 ms")  # noqa: T201
    for result in (*bare, *ours):
        ratio = result.cpu_us / reference[result.connections]
        print(  # noqa: T201
            f"{result.server:<12} {result.path:<10} {result.workloads:>9}  {result.connections:>5}"
            f"  {result.cpu_us:>10.0f}  {1e6 / result.cpu_us:>9.0f}  {ratio:>6.2f}"
            f"  {result.p50_ms:>6.2f}  {result.p99_ms:>6.2f}"
        )
    started = start_webhook(10_000, 200)
    print(  # noqa: T201
        f"10,000 records, 200 policies: ready after {started.seconds:.1f} s,"
        f" {started.peak:.0f} MB at its highest"
    )
    print(detect_corpus(Path(os.environ.get("CORPUS", "../shared/corpus"))))  # noqa: T201


if __name__ == "__main__":
    main()
