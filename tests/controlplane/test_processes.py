"""Processes beside the tests: nothing outlives them, and what goes wrong is told."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane import processes
from tests.controlplane.errors import ComponentError
from tests.controlplane.polling import eventually
from tests.controlplane.processes import Component, Guard

SLEEP = Path("/bin/sleep")
SHELL = Path("/bin/sh")

Start = Callable[..., Component]

RUN_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from tests.controlplane.processes import Component, Guard

with Guard() as guard:
    component = Component(["/bin/sleep", "300"], Path(sys.argv[1]), guard)
    component.start()
    print(component.process_id, flush=True)
    time.sleep(300)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts components that end with the test."""
    with ExitStack() as stack:
        guard = stack.enter_context(Guard())

        def start(*command: str | Path) -> Component:
            component = Component(command, tmp_path, guard)
            stack.callback(component.stop)
            component.start()
            return component

        yield start


def is_running(process_id: int) -> bool:
    """Whether it runs; a zombie that its new parent has yet to reap does not."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_component_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN_UNTIL_KILLED, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as parent:
        assert parent.stdout is not None
        component = int(parent.stdout.readline())
        assert is_running(component)
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not is_running(component), within=5)


def test_a_component_that_ends_by_itself_is_reported_with_its_last_words(start: Start) -> None:
    component = start(SHELL, "-c", "echo no such flag; exit 3")

    def has_ended() -> bool:
        try:
            component.check()
        except ComponentError:
            return True
        return False

    assert eventually(has_ended)
    with pytest.raises(ComponentError, match="sh ended with code 3:\nno such flag"):
        component.check()


def test_a_stopped_component_can_be_started_again_and_its_log_goes_on(start: Start) -> None:
    component = start(SHELL, "-c", f"echo up; exec {SLEEP} 300")
    assert eventually(lambda: component.log_text() == "up\n")
    component.stop()
    assert component.process_id is None
    component.start()
    assert eventually(lambda: component.log_text() == "up\nup\n")


def test_stopping_twice_is_stopping_once(start: Start) -> None:
    component = start(SLEEP, "300")
    process_id = component.process_id
    assert process_id is not None
    component.stop()
    component.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_a_component_that_ignores_being_asked_is_killed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_TERMINATION_GRACE", 0.2)
    component = start(SHELL, "-c", f"trap '' TERM; echo deaf; while :; do {SLEEP} 0.05; done")
    assert eventually(lambda: component.log_text() == "deaf\n")
    process_id = component.process_id
    assert process_id is not None
    component.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_a_component_does_not_see_the_environment_of_the_tests(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    component = start(Path("/usr/bin/env"))
    assert eventually(lambda: "HOME=" in component.log_text())
    assert "proxy" not in component.log_text()
