"""`python -m tests.controlplane`, as a developer and as `make cluster` run it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.usefixtures("binaries_are_there")]

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def binaries_are_there(control_plane: ControlPlane) -> None:
    """Skip where there is no control plane, as every test here does."""


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.controlplane", *arguments]


def test_a_command_runs_against_the_control_plane_and_its_exit_ends_it(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "here" / "kubeconfig"
    script = 'echo "$KUBECONFIG"; kubectl get namespace default --output name; exit 7'
    ended = subprocess.run(
        command_line("--kubeconfig", str(kubeconfig), "--", "sh", "-c", script),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.stdout.splitlines() == [str(kubeconfig), "namespace/default"], ended.stderr
    assert ended.returncode == 7
    assert not kubeconfig.exists()


def test_a_command_that_does_not_exist_is_named_before_anything_starts() -> None:
    ended = subprocess.run(
        command_line("--", "no-such-command"),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 127
    assert ended.stderr == "no-such-command: no such command\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_prints_what_to_export_and_stops_when_told(
    number: signal.Signals,
) -> None:
    with subprocess.Popen(
        command_line(), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        variable, _, kubeconfig = running.stdout.readline().strip().partition("=")
        assert variable == "export KUBECONFIG"
        assert os.access(kubeconfig, os.R_OK)
        running.send_signal(number)
    assert running.returncode == 128 + signal.SIGINT
    assert eventually(lambda: not Path(kubeconfig).exists(), within=1)


def test_termination_is_passed_on_to_the_command(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap 'exit 9' TERM; touch {ready}; while :; do sleep 0.1; done"
    with subprocess.Popen(command_line("--", "sh", "-c", script), cwd=REPOSITORY) as running:
        assert eventually(ready.exists, within=40)
        running.terminate()
    assert running.returncode == 9
