"""``python -m tests.controlplane [--kubeconfig FILE] [-- COMMAND...]``: a control plane to use.

Without a command it runs until Ctrl-C. With one it runs as long as the command does, which finds
KUBECONFIG set and kubectl on its PATH, and whose exit code becomes this program's.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.controlplane.binaries import ensure_binaries
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import ControlPlaneError


class _TerminatedError(KeyboardInterrupt):
    """This process alone was asked to end: its command does not know yet."""


def main(arguments: Sequence[str]) -> int:
    options, command = _parse(arguments)
    try:
        binaries = ensure_binaries(_say)
        # The kubectl of this release comes first for the command.
        path = f"{binaries.directory}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        if command and shutil.which(command[0], path=path) is None:
            _say(f"{command[0]}: no such command")
            return 127
        with (
            tempfile.TemporaryDirectory(prefix="weighmaster-controlplane-") as directory,
            ControlPlane(binaries, Path(directory)) as control_plane,
            _published(control_plane.kubeconfig, options.kubeconfig) as kubeconfig,
        ):
            _say(f"control plane ready: {control_plane.server}")
            _say(f"logs, until it stops: {control_plane.directory}")
            if command:
                return _run(command, {"KUBECONFIG": str(kubeconfig), "PATH": path})
            _say(f"kubectl of this release: {binaries.kubectl}")
            _say("Ctrl-C stops it; until then:")
            print(f"export KUBECONFIG={shlex.quote(str(kubeconfig))}", flush=True)  # noqa: T201
            threading.Event().wait()
            return 0
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except ControlPlaneError as error:
        _say(f"no control plane: {error}")
        return 1


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Sequence[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.controlplane",
        description="Run a Kubernetes control plane on loopback, without any node.",
        usage="%(prog)s [--kubeconfig FILE] [-- COMMAND...]",
    )
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="where to put the kubeconfig as well"
    )
    own, command = list(arguments), []
    if "--" in own:
        command = own[own.index("--") + 1 :]
        own = own[: own.index("--")]
    return parser.parse_args(own), command


@contextmanager
def _published(kubeconfig: Path, copy: Path | None) -> Iterator[Path]:
    """The kubeconfig, or its copy at a place that stays the same from run to run."""
    if copy is None:
        yield kubeconfig
        return
    copy = copy.absolute()
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(kubeconfig, copy)
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    process = subprocess.Popen(command, env=os.environ | environment)
    while True:
        try:
            code = process.wait()
        except _TerminatedError:
            process.terminate()
        except KeyboardInterrupt:
            # The terminal has sent it to the command as well, which decides when to end.
            continue
        else:
            return code if code >= 0 else 128 - code  # as a shell tells of a signal


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _TerminatedError


if __name__ == "__main__":
    # `kill` and a closed terminal stop the control plane as cleanly as Ctrl-C.
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    sys.exit(main(sys.argv[1:]))
