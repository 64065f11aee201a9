"""A network namespace of our own, in which addresses of pods work."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POD_NETWORK = "10.77.0.0/16"
HOST = "10.77.0.1"

_CLONE_NEWNET = 0x40000000


class NetworkUnavailableError(Exception):
    """No network namespace can be made here; the message says why."""


@contextmanager
def own_network() -> Iterator[None]:
    """Be in a network namespace of our own: this thread, and all threads and processes it starts.

    Any address of POD_NETWORK can be listened on there, and none is reached from outside.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise NetworkUnavailableError(os.strerror(ctypes.get_errno()))
        try:
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "route", "add", "local", POD_NETWORK, "dev", "lo")
            yield
        finally:
            if libc.setns(before, _CLONE_NEWNET) != 0:
                raise NetworkUnavailableError(os.strerror(ctypes.get_errno()))
    finally:
        os.close(before)


def pod_address(number: int) -> str:
    """The address of a pod, by its number from 0 on."""
    return f"10.77.{1 + number // 250}.{1 + number % 250}"


def is_possible() -> str:
    """Why no namespace can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "making a network namespace takes root"
    missing = [name for name in ("ip", "unshare", "mount", "setpriv") if not _found(name)]
    return f"there is no {', '.join(missing)}" if missing else ""


def _found(program: str) -> bool:
    folders = (*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/sbin")
    return any(Path(folder, program).is_file() for folder in folders)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NetworkUnavailableError(f"{' '.join(command)}: {error}") from error
