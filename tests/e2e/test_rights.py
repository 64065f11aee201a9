"""Least privilege, by the audit logs of the API servers: what is granted is used, and suffices.

The rare rights are used here; what the other tests use is counted in. So this runs last.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.installation import ROOT, SYSTEM_NAMESPACE, Installation
from tests.cluster.rights import Right, asked, granted
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.test_admission import apply
from tests.e2e.test_evidence import CARD, arguments
from tests.e2e.workloads import pod, pod_spec
from tests.hub.repositories import Repository, model
from tests.hub.server import Hub
from weighmaster.api import GROUP
from weighmaster.chart.grants import Role
from weighmaster.core.evaluate.records import record_name
from weighmaster.core.workload_kinds import CHANGEABLE

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = [pytest.mark.usefixtures("installation"), pytest.mark.timeout(240)]

EXEMPT = "kube-system"
AWAITING = "weighmaster.dev/awaiting-evidence"
BUILTIN = {"", "apps", "batch"}

HERE = Path(__file__).parent
INSTALLATION = ROOT / "tests" / "chart" / "test_installation.py"

UNSEEN: dict[Right, str] = {}
"""Rights that no test uses, and why they are granted all the same."""


def definition(group: str, resource: str) -> Json:
    """A stand-in for the definition of a kind: any fields, in one version."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    # Asked for of groups under k8s.io.
    approved = {"api-approved.kubernetes.io": "unapproved, a test"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource}.{group}", "annotations": approved},
        "spec": {
            "group": group,
            "names": {"plural": resource, "kind": resource.capitalize()},
            "scope": "Cluster" if resource.startswith("cluster") else "Namespaced",
            "versions": [version],
        },
    }


def waiting(api_version: str, kind: str, **spec: Any) -> Json:
    """An object as admission marks it, in a namespace that it is not asked about."""
    metadata = {"name": "waits", "namespace": EXEMPT, "labels": {AWAITING: "true"}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def builtin() -> list[Json]:
    """One of each kind of Kubernetes' own, of which no pods come."""
    labels = {"app": "waits"}
    template = {
        "metadata": {"labels": labels},
        "spec": {**pod_spec("--model=acme/m"), "nodeSelector": {"none": "such"}},
    }
    selector = {"matchLabels": labels}
    owner: Json = {"selector": selector, "template": template}
    job = {"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}}
    cron: Json = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}
    return [
        waiting("v1", "ReplicationController", replicas=0, selector=labels, template=template),
        waiting("apps/v1", "Deployment", replicas=0, **owner),
        waiting("apps/v1", "ReplicaSet", replicas=0, **owner),
        waiting("apps/v1", "StatefulSet", replicas=0, serviceName="none", **owner),
        waiting("apps/v1", "DaemonSet", **owner),
        waiting("batch/v1", "CronJob", **cron),
    ]


@pytest.fixture
def kinds(control_plane: ControlPlane, installation: Installation) -> Iterator[str]:
    """The resources of all kinds that can be pinned, each with an object that waits."""
    others = [
        definition(each.group, resource)
        for each in CHANGEABLE
        if each.group not in BUILTIN
        for resource in each.resources
    ]
    names = [each["metadata"]["name"] for each in others]
    definitions = [f"crd/{name}" for name in names]
    # It is to find all of this when it starts.
    installation.controller.stop()
    control_plane.apply(*others)
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *definitions)
    custom = [
        waiting(f"{each['spec']['group']}/v1", each["spec"]["names"]["kind"]) for each in others
    ]
    control_plane.apply(*custom, *builtin())
    yield ",".join([*names, *(each["kind"].lower() for each in builtin())])
    control_plane.kubectl("delete", *definitions, "--wait=false")
    for each in builtin():
        control_plane.kubectl("delete", each["kind"], "waits", "-n", EXEMPT, "--wait=false")


def test_controller_that_starts_looks_after_everything_that_waits_and_what_nobody_uses(
    control_plane: ControlPlane, installation: Installation, namespace: str, kinds: str
) -> None:
    """Workloads of every kind, a record that is out of use, a policy of a namespace."""
    unused = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {
            "name": f"{namespace}-unused",
            "labels": {"app.kubernetes.io/managed-by": "weighmaster"},
            "annotations": {"weighmaster.dev/last-used": "2020-01-01"},
        },
        "spec": {"reference": f"hf://acme/{namespace}-unused"},
    }
    policy = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ModelPolicy",
        "metadata": {"name": "own", "namespace": namespace},
        "spec": {
            "enforcement": {"action": "Deny"},
            "rules": [{"name": "known", "reference": {"require": ["Known"]}}],
        },
    }
    kubectl = control_plane.kubectl
    control_plane.apply(unused, policy)

    def left() -> list[str]:
        return kubectl("get", kinds, "-A", "-l", AWAITING, "-o", "name").stdout.split()

    def is_there(record: str) -> bool:
        return kubectl("get", "modelrecord", record, check=False).returncode == 0

    assert len(left()) > len(CHANGEABLE)
    installation.controller.start()
    take(control_plane, namespace, f"s3://{namespace}/news")  # it looks when a record changes
    assert eventually(lambda: not left(), within=60), left()
    assert eventually(lambda: not is_there(f"{namespace}-unused"))
    ready = ("wait", "--for=condition=Ready", "--timeout=20s", "modelpolicy/own", "-n", namespace)
    kubectl(*ready)


def test_name_of_a_record_that_somebody_has_taken_stops_neither_role(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    """The webhook asks about a model, the controller about what it was made from."""
    base = hub.add(model(f"{namespace}-root/base", {"README.md": CARD}))
    made = CARD.replace(b"license", b"base_model: %s\nlicense" % base.name.encode())
    child = hub.add(model(f"acme/{namespace}-child", {"README.md": made}))
    for reference in (f"hf://{base.name}", f"hf://{child.name}@{child.commit}"):
        take(control_plane, record_name(reference), f"s3://{namespace}/elsewhere")
    origin = {"publishers": {"deny": ["nobody"]}, "assurance": "Namespace", "lineage": "Include"}
    policy({"origin": origin}, {"license": {"allow": ["Apache-2.0"]}})
    probe = pod(namespace, "probe", *arguments(child))
    apply(control_plane, probe)
    assert eventually(lambda: resolved(control_plane, child), within=30)
    assert eventually(lambda: resolved(control_plane, base), within=30)


def take(control_plane: ControlPlane, name: str, reference: str) -> None:
    """Make a ModelRecord by hand."""
    control_plane.apply(
        {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "ModelRecord",
            "metadata": {"name": name},
            "spec": {"reference": reference},
        }
    )


def resolved(control_plane: ControlPlane, repository: Repository) -> bool:
    """Whether there is evidence about a repository, whatever its record is called."""
    listed = json.loads(control_plane.kubectl("get", "modelrecords", "-o", "json").stdout)["items"]
    return any(
        each.get("status", {}).get("state") == "Resolved"
        for each in listed
        if repository.name in each["spec"]["reference"]
    )


@pytest.mark.parametrize("what", ["secrets", "configmaps"])
@pytest.mark.parametrize("where", [SYSTEM_NAMESPACE, EXEMPT, "default"])
def test_webhook_can_read_no_secret_and_no_config_map(
    control_plane: ControlPlane, installation: Installation, what: str, where: str
) -> None:
    as_webhook = ("--kubeconfig", str(installation.kubeconfigs[Role.WEBHOOK]), "-n", where)
    for asking in (("get", what), ("get", what, "any"), ("get", what, "--watch")):
        said = control_plane.kubectl(*as_webhook, *asking, check=False)
        assert said.returncode != 0
        assert "forbidden" in said.stderr.lower(), said.stderr


def test_controller_can_read_secrets_of_its_own_namespace_only_and_list_none(
    control_plane: ControlPlane, installation: Installation
) -> None:
    as_controller = ("--kubeconfig", str(installation.kubeconfigs[Role.CONTROLLER]))
    for where, asking in (("default", ("any",)), (SYSTEM_NAMESPACE, ())):
        said = control_plane.kubectl(
            *as_controller, "-n", where, "get", "secrets", *asking, check=False
        )
        assert "forbidden" in said.stderr.lower(), said.stderr
    said = control_plane.kubectl(
        *as_controller, "-n", SYSTEM_NAMESPACE, "get", "secret", "any", check=False
    )
    assert "not found" in said.stderr.lower()


def test_nothing_is_asked_for_without_a_right_to_it(audit_logs: list[Path]) -> None:
    """An API server that has just started refuses everybody until it has read the rights."""
    assert in_all(audit_logs, "forbid") - granted() == set()


def test_every_right_is_used_or_has_a_reason_not_to_be(
    request: pytest.FixtureRequest, audit_logs: list[Path]
) -> None:
    modules = {path for path in HERE.glob("test_*.py") if "control_plane" in path.read_text()}
    modules.add(INSTALLATION)
    if not modules <= {item.path for item in request.session.items} or len(audit_logs) < 2:
        pytest.skip("only the whole end-to-end suite can tell which rights are used")
    superfluous = granted() - in_all(audit_logs, "allow")
    assert superfluous - UNSEEN.keys() == set()
    assert UNSEEN.keys() - superfluous == set(), "these are used after all"


def in_all(audit_logs: list[Path], decision: str) -> set[Right]:
    """What both roles asked for in all control planes, and were allowed to or not."""
    found: set[Right] = set()
    for log in audit_logs:
        with log.open(encoding="utf-8") as lines:
            found |= asked(map(json.loads, lines), SYSTEM_NAMESPACE, decision)
    return found
