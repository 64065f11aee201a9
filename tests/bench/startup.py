"""A webhook process that starts in a cluster of a given size: how long, and how much memory."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from tests.certificates import write_certificate

ROOT = Path(__file__).parents[2]
LIMIT = 60.0


class Started(Struct, frozen=True):
    """Seconds until it was ready; resident memory in MB when it was, and at its highest."""

    seconds: float
    resident: float
    peak: float


def start_webhook(records: int, policies: int) -> Started:
    """Start one in a cluster of so many records and policies, and stop it again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_certificate(folder)
        api, port, health = (_free_port() for _ in range(3))
        cluster = _run(stack, "-m", "tests.bench.cluster", str(api), str(records), str(policies))
        _wait(f"http://127.0.0.1:{api}/api/v1/namespaces?limit=1", cluster)
        config = folder / "kubeconfig"
        config.write_text(json.dumps(_kubeconfig(api)))
        started = time.perf_counter()
        webhook = _run(
            stack,
            *("-m", "weighmaster", "webhook", "--host", "127.0.0.1", "--port", str(port)),
            *("--health-host", "127.0.0.1", "--health-port", str(health)),
            *("--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")),
            *("--log-level", "error"),
            KUBECONFIG=str(config),
        )
        _wait(f"http://127.0.0.1:{health}/readyz", webhook)
        seconds = time.perf_counter() - started
        status = Path(f"/proc/{webhook.pid}/status").read_text()
        return Started(seconds, _megabytes(status, "VmRSS"), _megabytes(status, "VmHWM"))


def _run(stack: ExitStack, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **variables}
    )
    stack.callback(process.wait)
    stack.callback(process.send_signal, signal.SIGKILL)
    return process


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise AssertionError(f"{url} does not answer")


def _kubeconfig(port: int) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
    }


def _megabytes(status: str, name: str) -> float:
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
