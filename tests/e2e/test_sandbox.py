"""Sandboxes through a real API server that enforces the restricted Pod Security Standard.

There is no kubelet: pods stay Pending, and a connection that is let through ends in the API
server's own word that the pod has no host.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.asking import admitted, create, get
from tests.e2e.sandboxes import isolate, opening, sandboxing
from tests.e2e.webhooks import mutating
from tests.e2e.workloads import UNPINNED, deployment, pod
from tests.unit.enforce.test_network import RULES
from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL, network_policy

Json = dict[str, Any]
MakePolicy = Callable[..., str]

pytestmark = [pytest.mark.usefixtures("installation"), pytest.mark.network]


def enforce_restricted(control_plane: ControlPlane, namespace: str) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl("label", "namespace", namespace, label)


def test_deployment_comes_up_confined_once_its_network_is_closed(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, profile: Callable[..., str]
) -> None:
    enforce_restricted(control_plane, namespace)
    sandboxing(policy, profile())

    def told() -> bool:
        code, said = create(control_plane, deployment(namespace, "chat", *UNPINNED, replicas=2))
        if code == 0 and "Warning: Weighmaster: its pods run in the sandbox" in said:
            return True
        control_plane.kubectl("delete", "deployment", "chat", "-n", namespace, "--ignore-not-found")
        return False

    assert eventually(told)

    def waits_or_runs() -> bool:
        events = control_plane.kubectl("get", "events", "-n", namespace, "-o", "yaml").stdout
        return "SandboxNetworkMissing" in events or "SuccessfulCreate" in events

    assert eventually(waits_or_runs)
    isolate(control_plane, namespace)
    assert eventually(lambda: len(get(control_plane, "pods", "-n", namespace)["items"]) == 2, 40)
    for found in get(control_plane, "pods", "-n", namespace)["items"]:
        spec = found["spec"]
        assert found["metadata"]["labels"][SANDBOX_LABEL] == namespace
        assert spec["automountServiceAccountToken"] is False
        assert [volume["name"] for volume in spec["volumes"]] == ["weighmaster-scratch"]
        assert spec["containers"][0]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def wide_open(namespace: str) -> Json:
    """A pod that does everything that the restricted standard forbids and a sandbox can undo."""
    made = pod(namespace, "phi", *UNPINNED)
    made["metadata"]["annotations"] = {
        "container.apparmor.security.beta.kubernetes.io/vllm": "unconfined"
    }
    made["spec"] |= {
        "hostNetwork": True,
        "hostPID": True,
        "hostIPC": True,
        "automountServiceAccountToken": True,
        "runtimeClassName": f"author-{namespace}",
        "securityContext": {
            "runAsUser": 0,
            "runAsNonRoot": False,
            "seccompProfile": {"type": "Unconfined"},
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": {"type": "spc_t", "user": "u", "level": "s0"},
            "sysctls": [{"name": "kernel.msgmax", "value": "1"}],
        },
        "initContainers": [
            {
                "name": "sidecar",
                "image": "envoy",
                "restartPolicy": "Always",
                "securityContext": {"privileged": True},
                "volumeMounts": [
                    {"name": "claim", "mountPath": "/w", "mountPropagation": "Bidirectional"}
                ],
            }
        ],
        "volumes": [
            {"name": "claim", "persistentVolumeClaim": {"claimName": "shared"}},
            {"name": "image", "image": {"reference": "registry.example/weights:1"}},
            {"name": "token", "secret": {"secretName": "hf"}},
        ],
    }
    made["spec"]["containers"][0] |= {
        "ports": [{"containerPort": 8000, "hostPort": 8000}],
        "readinessProbe": {"httpGet": {"port": 8000, "host": "10.0.0.1"}},
        "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "t"}}}],
        "resources": {"limits": {"cpu": "64", "nvidia.com/gpu": "8"}, "requests": {"cpu": "1.5"}},
        "securityContext": {
            "allowPrivilegeEscalation": True,
            "capabilities": {"add": ["SYS_ADMIN"]},
            "procMount": "Unmasked",
            "runAsUser": 0,
        },
    }
    return made


def runtime_class(name: str, memory: str) -> Json:
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": "runsc",
        "overhead": {"podFixed": {"memory": memory}},
    }


def test_pod_that_is_wide_open_passes_the_restricted_standard_once_it_is_confined(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, profile: Callable[..., str]
) -> None:
    enforce_restricted(control_plane, namespace)
    control_plane.apply(
        runtime_class(f"author-{namespace}", "1Mi"), runtime_class(f"sandbox-{namespace}", "64Mi")
    )
    name = profile(
        secrets="Strip",
        runtimeClassName=f"sandbox-{namespace}",
        nodeSelector={"pool": "sandbox"},
        tolerations=[{"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"}],
        resources={"cpu": "4000m", "memory": "16384Mi", "nvidia.com/gpu": "1"},
        env=[{"name": "HF_HUB_OFFLINE", "value": "1"}, {"name": "EMPTY", "value": ""}],
        ttl="72h",
        networkPolicy=RULES,
    )
    sandboxing(policy, name)
    isolate(control_plane, namespace, RULES)
    stored = admitted(control_plane, wide_open(namespace))
    spec = stored["spec"]
    assert spec["overhead"] == {"memory": "64Mi"}
    assert spec["activeDeadlineSeconds"] == 72 * 3600
    assert spec["nodeSelector"] == {"pool": "sandbox"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert [volume["name"] for volume in spec["volumes"]] == [
        "claim",
        "image",
        "weighmaster-scratch",
    ]
    assert spec["containers"][0]["resources"] == {
        "limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
        "requests": {"cpu": "1500m", "memory": "0", "nvidia.com/gpu": "1"},
    }
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    # What the API server stores is the form already: creating it again changes nothing.
    again = {
        **stored,
        "metadata": {**stored["metadata"], "name": "again", "resourceVersion": None, "uid": None},
    }
    other = admitted(control_plane, again)
    assert other["spec"] == spec


def test_network_policy_is_stored_as_it_is_wanted(
    control_plane: ControlPlane, namespace: str
) -> None:
    isolate(control_plane, namespace, RULES)
    stored = get(
        control_plane, "networkpolicy", f"weighmaster-sandbox-{namespace}", "-n", namespace
    )
    wanted = network_policy(namespace, msgspec.convert(RULES, NetworkRules), namespace)
    assert stored["spec"] == wanted["spec"]
    assert stored["metadata"]["labels"] == wanted["metadata"]["labels"]


def test_pod_is_refused_while_another_network_policy_would_open_its_sandbox(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, profile: Callable[..., str]
) -> None:
    assert create(control_plane, opening(namespace, {}))[0] == 0
    sandboxing(policy, profile())
    isolate(control_plane, namespace)
    phi = pod(namespace, "phi", *UNPINNED)
    assert eventually(lambda: "[SandboxNetworkOpen]" in create(control_plane, phi)[1])
    control_plane.kubectl("delete", "networkpolicy", "allow", "-n", namespace)
    admitted(control_plane, phi)


def weakening(document: Json) -> list[Json]:
    """What another webhook might do: it makes the first container privileged."""
    del document
    path = "/spec/containers/0/securityContext"
    return [{"op": "replace", "path": path, "value": {"privileged": True}}]


def test_webhook_that_weakens_the_pod_once_is_undone(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    with mutating(control_plane, namespace, weakening):
        stored = admitted(control_plane, pod(namespace, "other", *UNPINNED))
    assert stored["spec"]["containers"][0]["securityContext"]["privileged"] is False


def test_webhook_that_insists_on_weakening_the_pod_gets_it_refused(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    with mutating(control_plane, namespace, weakening, reinvocation="IfNeeded"):
        code, said = create(control_plane, pod(namespace, "other", *UNPINNED))
    assert code != 0
    assert "[SandboxIncomplete]" in said
    assert "spec.containers[0].securityContext.privileged must be false" in said
