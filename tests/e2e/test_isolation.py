"""The NetworkPolicies of sandboxes, kept by the controller of a real API server."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.running import (
    ALLOWED,
    CONTROLLER,
    FORBIDDEN,
    Api,
    enforcement,
)
from tests.e2e.test_admission import apply
from tests.e2e.workloads import PINNED, pod

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")


def test_network_policy_is_there_before_the_first_pod_is_labelled_by_the_controller_itself(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    assert apply(control_plane, pod(namespace, "server", *PINNED))[0] == 0
    api.run_all(namespace)
    policy(FORBIDDEN, enforcement=enforcement(profile()))
    assert eventually(lambda: len(api.confined(namespace)) == 1, within=10)

    def at(verb: str, resource: str) -> datetime:
        (event,) = (
            event
            for event in control_plane.audit_events()
            if event["verb"] == verb
            and event["objectRef"].get("namespace") == namespace
            and event["objectRef"]["resource"] == resource
            and not event["objectRef"].get("subresource")
        )
        assert event["user"]["username"] == CONTROLLER
        return datetime.fromisoformat(event["stageTimestamp"])

    assert eventually(lambda: at("patch", "pods") is not None)
    assert at("create", "networkpolicies") < at("patch", "pods")


def test_network_policy_appears_at_once_is_put_back_and_goes_when_nothing_needs_it(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    peer = {"podSelector": {"matchLabels": {"app": "dns"}}}
    egress = [{"to": [peer], "ports": [{"protocol": "UDP", "port": 53}]}]
    name = f"weighmaster-sandbox-{profile(networkPolicy={'egress': egress})}"
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}"
    policed = policy(ALLOWED, enforcement={"action": "Sandbox", "sandboxProfile": namespace})

    def spec() -> Json:
        found: Json = api.network_policies(namespace).get(name, {}).get("spec", {})
        return found

    begun = time.monotonic()
    assert eventually(lambda: bool(spec()), within=5)
    print(f"there after {time.monotonic() - begun:.2f} s")  # noqa: T201
    wanted = spec()
    assert wanted["policyTypes"] == ["Ingress", "Egress"]
    assert wanted["egress"] == egress
    assert "ingress" not in wanted
    version = api.request("GET", path)["metadata"]["resourceVersion"]
    uid = api.request("GET", path)["metadata"]["uid"]
    # The webhook lets nobody do so but the controller: as if it had been away.
    api.request("PATCH", path, {"spec": {"ingress": [{}], "podSelector": {}}}, CONTROLLER)
    begun = time.monotonic()
    assert eventually(lambda: spec() == wanted, within=5)
    print(f"corrected after {time.monotonic() - begun:.2f} s")  # noqa: T201
    api.request("DELETE", path, user=CONTROLLER)
    begun = time.monotonic()
    assert eventually(lambda: spec() == wanted, within=5)
    assert api.request("GET", path)["metadata"]["uid"] != uid
    print(f"put back after {time.monotonic() - begun:.2f} s")  # noqa: T201
    settled = api.request("GET", path)["metadata"]["resourceVersion"]
    assert settled != version
    time.sleep(5)
    assert api.request("GET", path)["metadata"]["resourceVersion"] == settled, "no write storm"
    profile(networkPolicy={})
    assert eventually(lambda: "egress" not in spec(), within=5)
    control_plane.kubectl("delete", "clustermodelpolicy", policed)
    assert not eventually(lambda: not spec(), within=5)
    assert eventually(lambda: not spec(), within=40)


def test_new_namespace_gets_its_network_policy(
    control_plane: ControlPlane, namespace: str, profile: Callable[..., str], api: Api
) -> None:
    label = {"weighmaster-test": namespace}
    name = f"{namespace}-later"
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ClusterModelPolicy",
            "metadata": {"name": name},
            "spec": {
                "match": {"namespaceSelector": {"matchLabels": label}},
                "enforcement": {"action": "Sandbox", "sandboxProfile": profile()},
                "rules": [{"name": "known", **ALLOWED}],
            },
        }
    )
    made_later: Json = {"name": name, "labels": label}
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": made_later})
    assert eventually(lambda: len(api.network_policies(name)) == 1, within=5)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
    control_plane.kubectl("delete", "clustermodelpolicy", name)


def test_network_policy_that_opens_the_sandbox_is_told_of(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    opening = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-dns", "namespace": namespace},
        "spec": {"podSelector": {}, "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}]},
    }
    assert apply(control_plane, opening, pod(namespace, "server", *PINNED))[0] == 0
    api.run_all(namespace)
    name = policy(FORBIDDEN, enforcement=enforcement(profile()))
    assert eventually(lambda: api.running_status(name).get("exposed") == 1)
    assert "allow-dns" in api.events(namespace, "SandboxOpened")[0]["message"]
    assert len(api.events(namespace, "OpensSandbox")) == 1
    control_plane.kubectl("delete", "networkpolicy", "allow-dns", "-n", namespace)
    assert eventually(lambda: api.running_status(name).get("exposed") == 0)
