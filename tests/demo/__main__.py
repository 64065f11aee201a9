"""``make demo``: a real webhook process, real AdmissionReviews over HTTPS, and a table of answers.

There is no cluster: the policies come from the shelf in ``policies/``, the one record of evidence
from a file beside this one, and the requests are those that an API server would send for the
manifests.
"""

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.certificates import write_certificate

HERE = Path(__file__).parent
POLICIES = HERE.parents[1] / "policies"
START_TIMEOUT = 20.0

_COLOURS = {"Allow": "green", "Audit": "cyan", "Warn": "yellow", "Deny": "red"}

_LINE = re.compile(r'rule "(?P<rule>[^"]+)": (error: )?\S+ \(\S*\) (?P<text>.*)')

Json = dict[str, Any]


def main() -> None:
    """Start the webhook, ask it about every manifest, print what it says."""
    console = Console(width=max(Console().width, 130))
    documents = [
        document
        for path in sorted((HERE / "manifests").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_certificate(folder)
        shutil.copytree(POLICIES, folder / "policies")
        shutil.copy(HERE / "records.yaml", folder / "policies")
        port, health = _free_port(), _free_port()
        command = [
            *(sys.executable, "-m", "weighmaster", "webhook", "--standalone"),
            *("--policies", str(folder / "policies"), "--host", "127.0.0.1", "--port", str(port)),
            *("--health-host", "127.0.0.1", "--health-port", str(health)),
            *("--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")),
            *("--log-level", "error"),
        ]
        console.print("$ weighmaster webhook --standalone --policies policies/ ...\n")
        with subprocess.Popen(command) as webhook:
            try:
                _wait_until_ready(health, webhook)
                context = ssl.create_default_context(cafile=str(folder / "tls.crt"))
                started = time.perf_counter()
                answers = [_ask(port, context, document) for document in documents]
                elapsed = time.perf_counter() - started
            finally:
                webhook.send_signal(signal.SIGTERM)
    console.print(_table(documents, answers))
    refused = sum(not answer["allowed"] for answer in answers)
    console.print(
        f"{len(answers)} workloads asked about over HTTPS in {elapsed * 1000:.0f} ms:"
        f" {refused} refused, {len(answers) - refused} let through."
    )
    console.print("What the owner of the first refused one is told:\n", style="bold")
    first = next(answer for answer in answers if not answer["allowed"])
    console.print(escape(first["status"]["message"]))


def _ask(port: int, context: ssl.SSLContext, document: Json) -> Json:
    """The response to the creation of an object, from the validating stage."""
    group, _, version = document["apiVersion"].rpartition("/")
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": str(uuid.uuid4()),
            "kind": {"group": group, "version": version, "kind": document["kind"]},
            "namespace": document["metadata"]["namespace"],
            "operation": "CREATE",
            "object": document,
            "dryRun": False,
        },
    }
    request = urllib.request.Request(
        f"https://127.0.0.1:{port}/validate",
        data=json.dumps(review).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        response: Json = json.load(answer)["response"]
    return response


def _table(documents: list[Json], answers: list[Json]) -> Table:
    table = Table(expand=True, box=box.SIMPLE_HEAD, pad_edge=False)
    for column, ratio in (("workload", 3), ("models found", 5), ("decision", 2), ("why", 6)):
        table.add_column(column, overflow="fold", ratio=ratio, min_width=9)
    for document, answer in zip(documents, answers, strict=True):
        metadata = document["metadata"]
        name = metadata.get("name") or f"{metadata.get('generateName')}*"
        audit = answer.get("auditAnnotations", {})
        decision = audit.get("decision", "Allow")
        colour = _COLOURS.get(decision, "magenta")
        table.add_row(
            f"{document['kind']} {metadata['namespace']}/{name}",
            escape(audit.get("models", "none").replace(" ", "\n")),
            f"[{colour}]{decision}[/{colour}]",
            escape("\n".join(_why(answer))),
        )
    return table


def _why(answer: Json) -> list[str]:
    """The lines of a message, cut down to rule, finding and reason: the table has the rest."""
    causes = answer.get("status", {}).get("details", {}).get("causes", [])
    lines = [cause["message"] for cause in causes] or answer.get("warnings", [])
    told = [
        f"{match['rule']}: {match['text']}" if (match := _LINE.search(line)) else line
        for line in lines[:2]
    ]
    if len(lines) > len(told):
        told.append(f"and {len(lines) - len(told)} more")
    if told:
        return told
    return ["every rule holds" if answer.get("auditAnnotations") else "serves no model"]


def _wait_until_ready(port: int, webhook: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and webhook.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise SystemExit("the webhook did not become ready")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
