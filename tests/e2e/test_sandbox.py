"""Sandboxes through a real API server that enforces the restricted Pod Security Standard.

There is no kubelet: pods stay Pending, and a connection that is let through ends in the API
server's own word that the pod has no host.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.controlplane.test_webhooks import Webhook
from tests.e2e.workloads import UNPINNED, deployment, pod
from tests.unit.enforce.test_network import RULES
from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL, network_policy
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

pytestmark = [pytest.mark.usefixtures("installation"), pytest.mark.network]


@pytest.fixture
def profile(control_plane: ControlPlane, namespace: str) -> Iterator[Callable[..., str]]:
    """Makes the SandboxProfile of a test, and its NetworkPolicy as the controller would."""

    def make(**spec: Any) -> str:
        manifest = {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "SandboxProfile",
            "metadata": {"name": namespace},
            "spec": {"access": {"users": ["auditor"]}, **spec},
        }
        control_plane.apply(manifest)
        return namespace

    yield make
    control_plane.kubectl("delete", "sandboxprofile", namespace, "--ignore-not-found")


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


def enforce_restricted(control_plane: ControlPlane, namespace: str) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl("label", "namespace", namespace, label)


def try_to(
    control_plane: ControlPlane, *arguments: str, manifest: Json | None = None
) -> tuple[int, str]:
    """Exit code and everything that kubectl says."""
    given = {"stdin": json.dumps(manifest)} if manifest is not None else {}
    result = control_plane.kubectl(*arguments, check=False, **given)
    return result.returncode, result.stdout + result.stderr


def create(control_plane: ControlPlane, manifest: Json, *user: str) -> tuple[int, str]:
    return try_to(control_plane, *user, "create", "-f", "-", manifest=manifest)


def get(control_plane: ControlPlane, *what: str) -> Json:
    found: Json = json.loads(control_plane.kubectl("get", *what, "-o", "json").stdout)
    return found


def admitted(control_plane: ControlPlane, namespace: str, manifest: Json) -> Json:
    """Create a pod, as soon as the webhook has heard of what it depends on; the pod as stored."""
    said = ""

    def created() -> bool:
        nonlocal said
        code, said = create(control_plane, manifest)
        return code == 0

    assert eventually(created), said
    return get(control_plane, "pod", manifest["metadata"]["name"], "-n", namespace)


@pytest.fixture
def sandboxed(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, profile: Callable[..., str]
) -> str:
    """A pod in a sandbox, of which the webhook has heard."""
    sandboxing(policy, profile())
    isolate(control_plane, namespace)
    assert SANDBOX_LABEL in admitted(control_plane, namespace, pod(namespace, "phi", *UNPINNED))[
        "metadata"
    ].get("labels", {})
    assert eventually(lambda: "is not allowed" in reach(control_plane, namespace, "exec", MALLORY))
    return "phi"


def reach(control_plane: ControlPlane, namespace: str, way: str, user: tuple[str, ...]) -> str:
    path = f"/api/v1/namespaces/{namespace}/pods/phi/{WAYS_IN[way]}"
    return try_to(control_plane, *user, "create", "--raw", path, "-f", "-", manifest={})[1]


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
    stored = admitted(control_plane, namespace, wide_open(namespace))
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
    other = admitted(control_plane, namespace, again)
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


def pod_without_model(namespace: str, **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shell", "namespace": namespace, **metadata},
        "spec": {"containers": [{"name": "shell", "image": "busybox"}]},
    }


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


def opening(namespace: str, selector: Json) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow", "namespace": namespace},
        "spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": [{}]},
    }


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


def test_pod_is_refused_while_another_network_policy_would_open_its_sandbox(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, profile: Callable[..., str]
) -> None:
    assert create(control_plane, opening(namespace, {}))[0] == 0
    sandboxing(policy, profile())
    isolate(control_plane, namespace)
    phi = pod(namespace, "phi", *UNPINNED)
    assert eventually(lambda: "[SandboxNetworkOpen]" in create(control_plane, phi)[1])
    control_plane.kubectl("delete", "networkpolicy", "allow", "-n", namespace)
    admitted(control_plane, namespace, phi)


def test_namespace_with_a_sandbox_can_be_deleted(
    control_plane: ControlPlane, namespace: str, sandboxed: str
) -> None:
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")

    def gone() -> bool:
        return try_to(control_plane, "get", "namespace", namespace)[0] != 0

    assert eventually(gone, 50)


@pytest.fixture
def weakening(control_plane: ControlPlane, namespace: str) -> Iterator[Callable[[str], None]]:
    """Registers a mutating webhook that comes after ours and makes containers privileged."""
    patch = [
        {
            "op": "replace",
            "path": "/spec/containers/0/securityContext",
            "value": {"privileged": True},
        }
    ]
    with closing(Webhook(control_plane)) as webhook:
        encoded = base64_json(patch)
        webhook.answer = lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}

        def register(reinvocation: str) -> None:
            rule = {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["pods"],
                "operations": ["CREATE"],
            }
            control_plane.apply(
                {
                    "apiVersion": "admissionregistration.k8s.io/v1",
                    "kind": "MutatingWebhookConfiguration",
                    "metadata": {"name": f"zzz-{namespace}"},
                    "webhooks": [
                        {
                            "name": "weakens.tests.weighmaster.dev",
                            "clientConfig": webhook.client_config,
                            "rules": [rule],
                            "namespaceSelector": {
                                "matchLabels": {"kubernetes.io/metadata.name": namespace}
                            },
                            "failurePolicy": "Fail",
                            "reinvocationPolicy": reinvocation,
                            "sideEffects": "None",
                            "admissionReviewVersions": ["v1"],
                        }
                    ],
                }
            )

            def asked() -> bool:
                shell = pod_without_model(namespace)
                said = try_to(
                    control_plane, "create", "--dry-run=server", "-o", "json", "-f", "-",
                    manifest=shell,
                )[1]  # fmt: skip
                return '"privileged": true' in said

            assert eventually(asked)

        yield register
        control_plane.kubectl("delete", "mutatingwebhookconfiguration", f"zzz-{namespace}")


def base64_json(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_webhook_that_weakens_the_pod_once_is_undone(
    control_plane: ControlPlane, namespace: str, sandboxed: str, weakening: Callable[[str], None]
) -> None:
    weakening("Never")
    stored = admitted(control_plane, namespace, pod(namespace, "other", *UNPINNED))
    assert stored["spec"]["containers"][0]["securityContext"]["privileged"] is False


def test_webhook_that_insists_on_weakening_the_pod_gets_it_refused(
    control_plane: ControlPlane, namespace: str, sandboxed: str, weakening: Callable[[str], None]
) -> None:
    weakening("IfNeeded")
    code, said = create(control_plane, pod(namespace, "other", *UNPINNED))
    assert code != 0
    assert "[SandboxIncomplete]" in said
    assert "spec.containers[0].securityContext.privileged must be false" in said
