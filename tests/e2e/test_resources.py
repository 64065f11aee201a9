"""Our resources in a real API server: what it accepts, what it rejects, and what status says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.installation import ROOT
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.mistakes import MISTAKES, with_rule
from tests.e2e.test_admission import PINNED_RULE, apply
from tests.e2e.workloads import UNPINNED, pod

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")


@pytest.mark.parametrize("mistake", MISTAKES, ids=[name.replace(" ", "-") for name in MISTAKES])
def test_api_server_rejects_and_says_what_to_do_about(
    control_plane: ControlPlane, mistake: str
) -> None:
    kind, spec, message = MISTAKES[mistake]
    code, said = apply(
        control_plane,
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": "mistake"},
            "spec": spec,
        },
        dry_run=True,
    )
    assert code != 0
    assert message in said


def test_misspelt_field_is_rejected_by_kubectl(control_plane: ControlPlane) -> None:
    spec = {**with_rule(PINNED_RULE), "enforcment": {}}
    policy = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ClusterModelPolicy",
        "metadata": {"name": "misspelt"},
        "spec": spec,
    }
    code, said = apply(control_plane, policy, dry_run=True)
    assert code != 0
    assert 'unknown field "spec.enforcment"' in said


def test_namespace_of_a_record_cannot_change(control_plane: ControlPlane) -> None:
    record: Json = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": "claimed"},
        "spec": {"reference": "pvc://models/llm", "namespace": "bank"},
    }
    assert apply(control_plane, record)[0] == 0
    record["spec"]["namespace"] = "evil"
    code, said = apply(control_plane, record)
    assert code != 0
    assert "about one namespace's name" in said


def test_reference_of_a_record_cannot_change(control_plane: ControlPlane) -> None:
    record: Json = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": "fixed"},
        "spec": {"reference": "hf://a/b"},
    }
    assert apply(control_plane, record)[0] == 0
    record["spec"]["reference"] = "hf://a/c"
    code, said = apply(control_plane, record)
    assert code != 0
    assert "create another record" in said


@pytest.mark.parametrize(
    "path",
    sorted(
        [*(ROOT / "policies").glob("*/policy.yaml"), *(ROOT / "policies/publishers").glob("*.yaml")]
    ),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_library_is_accepted_as_it_is(control_plane: ControlPlane, path: Path) -> None:
    result = control_plane.kubectl("apply", "--dry-run=server", "-f", str(path), check=False)
    assert result.returncode == 0, result.stderr


def test_every_field_can_be_explained(control_plane: ControlPlane) -> None:
    for field in ("spec.rules.origin.jurisdictions", "spec.enforcement.onUnknown", "spec.match"):
        said = control_plane.kubectl("explain", f"clustermodelpolicy.{field}").stdout
        assert "<no description>" not in said
        assert "DESCRIPTION" in said


def condition(control_plane: ControlPlane, kind: str, name: str) -> Json:
    """The Ready condition, with the status' warnings beside it."""
    stored = json.loads(control_plane.kubectl("get", kind, name, "-o", "json").stdout)
    status = stored.get("status", {})
    conditions = status.get("conditions", [])
    found: Json = next((c for c in conditions if c["type"] == "Ready"), {})
    return {**found, "warnings": status.get("warnings", [])}


def test_status_says_that_a_policy_is_in_use_and_what_is_missing(
    control_plane: ControlPlane, policy: MakePolicy, namespace: str
) -> None:
    rule = {"origin": {"publishers": {"allow": [f"{namespace}-p"]}, "assurance": "Namespace"}}
    name = policy(rule)

    def state() -> Json:
        return condition(control_plane, "clustermodelpolicy", name)

    assert eventually(lambda: state().get("status") == "True")
    assert f'there is no ModelPublisher "{namespace}-p"' in state()["warnings"][0]
    since = state()["lastTransitionTime"]
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ModelPublisher",
            "metadata": {"name": f"{namespace}-p"},
            "spec": {
                "displayName": "P",
                "jurisdiction": "FR",
                "references": [f"hf://{namespace}/**"],
            },
        }
    )
    assert eventually(lambda: state()["warnings"] == [])
    assert state()["lastTransitionTime"] == since
    control_plane.kubectl("delete", "modelpublisher", f"{namespace}-p")
    assert eventually(lambda: len(state()["warnings"]) == 1)


def test_deleting_a_publisher_refuses_its_models(
    control_plane: ControlPlane, policy: MakePolicy, namespace: str
) -> None:
    publisher = f"{namespace}-m"
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ModelPublisher",
            "metadata": {"name": publisher},
            "spec": {"displayName": "M", "references": ["hf://mistralai/**"]},
        }
    )
    policy({"origin": {"publishers": {"allow": [publisher]}, "assurance": "Namespace"}})
    probe = pod(namespace, "p", *UNPINNED)
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] == 0)
    control_plane.kubectl("delete", "modelpublisher", publisher)
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] != 0, within=2)
    assert "[PublisherUnknown]" in apply(control_plane, probe, dry_run=True)[1]


def test_policy_stored_by_another_version_fails_closed_and_its_status_says_why(
    control_plane: ControlPlane, namespace: str
) -> None:
    crd = yaml.safe_load((ROOT / "crds/weighmaster.dev_modelpolicies.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    strict = json.loads(json.dumps(crd))
    schema["properties"]["rules"]["items"]["properties"]["weather"] = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }
    del schema["properties"]["rules"]["items"]["x-kubernetes-validations"]
    stored = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelPolicy",
        "metadata": {"name": "newer", "namespace": namespace},
        "spec": {
            "enforcement": {"action": "Deny"},
            "rules": [{"name": "sunny", "weather": {"allow": ["sun"]}}],
        },
    }
    control_plane.apply(crd)
    try:
        assert eventually(lambda: apply(control_plane, stored)[0] == 0)
    finally:
        control_plane.apply(strict)
    probe = pod(namespace, "p", *UNPINNED)
    assert eventually(lambda: "[PolicyUnusable]" in apply(control_plane, probe, dry_run=True)[1])

    def ready() -> Json:
        raw = control_plane.kubectl("get", "modelpolicy", "newer", "-n", namespace, "-o", "json")
        found: Json = json.loads(raw.stdout).get("status", {}).get("conditions", [{}])[0]
        return found

    assert eventually(lambda: ready().get("reason") == "Unusable")
    assert 'rule "sunny" needs exactly one of' in ready()["message"]
    assert "fails closed" in ready()["message"]
    columns = control_plane.kubectl("get", "modelpolicy", "-n", namespace).stdout
    assert "False" in columns


def test_exception_counts_until_it_is_deleted(
    control_plane: ControlPlane, policy: MakePolicy, namespace: str
) -> None:
    name = policy(PINNED_RULE)
    probe = pod(namespace, "p", *UNPINNED)
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] != 0)
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ModelException",
            "metadata": {"name": namespace},
            "spec": {
                "policies": [{"name": name, "rules": ["rule-0"]}],
                "namespaces": [namespace],
                "references": ["hf://mistralai/**"],
                "reason": "the audit of this model is under way",
                "approvedBy": "model-risk",
                "expiresAt": "2027-06-01T00:00:00Z",
            },
        }
    )
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] == 0)
    assert eventually(
        lambda: condition(control_plane, "modelexception", namespace).get("reason") == "InUse"
    )
    control_plane.kubectl("delete", "modelexception", namespace)
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] != 0)
