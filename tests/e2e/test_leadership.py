"""Who leads, with real processes and a real API server: one at a time, and soon again one.

Run as a program, this module is a candidate that says what it does, or a relay between a candidate
and the API server: stopped it is a partition, killed it is a closed port.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
import yaml

from tests.cluster.installation import ROOT, free_port
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.lease import JITTER, Lease, Timing
from weighmaster.errors import LeaseLostError

USUAL = Timing()
QUICK = Timing(lease_duration=6, renew_deadline=4, retry_period=0.8)
STEP = 0.05
"""Seconds between two acts of a leader."""

LOST = 3
"""Exit code of a candidate that has lost the lease."""


async def candidate(namespace: str, duration: str, deadline: str, period: str) -> int:
    """Lead, and say so with the time of the system's monotonic clock, which all processes share."""

    def say(what: str) -> None:
        line = json.dumps({"what": what, "at": time.monotonic()})
        print(line, flush=True)  # noqa: T201

    async def act() -> None:
        say("begins")
        try:
            while True:
                if lease.leading:
                    say("acts")
                await asyncio.sleep(STEP)
        finally:
            say("ends")

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    timing = Timing(
        lease_duration=int(duration), renew_deadline=float(deadline), retry_period=float(period)
    )
    async with ApiClient() as client:
        lease = Lease(client, namespace, "lead", timing=timing)
        say(lease.identity)
        try:
            await lease.run(act)
        except LeaseLostError:
            return LOST
        except asyncio.CancelledError:
            pass
    return 0


async def relay(port: str, target: str) -> int:
    """Pass bytes on in both directions, for ever."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", int(target))
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", int(port)) as server:
        await server.serve_forever()
    return 0


class Program:
    """This module as a process."""

    def __init__(self, arguments: list[str], kubeconfig: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.test_leadership", *arguments],
                cwd=ROOT,
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def times(self, what: str) -> list[float]:
        """When it said something, in order."""
        lines = (line for line in self._log.read_text().splitlines() if line.startswith("{"))
        said = [json.loads(line) for line in lines if line.endswith("}")]
        return [event["at"] for event in said if event["what"] == what]

    @property
    def leads(self) -> bool:
        return len(self.times("begins")) > len(self.times("ends"))

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


Start = Callable[..., Program]


@pytest.fixture
def start(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Start]:
    """Starts candidates for the lease of the test, or relays."""
    started: list[Program] = []

    def begin(
        timing: Timing = QUICK, *, kubeconfig: Path | None = None, relay_port: int = 0
    ) -> Program:
        if relay_port:
            target = urlsplit(control_plane.server).port
            arguments = ["relay", str(relay_port), str(target)]
        else:
            durations = (timing.lease_duration, timing.renew_deadline, timing.retry_period)
            arguments = ["candidate", namespace, *map(str, durations)]
        log = tmp_path / f"{len(started)}.log"
        program = Program(arguments, kubeconfig or Path(control_plane.kubeconfig), log)
        started.append(program)
        return program

    yield begin
    for program in started:
        program.clean_up()


def stored_lease(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    read = control_plane.kubectl("get", "lease", "lead", "-n", namespace, "-o", "json").stdout
    spec: dict[str, Any] = json.loads(read)["spec"]
    return spec


def leader_and_standby(start: Start, timing: Timing, config: Path | None = None) -> list[Program]:
    """The leader goes by the given kubeconfig; the standby has seen its lease."""
    first = start(timing, kubeconfig=config)
    assert eventually(lambda: first.leads)
    second = start(timing)
    time.sleep(3)
    assert first.leads
    assert not second.leads
    return [first, second]


def act_in_turn(first: Program, second: Program) -> bool:
    """Whether one had stopped acting before the other began."""
    return first.times("acts")[-1] < second.times("begins")[0]


def test_killed_leader_is_succeeded_when_its_lease_expires(
    control_plane: ControlPlane, namespace: str, start: Start
) -> None:
    first, second = leader_and_standby(start, USUAL)
    killed = time.monotonic()
    first.end(signal.SIGKILL)
    assert eventually(lambda: second.leads, within=25)
    took = second.times("begins")[0] - killed
    assert took < 15
    retry = USUAL.retry_period * JITTER[1]
    assert USUAL.lease_duration - retry - 1 < took < USUAL.lease_duration + retry + 1
    assert stored_lease(control_plane, namespace)["leaseTransitions"] == 1


def test_stopped_leader_is_succeeded_at_once(
    control_plane: ControlPlane, namespace: str, start: Start
) -> None:
    first, second = leader_and_standby(start, USUAL)
    stopped = time.monotonic()
    assert first.end(signal.SIGTERM) == 0
    assert eventually(lambda: second.leads, within=5)
    assert second.times("begins")[0] - stopped < USUAL.retry_period * JITTER[1] + 1
    assert act_in_turn(first, second)
    assert second.end(signal.SIGTERM) == 0
    released = stored_lease(control_plane, namespace)
    assert not released.get("holderIdentity")
    assert released["leaseDurationSeconds"] == 1
    assert released["leaseTransitions"] == 1


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["silence", "closed"])
def test_leader_that_is_cut_off_stops_before_another_starts(
    control_plane: ControlPlane,
    start: Start,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    port = free_port()
    config = yaml.safe_load(Path(control_plane.kubeconfig).read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    between = start(relay_port=port)
    first, second = leader_and_standby(start, QUICK, tmp_path / "kubeconfig")
    cut = time.monotonic()
    between.process.send_signal(number)
    assert first.process.wait(20) == LOST
    assert first.times("ends")[0] - cut < QUICK.renew_deadline + 0.5
    assert not second.leads
    assert eventually(lambda: second.leads, within=15)
    assert act_in_turn(first, second)


def test_leader_that_was_frozen_acts_no_more_when_it_thaws(start: Start) -> None:
    first, second = leader_and_standby(start, QUICK)
    first.process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: second.leads, within=15)
    assert act_in_turn(first, second)
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(10) == LOST
    assert act_in_turn(first, second)
    assert second.leads


def test_without_an_api_server_nobody_leads_and_with_it_one_does_again(
    control_plane: ControlPlane, start: Start
) -> None:
    first, second = leader_and_standby(start, QUICK)
    control_plane.stop_apiserver()
    try:
        stopped = time.monotonic()
        assert first.process.wait(20) == LOST
        assert first.times("ends")[0] - stopped < QUICK.renew_deadline + 0.5
        time.sleep(QUICK.lease_duration)
        assert not second.leads
        assert second.process.poll() is None
    finally:
        control_plane.start_apiserver()
        control_plane.restart_controller_manager()
    assert eventually(lambda: second.leads, within=15)
    assert act_in_turn(first, second)


def test_deleted_lease_is_put_back_by_its_leader(
    control_plane: ControlPlane, namespace: str, start: Start
) -> None:
    first, second = leader_and_standby(start, QUICK)
    holder = stored_lease(control_plane, namespace)["holderIdentity"]
    for _ in range(3):
        control_plane.kubectl("delete", "lease", "lead", "-n", namespace)
        time.sleep(1.5)
        assert stored_lease(control_plane, namespace)["holderIdentity"] == holder
    assert first.leads
    assert not second.leads


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if sys.argv[1] == "relay":
            sys.exit(runner.run(relay(*sys.argv[2:])))
        sys.exit(runner.run(candidate(*sys.argv[2:])))
