"""One server process of the benchmark: ``bare`` parses and answers, ``weighmaster`` decides."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import uvloop
from prometheus_client import CollectorRegistry

from tests.certificates import serving
from weighmaster.admission.handler import AdmissionHandler, Answer
from weighmaster.admission.server import AdmissionServer
from weighmaster.policy_files import FileStore
from weighmaster.telemetry import AdmissionMetrics, configure_logging


class BareHandler(AdmissionHandler):
    """Parses the review and lets everything through: what any webhook on this server costs."""

    def __init__(self) -> None:
        """Hold nothing: there is nothing to decide by."""

    async def answer(self, path: str, body: bytes) -> Answer:
        """An answer without a decision."""
        review = msgspec.json.decode(body)
        response = {"uid": review["request"]["uid"], "allowed": path != ""}
        answer = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": response,
        }
        return Answer(200, msgspec.json.encode(answer))


async def serve(kind: str, folder: Path) -> None:
    """Serve until killed; the port goes to standard output."""
    if kind == "bare":
        handler: AdmissionHandler = BareHandler()
    else:
        metrics = AdmissionMetrics(CollectorRegistry())
        handler = AdmissionHandler(FileStore([folder / "policies.yaml"]), metrics)
    server = AdmissionServer(handler, serving(folder).context, "127.0.0.1", 0)
    port = await server.start()
    sys.stdout.write(f"{port}\n")
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
