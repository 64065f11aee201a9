"""Every way out of a sandbox that we could think of, tried by a cluster-admin on one real pod.

What is refused is refused by the webhook or by the API server itself; either way the pod, and the
NetworkPolicy that isolates it, are afterwards what they were.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.asking import admitted, create, get, try_to
from tests.e2e.sandboxes import (
    MALLORY,
    WAYS_IN,
    isolate,
    opening,
    pod_without_model,
    reach,
    sandboxing,
)
from tests.e2e.workloads import PINNED, UNPINNED, pod
from weighmaster.core.enforce.confinement.marks import QUARANTINED_AT, QUARANTINED_BY
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.enforce.confinement.pods import NETWORKS

Json = dict[str, Any]
Attempt = tuple[str, tuple[str, ...], Json | None]
"""What it is, what kubectl is told, and what it reads."""

pytestmark = [pytest.mark.usefixtures("installation"), pytest.mark.network]

FORCED = ("apply", "--server-side", "--force-conflicts", "--field-manager=mallory", "-f", "-")
FORGED = {QUARANTINED_AT: "2999-01-01T00:00:00Z", QUARANTINED_BY: "strict"}
DEBUGGER = {"name": "debugger", "image": "busybox"}


class Ways:
    """Attempts on the pod ``phi`` of a namespace."""

    def __init__(self, namespace: str, stored: Json) -> None:
        self._namespace = namespace
        self._stored = stored
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    def __iter__(self) -> Iterator[Attempt]:
        yield from self._by_label()
        yield from self._by_own_network_policy()
        yield from self._by_other_network_policies()
        yield from self._by_reaching_in()
        yield from self._by_debugging()
        yield from self._by_weakening()
        yield from self._by_binding()
        yield from self._by_pretending()

    def _patch(self, what: Json | list[Json], *more: str, kind: str = "merge") -> tuple[str, ...]:
        pod = ("pod", "phi", "-n", self._namespace)
        return ("patch", *pod, f"--type={kind}", "-p", json.dumps(what), *more)

    def _by_label(self) -> Iterator[Attempt]:
        off = {"metadata": {"labels": {SANDBOX_LABEL: None}}}
        other = {"metadata": {"labels": {SANDBOX_LABEL: "lenient"}}}
        for body in (off, other):
            for kind in ("merge", "strategic"):
                for way in ((), ("--subresource=status",)):
                    yield f"label {kind} {way}", self._patch(body, *way, kind=kind), None
        path = f"/metadata/labels/{SANDBOX_LABEL.replace('/', '~1')}"
        yield "label json", self._patch([{"op": "remove", "path": path}], kind="json"), None
        named = {"name": "phi", "namespace": self._namespace}
        claimed = {"apiVersion": "v1", "kind": "Pod", "metadata": {**named, **other["metadata"]}}
        yield "label by server-side apply", FORCED, claimed
        unlabelled = {**self._stored, "metadata": {**self._stored["metadata"], "labels": {}}}
        yield "label by replacing", ("replace", "-f", "-"), unlabelled

    def _by_own_network_policy(self) -> Iterator[Attempt]:
        own = ("networkpolicy", f"weighmaster-sandbox-{self._namespace}", "-n", self._namespace)
        lost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}
        for kind, body in (
            ("merge", {"spec": {"egress": [{}]}}),
            ("merge", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
            ("merge", {"metadata": {"ownerReferences": [lost]}}),
            ("merge", {"metadata": {"labels": None}}),
            ("json", [{"op": "add", "path": "/spec/ingress", "value": [{}]}]),
        ):
            told = ("patch", *own, f"--type={kind}", "-p", json.dumps(body))
            yield f"own NetworkPolicy {body}", told, None
        made = opening(self._namespace, {"matchLabels": {"a": "b"}})
        yield "own NetworkPolicy by apply", FORCED, _named(made, own[1])
        yield "own NetworkPolicy deleted", ("delete", *own), None
        forced = ("delete", *own, "--force", "--grace-period=0", "--cascade=orphan")
        yield "own NetworkPolicy deleted by force", forced, None
        generated = {"generateName": "weighmaster-sandbox-", "namespace": self._namespace}
        yield "NetworkPolicy of our name", ("create", "-f", "-"), {**made, "metadata": generated}

    def _by_other_network_policies(self) -> Iterator[Attempt]:
        expressions: tuple[Json, ...] = (
            {"key": SANDBOX_LABEL, "operator": "Exists"},
            {"key": SANDBOX_LABEL, "operator": "In", "values": ["x", self._namespace]},
            {"key": "nobody", "operator": "DoesNotExist"},
            {"key": "app", "operator": "NotIn", "values": ["web"]},
        )
        selectors: tuple[Json, ...] = (
            {},
            {"matchLabels": {SANDBOX_LABEL: self._namespace}},
            {"matchLabels": {"app": "phi"}},
            *({"matchExpressions": [each]} for each in expressions),
        )
        for number, selector in enumerate(selectors):
            made = _named(opening(self._namespace, selector), f"open-{number}")
            yield f"NetworkPolicy that selects {selector}", ("create", "-f", "-"), made
        block = {"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}
        made = _named(opening(self._namespace, {}), "ingress")
        ingress = {**made, "spec": {"podSelector": {}, "ingress": [block]}}
        yield "NetworkPolicy for ingress", ("create", "-f", "-"), ingress
        wider = json.dumps({"spec": {"podSelector": {"matchLabels": None}}})
        web = ("networkpolicy", "web", "-n", self._namespace, "--type=merge", "-p")
        yield "harmless NetworkPolicy widened", ("patch", *web, wider), None
        widened = _named(opening(self._namespace, {"matchLabels": {"app": "phi"}}), "web")
        yield "harmless NetworkPolicy widened by apply", FORCED, widened
        into = {"metadata": {"labels": {"app": "web"}}}
        yield "label that lets one in", self._patch(into), None
        yield "label by status", self._patch(into, "--subresource=status"), None

    def _by_reaching_in(self) -> Iterator[Attempt]:
        for way, query in WAYS_IN.items():
            path = f"{self._pods}/phi/{query}"
            yield f"{way} by GET", ("get", "--raw", path), None
            yield f"{way} by POST", ("create", "--raw", path, "-f", "-"), {}
        for verb in ("delete", "replace"):
            path = f"{self._pods}/phi/proxy/v1/models"
            yield f"proxy by {verb}", (verb, "--raw", path, "-f", "-"), {}

    def _by_debugging(self) -> Iterator[Attempt]:
        added = {"spec": {"ephemeralContainers": [DEBUGGER]}}
        through = "--subresource=ephemeralcontainers"
        yield "debugger", self._patch(added, through, kind="strategic"), None
        operation = {"op": "add", "path": "/spec/ephemeralContainers", "value": [DEBUGGER]}
        yield "debugger by JSON patch", self._patch([operation], through, kind="json"), None
        put = ("replace", "--raw", f"{self._pods}/phi/ephemeralcontainers", "-f", "-")
        spec = {**self._stored["spec"], **added["spec"]}
        yield "debugger by PUT", put, {**self._stored, "spec": spec}
        yield "debugger in the pod", self._patch(added, kind="strategic"), None

    def _by_weakening(self) -> Iterator[Attempt]:
        more = {"limits": {"cpu": "8"}, "requests": {"cpu": "8"}}
        resized = {"spec": {"containers": [{"name": "vllm", "resources": more}]}}
        yield "resize", self._patch(resized, "--subresource=resize", kind="strategic"), None
        for key in (*sorted(NETWORKS), *FORGED):
            body = {"metadata": {"annotations": {key: "x"}}}
            yield f"annotation {key}", self._patch(body), None
            yield f"annotation {key} by status", self._patch(body, "--subresource=status"), None
        yield "privileges", self._patch({"spec": {"hostNetwork": True}}), None

    def _by_binding(self) -> Iterator[Attempt]:
        """Through both of its doors: what a Binding says is put on its pod."""
        bound = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "n"}}
        for door in (f"{self._pods}/phi/binding", f"{self._pods.removesuffix('pods')}bindings"):
            told = ("create", "--raw", door, "-f", "-")
            networks = {"annotations": {"k8s.v1.cni.cncf.io/networks": "rdma"}}
            for metadata in ({"labels": {"team": "web"}}, networks, {"annotations": FORGED}):
                yield f"{door} {metadata}", told, _named({**bound, "metadata": metadata}, "phi")

    def _by_pretending(self) -> Iterator[Attempt]:
        for made in (
            pod(self._namespace, "lawful", *PINNED, labels={SANDBOX_LABEL: "lenient"}),
            pod(self._namespace, "forged", *PINNED, labels={SANDBOX_LABEL: self._namespace},
                annotations=FORGED),
            pod_without_model(self._namespace, labels={SANDBOX_LABEL: self._namespace},
                              annotations=FORGED),
        ):  # fmt: skip
            name = made["metadata"]["name"]
            yield f"pod {name} that says it is confined", ("create", "-f", "-"), made


def _named(made: Json, name: str) -> Json:
    return {**made, "metadata": {**made["metadata"], "name": name}}


@pytest.fixture
def phi(control_plane: ControlPlane, namespace: str, policy: Any, profile: Any) -> Json:
    """A pod in a sandbox, beside a NetworkPolicy for the team and the app ``web``."""
    sandboxing(policy, profile(resources={"cpu": "1"}))
    isolate(control_plane, namespace)
    for name in ("app", "team"):
        made = opening(namespace, {"matchLabels": {name: "web"}})
        assert create(control_plane, _named(made, "web" if name == "app" else name))[0] == 0
    asked = pod(namespace, "phi", *UNPINNED, labels={"app": "phi"})
    stored = admitted(control_plane, asked)
    assert eventually(lambda: "is not allowed" in reach(control_plane, namespace, "exec", MALLORY))
    return stored


def test_no_way_out_of_a_sandbox_is_open_to_a_cluster_admin(
    control_plane: ControlPlane, namespace: str, phi: Json
) -> None:
    own = ("networkpolicy", f"weighmaster-sandbox-{namespace}", "-n", namespace)
    isolated_by = get(control_plane, *own)
    open_ways = [
        what
        for what, told, read in Ways(namespace, phi)
        if try_to(control_plane, *MALLORY, *told, manifest=read)[0] == 0
    ]
    assert open_ways == []
    assert get(control_plane, "pod", "phi", "-n", namespace)["spec"] == phi["spec"]
    assert get(control_plane, "pod", "phi", "-n", namespace)["metadata"]["labels"] == {
        "app": "phi",
        SANDBOX_LABEL: namespace,
    }
    assert get(control_plane, *own) == isolated_by
    assert len(get(control_plane, "pods", "-n", namespace)["items"]) == 1


def test_pod_that_is_evicted_or_said_to_have_ended_gains_nothing(
    control_plane: ControlPlane, namespace: str, phi: Json
) -> None:
    ended = json.dumps({"status": {"phase": "Succeeded"}})
    status = ("pod", "phi", "-n", namespace, "--subresource=status", "--type=merge", "-p", ended)
    assert try_to(control_plane, *MALLORY, "patch", *status)[0] == 0
    assert "is not allowed" in reach(control_plane, namespace, "exec", MALLORY)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "phi"}}
    door = f"/api/v1/namespaces/{namespace}/pods/phi/eviction"
    assert try_to(control_plane, *MALLORY, "create", "--raw", door, "-f", "-", manifest=eviction)[
        0
    ] == 0  # fmt: skip
    again = admitted(control_plane, pod(namespace, "again", *UNPINNED))
    assert again["metadata"]["labels"][SANDBOX_LABEL] == namespace
    containers = again["spec"]["containers"]
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in containers)


def test_binding_by_which_a_scheduler_says_something_harmless_is_let_through(
    control_plane: ControlPlane, namespace: str, phi: Json
) -> None:
    del phi
    said = {"name": "phi", "labels": {"rack": "r1"}, "annotations": {"why": "there was room"}}
    target = {"kind": "Node", "name": "n"}
    bound = {"apiVersion": "v1", "kind": "Binding", "metadata": said, "target": target}
    door = f"/api/v1/namespaces/{namespace}/pods/phi/binding"
    code, answer = try_to(
        control_plane, *MALLORY, "create", "--raw", door, "-f", "-", manifest=bound
    )
    assert code == 0, answer
    metadata = get(control_plane, "pod", "phi", "-n", namespace)["metadata"]
    assert (metadata["labels"]["rack"], metadata["annotations"]["why"]) == ("r1", "there was room")
    assert metadata["labels"][SANDBOX_LABEL] == namespace
