"""Who may do what to a sandbox that is there, through a real API server.

A connection that is let through ends in the API server's own word that the pod has no host.
"""

import json
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.asking import create, get, try_to
from tests.e2e.sandboxes import (
    AUDITOR,
    CONTROLLER,
    MALLORY,
    NO_HOST,
    WAYS_IN,
    opening,
    pod_without_model,
    reach,
)
from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL, network_policy

Json = dict[str, Any]

pytestmark = [pytest.mark.usefixtures("installation"), pytest.mark.network]


@pytest.mark.parametrize("way", WAYS_IN)
def test_nobody_reaches_into_a_sandbox_but_those_whom_its_profile_names(
    control_plane: ControlPlane, namespace: str, sandboxed: str, way: str
) -> None:
    assert "is not allowed" in reach(control_plane, namespace, way, MALLORY)
    assert "is not allowed" in reach(control_plane, namespace, way, CONTROLLER)
    said = reach(control_plane, namespace, way, AUDITOR)
    assert "is not allowed" not in said
    assert NO_HOST in said or "address not allowed" in said or "no endpoints" in said, said


def test_other_pods_are_reached_as_ever(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    assert create(control_plane, pod_without_model(namespace))[0] == 0
    said = try_to(control_plane, *MALLORY, "exec", "shell", "-n", namespace, "--", "sh")[1]
    assert NO_HOST in said


def test_ephemeral_container_is_for_those_whom_the_profile_names_and_is_hardened(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    debug = ("debug", "phi", "-n", namespace, "--image=busybox", "--attach=false", "--", "sh")
    code, said = try_to(control_plane, *MALLORY, *debug)
    assert code != 0
    assert "adding ephemeral containers" in said
    code, said = try_to(control_plane, *AUDITOR, *debug)
    assert code == 0, said
    added = get(control_plane, "pod", "phi", "-n", namespace)["spec"]["ephemeralContainers"]
    assert added[0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert added[0]["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_label_stays_whichever_way_it_is_taken(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    off = json.dumps({"metadata": {"labels": {SANDBOX_LABEL: None}}})
    other = json.dumps({"metadata": {"labels": {SANDBOX_LABEL: "lenient"}}})
    for change in (off, other):
        for way in ((), ("--subresource=status",), ("--subresource=resize",)):
            code, said = try_to(
                *(control_plane, *MALLORY, "patch", "pod", "phi", "-n", namespace),
                *("--type=merge", "-p", change, *way),
            )
            kept = get(control_plane, "pod", "phi", "-n", namespace)["metadata"]["labels"]
            assert kept[SANDBOX_LABEL] == namespace
            assert code != 0 or way == ("--subresource=resize",), (way, said)
    patch = ("patch", "pod", "phi", "-n", namespace, "--type=merge", "--subresource=status", "-p")
    plugged = {"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "rdma"}}}
    code, said = try_to(control_plane, *MALLORY, *patch, json.dumps(plugged))
    assert code != 0
    assert "gives the pod a network outside NetworkPolicies" in said
    phase = {"status": {"phase": "Running"}, "metadata": {"annotations": {"a": "b"}}}
    assert try_to(control_plane, *patch, json.dumps(phase))[0] == 0
    code, said = try_to(
        *(control_plane, *CONTROLLER, "patch", "pod", "phi", "-n", namespace),
        *("--type=merge", "-p", off),
    )
    assert code == 0, said


def test_network_policy_of_a_sandbox_is_the_controllers_alone(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    name = f"weighmaster-sandbox-{namespace}"
    own = ("networkpolicy", name, "-n", namespace)
    weakened = json.dumps({"spec": {"egress": [{}]}})
    for attempt in (
        ("delete", *own),
        ("delete", "networkpolicies", "--all", "-n", namespace),
        ("patch", *own, "--type=merge", "-p", weakened),
        ("label", *own, "a=b"),
    ):
        code, said = try_to(control_plane, *MALLORY, *attempt)
        assert code != 0, attempt
        assert "controller alone" in said
    forged = network_policy("x", NetworkRules(), namespace)
    code, said = create(control_plane, forged, *MALLORY)
    assert code != 0
    assert "controller alone" in said


def test_network_policy_that_would_open_a_sandbox_is_refused_and_says_how_to_leave_it_out(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    code, said = create(control_plane, opening(namespace, {}), *MALLORY)
    assert code != 0
    advice = f"{{key: {SANDBOX_LABEL}, operator: DoesNotExist}}"
    assert f"add {advice} to the matchExpressions" in said
    leaving_out = {"matchExpressions": [{"key": SANDBOX_LABEL, "operator": "DoesNotExist"}]}
    code, said = create(control_plane, opening(namespace, leaving_out), *MALLORY)
    assert code == 0, said
    labelled = opening(namespace, {"matchLabels": {"app": "web"}})
    labelled["metadata"]["name"] = "web"
    assert create(control_plane, labelled, *MALLORY)[0] == 0

    def refused() -> bool:
        return "would open the sandbox" in try_to(
            control_plane, *MALLORY, "label", "pod", "phi", "-n", namespace, "app=web",
            "--dry-run=server",
        )[1]  # fmt: skip

    assert eventually(refused)


def test_namespace_with_a_sandbox_can_be_deleted(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")

    def gone() -> bool:
        return try_to(control_plane, "get", "namespace", namespace)[0] != 0

    assert eventually(gone, 50)
