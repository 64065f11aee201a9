"""A cluster to install the chart into, and requests that go on meanwhile."""

import base64
import itertools
import json
import re
import shlex
import shutil
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.chart.program import CHART, IMAGE, ROOT, Helm
from tests.controlplane.binaries import Binaries
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.workloads import PINNED, UNPINNED, pod
from tests.node.api import Api, ApiError, Json
from tests.node.network import own_network
from tests.node.node import Node

NAMESPACE = "weighmaster-system"
RELEASE = "weighmaster"
WEBHOOK, CONTROLLER = f"{RELEASE}-webhook", f"{RELEASE}-controller"
SECRET = f"{WEBHOOK}-tls"
LOAD = "load"
"""A namespace that is checked."""

CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")

MOST_REQUESTS = 20_000
LONGEST_LOAD = 120.0
"""Bounds of one load: requests, and seconds."""


@dataclass
class Cluster:
    """A control plane with one node, and Helm for it."""

    control_plane: ControlPlane
    node: Node
    helm: Helm
    api: Api
    folder: Path
    values: tuple[str, ...] = IMAGE

    def install(self, *arguments: str, chart: Path = CHART) -> None:
        """``helm install``, until everything is ready."""
        self.helm(
            *("install", RELEASE, str(chart), "--namespace", NAMESPACE, "--create-namespace"),
            *("--wait", "--timeout", "100s", *self.values, *arguments),
        )

    def upgrade(self, *arguments: str, chart: Path = CHART) -> None:
        """``helm upgrade``, until everything is ready."""
        self.helm(
            *("upgrade", RELEASE, str(chart), "--namespace", NAMESPACE),
            *("--wait", "--timeout", "100s", *self.values, *arguments),
        )

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> Json:
        """One object."""
        found = self.control_plane.kubectl("get", kind, name, "-n", namespace, "-o", "json")
        read: Json = json.loads(found.stdout)
        return read

    def pods(self, role: str) -> list[Json]:
        """The pods of a role that are not about to end."""
        label = f"app.kubernetes.io/component%3D{role}"
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={label}"
        found = self.api.get(path)["items"]
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def ready(self, role: str) -> int:
        """How many pods of a role are ready."""
        return sum(
            condition["status"] == "True"
            for each in self.pods(role)
            for condition in each["status"].get("conditions", ())
            if condition["type"] == "Ready"
        )

    def rolled_out(self, role: str) -> None:
        """Wait until a Deployment is as it should be."""
        self.control_plane.kubectl(
            *("rollout", "status", f"deployment/{RELEASE}-{role}"),
            *("-n", NAMESPACE, "--timeout", "55s"),
        )

    def outcome(self, manifest: Json) -> str:
        """What comes of creating a pod in the checked namespace, in a dry run."""
        return attempt(self.api, manifest)

    def checks(self) -> bool:
        """Whether pods are checked: one is admitted, and one refused by the policy."""
        return (self.outcome(GOOD), self.outcome(BAD)) == ("admitted", "refused")


@contextmanager
def running_cluster(binaries: Binaries, helm: Path, folder: Path) -> Iterator[Cluster]:
    """A control plane and a node, in a network namespace of their own."""
    with (
        own_network(),
        ControlPlane(binaries, folder / "controlplane") as control_plane,
        Node(control_plane, folder / "node", (NAMESPACE,)) as node,
        Api(control_plane.server, control_plane.pki) as api,
    ):
        home = folder / "home"
        home.mkdir()
        program = Helm(helm, home, {"KUBECONFIG": str(control_plane.kubeconfig)})
        control_plane.kubectl("create", "namespace", LOAD)
        yield Cluster(control_plane, node, program, api, folder)


GOOD = pod(LOAD, "good", *PINNED)
BAD = pod(LOAD, "bad", *UNPINNED)
PLAIN: Json = {
    **pod(LOAD, "plain"),
    "spec": {"containers": [{"name": "web", "image": "nginx"}]},
}

POLICY: Json = {
    "apiVersion": "weighmaster.dev/v1alpha1",
    "kind": "ClusterModelPolicy",
    "metadata": {"name": "pinned"},
    "spec": {
        "match": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": LOAD}}},
        "enforcement": {"action": "Deny"},
        "rules": [{"name": "pinned", "reference": {"require": ["Known", "Pinned"]}}],
    },
}


def attempt(api: Api, manifest: Json) -> str:
    """``admitted`` or ``refused`` by Weighmaster, else what happened."""
    path = f"/api/v1/namespaces/{manifest['metadata']['namespace']}/pods?dryRun=All"
    try:
        made = api.request("POST", path, manifest)
    except ApiError as error:
        by_policy = error.status == 403 and "[NotPinned]" in error.message
        return "refused" if by_policy else str(error)
    annotated = "weighmaster.dev/decision-id" in made["metadata"].get("annotations", {})
    return "admitted" if annotated else "admitted without a decision"


@dataclass
class Load:
    """Requests without a pause, by some clients; each must come out as it should."""

    cluster: Cluster
    clients: int = 4
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._until = time.monotonic() + LONGEST_LOAD
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        plane = self.cluster.control_plane
        expected = itertools.cycle([(GOOD, "admitted"), (BAD, "refused")])
        with Api(plane.server, plane.pki) as api:
            while not self._done.is_set() and time.monotonic() < self._until:
                manifest, wanted = next(expected)
                begun = time.monotonic()
                outcome = attempt(api, manifest)
                took = time.monotonic() - begun
                with self._lock:
                    self.answered += 1
                    self.slowest = max(self.slowest, took)
                    if outcome != wanted:
                        self.wrong.append(f"{wanted}: {outcome}")
                    if self.answered >= MOST_REQUESTS:
                        return
                time.sleep(0.005)

    def figures(self) -> str:
        """What to tell of it."""
        return f"{self.answered} requests, {len(self.wrong)} wrong, slowest {self.slowest:.2f} s"


def soon(holds: Callable[[], bool], what: str, within: float = 40.0) -> None:
    """Wait for something; fail with its description."""
    assert eventually(holds, within), what


def lease_holder(cluster: Cluster) -> str:
    """Who leads; empty when nobody does."""
    spec: dict[str, Any] = cluster.get("lease", CONTROLLER)["spec"]
    return str(spec.get("holderIdentity") or "")


def older_chart(folder: Path) -> Path:
    """The chart as an earlier release had it: a definition knew less, and its version was another.

    There has been no release yet; with the first one its chart takes this one's place.
    """
    copy = folder / "older"
    shutil.copytree(CHART, copy)
    about = yaml.safe_load((copy / "Chart.yaml").read_text())
    about |= {"version": "0.0.9", "appVersion": "0.0.9"}
    (copy / "Chart.yaml").write_text(yaml.safe_dump(about))
    path = copy / "files" / "crds" / "weighmaster.dev_modelrecords.yaml"
    definition = yaml.safe_load(path.read_text())
    del definition["spec"]["versions"][0]["additionalPrinterColumns"][0]
    path.write_text(yaml.safe_dump(definition))
    return copy


def record_columns(cluster: Cluster) -> int:
    """How many columns the definition of ModelRecords has."""
    definition = cluster.get("crd", "modelrecords.weighmaster.dev")
    return len(definition["spec"]["versions"][0]["additionalPrinterColumns"])


def bundles(cluster: Cluster) -> set[str]:
    """The CA bundles that the webhook configurations have."""
    return {
        webhook["clientConfig"].get("caBundle", "")
        for kind in CONFIGURATIONS
        for webhook in cluster.get(kind, RELEASE)["webhooks"]
    }


def empty_bundles(cluster: Cluster) -> None:
    """Have the API server trust nobody."""
    patch = '[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]'
    for kind in CONFIGURATIONS:
        cluster.control_plane.kubectl("patch", kind, RELEASE, "--type", "json", "-p", patch)


def decoded(text: str) -> str:
    """What a Secret or a webhook configuration has in base64."""
    return base64.b64decode(text).decode()


def gone(cluster: Cluster, names: set[str]) -> set[str]:
    """Pods of these names that are still there, also while they end."""
    found = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    return names & {pod["metadata"]["name"] for pod in found}


def served(cluster: Cluster) -> set[str]:
    """Which certificate the replicas serve: the stored one is ``new``, any other ``old``."""
    data = cluster.get("secret", SECRET).get("data", {})
    stored = decoded(data.get("tls.crt", "")).strip()
    found = {"staged"} if "next.crt" in data else set()
    for each in cluster.pods("webhook"):
        pem = ssl.get_server_certificate((each["status"]["podIP"], 9443)).strip()
        found.add("new" if pem == stored else "old")
    return found


def secret_uid(cluster: Cluster) -> str:
    """Which object the serving Secret is; empty when there is none."""
    kubectl = cluster.control_plane.kubectl
    found = kubectl("get", "secret", SECRET, "-n", NAMESPACE, "-o", "name", check=False)
    if found.returncode:
        return ""
    return str(cluster.get("secret", SECRET)["metadata"]["uid"])


def leading_pod(cluster: Cluster) -> str:
    """The pod that leads, unless it is about to end; empty when none does."""
    said = f'"identity": "{lease_holder(cluster)}"'
    names = [pod["metadata"]["name"] for pod in cluster.pods("controller")]
    return next((name for name in names if said in cluster.node.log(name)), "")


def emergency() -> list[list[str]]:
    """The commands of docs/operations.md, in order."""
    page = (ROOT / "docs" / "operations.md").read_text()
    _, _, after = page.partition("\n## Emergency\n")
    section, _, _ = after.partition("\n## ")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def written_by(cluster: Cluster, pod: str, since: datetime) -> set[str]:
    """What a pod has written since a time, its tries to get the Lease left out.

    Tokens are bound to pods, so the API server's audit log tells replicas apart.
    """
    about_pod = "authentication.kubernetes.io/pod-name"
    return {
        f"{event['verb']} {event['requestURI']}"
        for event in cluster.control_plane.audit_events()
        if event["user"].get("extra", {}).get(about_pod) == [pod]
        and event["verb"] not in ("get", "list", "watch")
        and event["objectRef"]["resource"] != "leases"
        and datetime.fromisoformat(event["requestReceivedTimestamp"]) > since
    }


def families(cluster: Cluster, promtool: Path, role: str) -> set[str]:
    """The metrics that a role serves, by name; promtool has nothing to say against them."""
    address = cluster.pods(role)[0]["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8081/metrics", timeout=5) as answer:
        text = answer.read().decode()
    check: list[str | Path] = [promtool, "check", "metrics"]
    ran = subprocess.run(check, input=text, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    return set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
