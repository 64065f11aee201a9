"""Sandboxes of a test: a profile that is named after its namespace, and who tries what."""

from collections.abc import Callable
from typing import Any

import msgspec

from tests.controlplane.cluster import ControlPlane
from tests.e2e.asking import get, try_to
from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.core.enforce.confinement.network import network_policy
from weighmaster.core.installation import LOCAL

Json = dict[str, Any]
MakePolicy = Callable[..., str]

PINNED_RULE = {"reference": {"require": ["Known", "Pinned"]}}
MASTERS = ("--as-group", "system:masters")
CONTROLLER = ("--as", LOCAL.controller, *MASTERS)
MALLORY = ("--as", "mallory", *MASTERS)
AUDITOR = ("--as", "auditor", *MASTERS)
NO_HOST = "does not have a host assigned"

WAYS_IN = {
    "exec": "exec?command=sh&stdout=true",
    "attach": "attach?stdout=true",
    "portforward": "portforward?ports=8000",
    "proxy": "proxy/",
}


def isolate(control_plane: ControlPlane, namespace: str, rules: Json | None = None) -> None:
    """See to the NetworkPolicy of the profile that is named after the namespace.

    The controller does so as well where a policy asks for it; one of the two is late.
    """
    typed = msgspec.convert(rules or {}, NetworkRules)
    manifest = network_policy(namespace, typed, namespace)
    try_to(control_plane, *CONTROLLER, "apply", "-f", "-", manifest=manifest)
    get(control_plane, "networkpolicy", f"weighmaster-sandbox-{namespace}", "-n", namespace)


def sandboxing(policy: MakePolicy, profile: str) -> None:
    policy(PINNED_RULE, enforcement={"action": "Sandbox", "sandboxProfile": profile})


def reach(control_plane: ControlPlane, namespace: str, way: str, user: tuple[str, ...]) -> str:
    path = f"/api/v1/namespaces/{namespace}/pods/phi/{WAYS_IN[way]}"
    return try_to(control_plane, *user, "create", "--raw", path, "-f", "-", manifest={})[1]


def pod_without_model(namespace: str, **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shell", "namespace": namespace, **metadata},
        "spec": {"containers": [{"name": "shell", "image": "busybox"}]},
    }


def opening(namespace: str, selector: Json) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow", "namespace": namespace},
        "spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": [{}]},
    }
