"""Admission through a real API server: what people see when they apply something."""

import json
import time
from collections.abc import Callable

import pytest

from tests.cluster.installation import Installation
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.workloads import PINNED, UNPINNED, deployment, pod, web

MakePolicy = Callable[..., str]

PINNED_RULE = {"reference": {"require": ["Known", "Pinned"]}}

pytestmark = pytest.mark.usefixtures("installation")


def apply(
    control_plane: ControlPlane, *manifests: object, dry_run: bool = False
) -> tuple[int, str]:
    """Exit code and everything that kubectl says."""
    text = "\n---\n".join(json.dumps(manifest) for manifest in manifests)
    options = ["--dry-run=server"] if dry_run else []
    result = control_plane.kubectl("apply", *options, "-f", "-", stdin=text, check=False)
    return result.returncode, result.stdout + result.stderr


def test_unpinned_deployment_is_denied_with_policy_rule_finding_and_way_forward(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    name = policy(PINNED_RULE)
    code, said = apply(control_plane, deployment(namespace, "chat", *UNPINNED))
    assert code != 0
    assert f'policy "{name}", rule "rule-0": hf://mistralai/Mistral-7B-Instruct-v0.3' in said
    assert "name a commit" in said
    assert "spec.template.spec.containers[0].args[0]" in said


def test_pinned_deployment_is_admitted_and_becomes_pods(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE)
    code, said = apply(control_plane, deployment(namespace, "chat", *PINNED, replicas=2))
    assert code == 0, said
    assert eventually(lambda: pods(control_plane, namespace) == 2)


def pods(control_plane: ControlPlane, namespace: str) -> int:
    output = control_plane.kubectl("get", "pods", "-n", namespace, "-o", "name").stdout
    return len(output.split())


def test_web_deployment_passes_the_strictest_policy_unmarked(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE, {"license": {"allow": ["MIT"]}})
    code, said = apply(control_plane, web(namespace, "shop"))
    assert code == 0, said
    assert "Warning" not in said
    stored = control_plane.kubectl(
        "get", "deployment", "shop", "-n", namespace, "-o", "yaml"
    ).stdout
    assert "weighmaster.dev/" not in stored


def test_warn_lets_through_and_says_why(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE, action="Warn")
    code, said = apply(control_plane, deployment(namespace, "chat", *UNPINNED))
    assert code == 0
    assert "Warning: Weighmaster:" in said
    assert "[NotPinned]" in said


def test_audit_is_silent_to_people_and_recorded_in_the_audit_log(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE, action="Audit")
    code, said = apply(control_plane, deployment(namespace, "audited", *UNPINNED))
    assert code == 0
    assert "Warning" not in said

    def recorded() -> bool:
        return any(
            event.get("objectRef", {}).get("name") == "audited"
            and event.get("annotations", {}).get("validating.weighmaster.dev/decision") == "Audit"
            and "NotPinned" in event["annotations"]["validating.weighmaster.dev/reasons"]
            for event in control_plane.audit_events()
        )

    assert eventually(recorded)


def test_sandbox_whose_profile_does_not_exist_refuses_the_pod(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(
        PINNED_RULE, enforcement={"action": "Sandbox", "sandboxProfile": "isolated"}, action="Deny"
    )
    code, said = apply(control_plane, pod(namespace, "chat", *UNPINNED))
    assert code != 0
    assert 'the SandboxProfile "isolated" does not exist' in said


def test_dry_run_is_decided_and_leaves_nothing(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE)
    code, said = apply(control_plane, deployment(namespace, "a", *UNPINNED), dry_run=True)
    assert code != 0
    assert "[NotPinned]" in said
    code, said = apply(control_plane, deployment(namespace, "b", *PINNED), dry_run=True)
    assert code == 0, said
    assert control_plane.kubectl("get", "deployments", "-n", namespace, "-o", "name").stdout == ""


def test_decision_id_is_on_the_object_and_stays_when_nothing_changes(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE)
    apply(control_plane, deployment(namespace, "chat", *PINNED))
    path = "jsonpath={.metadata.annotations.weighmaster\\.dev/decision-id}"
    command = ("get", "deployment", "chat", "-n", namespace, "-o", path)
    first = control_plane.kubectl(*command).stdout
    assert len(first) == 16
    control_plane.kubectl("scale", "deployment", "chat", "-n", namespace, "--replicas=3")
    control_plane.kubectl("label", "deployment", "chat", "-n", namespace, "a=b")
    assert control_plane.kubectl(*command).stdout == first


def test_policy_edit_takes_effect_within_a_second(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    name = policy(PINNED_RULE, action="Warn")
    assert apply(control_plane, pod(namespace, "p0", *UNPINNED))[0] == 0
    policy(PINNED_RULE, name=name, action="Deny")
    edited = time.monotonic()
    assert eventually(
        lambda: apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] != 0
    )
    assert time.monotonic() - edited < 1.0
    control_plane.kubectl("delete", "clustermodelpolicy", name)
    deleted = time.monotonic()
    assert eventually(
        lambda: apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] == 0
    )
    assert time.monotonic() - deleted < 1.0


def test_pods_of_a_deployment_older_than_the_policy_are_refused_until_it_complies(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    old = deployment(namespace, "old", *UNPINNED)
    old["spec"]["strategy"] = {"type": "Recreate"}
    apply(control_plane, old)
    assert eventually(lambda: pods(control_plane, namespace) == 1)
    policy(PINNED_RULE)
    assert eventually(
        lambda: apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] != 0
    )
    control_plane.kubectl("scale", "deployment", "old", "-n", namespace, "--replicas=3")

    def told() -> bool:
        events = control_plane.kubectl("get", "events", "-n", namespace, "-o", "yaml").stdout
        return "FailedCreate" in events and "NotPinned" in events

    assert eventually(told)
    assert pods(control_plane, namespace) == 1
    new = deployment(namespace, "old", *PINNED, replicas=3)
    new["spec"]["strategy"] = {"type": "Recreate"}
    code, said = apply(control_plane, new)
    assert code == 0, said

    def all_new() -> bool:
        found = control_plane.kubectl("get", "pods", "-n", namespace, "-o", "json").stdout
        arguments = [item["spec"]["containers"][0]["args"] for item in json.loads(found)["items"]]
        return arguments == [list(PINNED)] * 3

    assert eventually(all_new, within=40)


def test_what_a_new_policy_forbids_can_still_be_labelled_and_deleted(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    stuck = pod(namespace, "stuck", *UNPINNED, finalizers=["example.com/hold"])
    assert apply(control_plane, stuck)[0] == 0
    policy(PINNED_RULE)
    assert eventually(
        lambda: apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] != 0
    )
    labelled = control_plane.kubectl("label", "pod", "stuck", "-n", namespace, "a=b")
    assert "existing" not in labelled.stdout
    assert "Warning: Weighmaster:" in labelled.stderr
    control_plane.kubectl("delete", "pod", "stuck", "-n", namespace, "--wait=false")
    control_plane.kubectl(
        *("patch", "pod", "stuck", "-n", namespace, "--type=json"),
        *("-p", '[{"op":"remove","path":"/metadata/finalizers"}]'),
    )
    assert eventually(lambda: pods(control_plane, namespace) == 0)


def test_namespace_selector_decides_by_the_labels_of_the_namespace(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, installation: Installation
) -> None:
    selector = {
        "matchLabels": {"kubernetes.io/metadata.name": namespace},
        "matchExpressions": [{"key": "env", "operator": "In", "values": ["production"]}],
    }
    policy(PINNED_RULE, match={"namespaceSelector": selector})
    assert apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] == 0
    control_plane.kubectl("label", "namespace", namespace, "env=production")
    assert eventually(
        lambda: apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] != 0
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"weighmaster.dev/ignore": "true"}},
        {"labels": {"admission.weighmaster.dev/skip": "true", "control-plane": "weighmaster"}},
        {"annotations": {"weighmaster.dev/decision-id": "0123456789abcdef"}},
        {"annotations": {"weighmaster.dev/model": "hf://mistralai/other@" + "a" * 40}},
    ],
    ids=["ignore label", "skip label", "forged decision", "added model"],
)
def test_nothing_on_a_pod_exempts_it(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, metadata: dict[str, object]
) -> None:
    policy(PINNED_RULE)
    code, said = apply(control_plane, pod(namespace, "sneaky", *UNPINNED, **metadata))
    assert code != 0
    assert "[NotPinned]" in said


def test_labels_on_a_namespace_do_not_exempt_it(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE)
    for label in ("weighmaster.dev/ignore=true", "name=kube-system", "control-plane=true"):
        control_plane.kubectl("label", "namespace", namespace, label)
    forged = control_plane.kubectl(
        *("label", "namespace", namespace, "kubernetes.io/metadata.name=kube-system"),
        "--overwrite",
        check=False,
    )
    assert apply(control_plane, pod(namespace, "p", *UNPINNED))[0] != 0, forged.stderr


def test_ephemeral_container_that_serves_a_model_is_refused_and_a_shell_is_not(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE)
    assert apply(control_plane, pod(namespace, "chat", *PINNED))[0] == 0
    debug = ("debug", "chat", "-n", namespace, "--attach=false", "-q")
    shell = control_plane.kubectl(*debug, "--image=busybox", "--", "sh", check=False)
    assert shell.returncode == 0, shell.stderr
    server = control_plane.kubectl(
        *debug, "--image=vllm/vllm-openai:v0.11.0", "--", "vllm", "serve", "evil/model", check=False
    )
    assert server.returncode != 0
    assert "hf://evil/model" in server.stderr


def test_scaling_a_refused_workload_up_creates_no_pods(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    assert apply(control_plane, deployment(namespace, "idle", *UNPINNED, replicas=0))[0] == 0
    policy(PINNED_RULE)
    assert eventually(
        lambda: apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] != 0
    )
    control_plane.kubectl("scale", "deployment", "idle", "-n", namespace, "--replicas=2")
    assert not eventually(lambda: pods(control_plane, namespace) > 0, within=3)


def test_namespaced_policy_reaches_its_own_namespace_only(
    control_plane: ControlPlane, namespace: str
) -> None:
    other = f"{namespace}-other"
    control_plane.kubectl("create", "namespace", other)
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ModelPolicy",
            "metadata": {"name": "pinned", "namespace": namespace},
            "spec": {
                "enforcement": {"action": "Deny"},
                "rules": [{"name": "pinned", **PINNED_RULE}],
            },
        }
    )
    assert eventually(
        lambda: apply(control_plane, pod(namespace, "p", *UNPINNED), dry_run=True)[0] != 0
    )
    assert apply(control_plane, pod(other, "p", *UNPINNED), dry_run=True)[0] == 0
    control_plane.kubectl("delete", "namespace", other, "--wait=false")
