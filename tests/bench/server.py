"""One server process of the benchmark: ``bare`` parses and answers, ``weighmaster`` decides.

``slow`` decides, too, a hundred times a second at most.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
import uvloop
from prometheus_client import CollectorRegistry

from tests.certificates import serving
from weighmaster.admission.handler import AdmissionHandler, Answer
from weighmaster.admission.server import AdmissionServer
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.health import HealthServer
from weighmaster.policy_files import FileStore
from weighmaster.telemetry import AdmissionMetrics, configure_logging

SLOW = 0.01
"""Seconds of CPU of a decision of the ``slow`` kind."""


class BareHandler(AdmissionHandler):
    """Parses the review and lets everything through: what any webhook on this server costs."""

    def __init__(self) -> None:
        """Hold nothing: there is nothing to decide by."""

    async def answer(self, path: str, body: bytes, patience: float = 1.0) -> Answer:  # noqa: ARG002
        """An answer without a decision."""
        review = msgspec.json.decode(body)
        response = {"uid": review["request"]["uid"], "allowed": path != ""}
        answer = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": response,
        }
        return Answer(200, msgspec.json.encode(answer))


class SlowStore(FileStore):
    """Policies that take some CPU to look up: a machine that has too much to do."""

    def snapshot(self) -> Snapshot:
        """The policies, after a while."""
        end = time.perf_counter() + SLOW
        while time.perf_counter() < end:
            pass
        return super().snapshot()


async def serve(kind: str, folder: Path) -> None:
    """Serve until killed; the ports, of admission and of health, go to standard output."""
    registry = CollectorRegistry()
    if kind == "bare":
        handler: AdmissionHandler = BareHandler()
    else:
        store = (SlowStore if kind == "slow" else FileStore)([folder / "policies.yaml"])
        handler = AdmissionHandler(store, AdmissionMetrics(registry))
    server = AdmissionServer(handler, serving(folder).context, "127.0.0.1", 0)
    port = await server.start()
    health = await HealthServer(registry, lambda: None, "127.0.0.1", 0).start()
    sys.stdout.write(f"{port} {health}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """``python -m tests.bench.server KIND FOLDER CORE``."""
    kind, folder, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    configure_logging("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(kind, Path(folder)))


if __name__ == "__main__":
    main()
