"""Rights of people (docs/rbac.md), as a real API server gives them by the chart's ClusterRoles."""

import json
from collections.abc import Iterator

import pytest

from tests.chart.program import IMAGE, Helm
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually

pytestmark = pytest.mark.e2e

SERVICE_ACCOUNTS = ("-webhook", "-controller")
EVERYTHING = (
    "clustermodelpolicies",
    "modelpolicies",
    "modelpublishers",
    "modelexceptions",
    "sandboxprofiles",
    "modelrecords",
)

IN_NAMESPACE = {"viewer": "view", "deployer": "edit", "owner": "admin"}
IN_CLUSTER = {
    "auditor": "view",
    "security": "weighmaster-policies",
    "vetting": "weighmaster-publishers",
    "approver": "weighmaster-exceptions",
}

WRITES = {
    "viewer": "",
    "deployer": "",
    "owner": "modelpolicies",
    "auditor": "",
    "security": "clustermodelpolicies modelpolicies sandboxprofiles",
    "vetting": "modelpublishers modelrecords",
    "approver": "modelexceptions",
}
"""What each may change, and nobody any status: whose signatures count is in there, too."""


@pytest.fixture
def people(control_plane: ControlPlane, helm: Helm, namespace: str) -> Iterator[str]:
    """One person for each role, who may nothing else."""
    roles = [
        each
        for each in helm.render(*IMAGE)
        if each["kind"] == "ClusterRole" and not each["metadata"]["name"].endswith(SERVICE_ACCOUNTS)
    ]
    assert len(roles) == 5
    control_plane.apply(*roles)
    kubectl = control_plane.kubectl
    for person, role in IN_NAMESPACE.items():
        bound = (f"--clusterrole={role}", f"--user={person}", "-n", namespace)
        kubectl("create", "rolebinding", person, *bound)
    for person, role in IN_CLUSTER.items():
        kubectl("create", "clusterrolebinding", person, f"--clusterrole={role}", f"--user={person}")
    assert eventually(lambda: may(control_plane, "owner", "create", "modelpolicies", namespace))
    yield namespace
    kubectl("delete", "clusterrolebinding", *IN_CLUSTER)
    kubectl("delete", "clusterrole", *(each["metadata"]["name"] for each in roles))


def may(control_plane: ControlPlane, person: str, verb: str, resource: str, namespace: str) -> bool:
    """What the API server says; ``resource`` may have a subresource."""
    name, _, sub = resource.partition("/")
    asked = {"group": "weighmaster.dev", "resource": name, "subresource": sub, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": person, "resourceAttributes": {**asked, "namespace": namespace}},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    said = control_plane.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(review))
    return bool(json.loads(said.stdout)["status"]["allowed"])


def test_people_may_write_what_is_theirs_and_nothing_else(
    control_plane: ControlPlane, people: str
) -> None:
    written = {
        person: {
            resource
            for resource in (*EVERYTHING, *(f"{each}/status" for each in EVERYTHING))
            if may(control_plane, person, "update", resource, people)
        }
        for person in WRITES
    }
    assert written == {person: set(each.split()) for person, each in WRITES.items()}


def test_everybody_may_read_what_they_see_and_nothing_cluster_wide_by_a_role_in_a_namespace(
    control_plane: ControlPlane, people: str
) -> None:
    for person in (*IN_NAMESPACE, *IN_CLUSTER):
        assert may(control_plane, person, "get", "modelpolicies", people), person
    for resource in ("clustermodelpolicies", "modelrecords"):
        assert all(may(control_plane, person, "list", resource, "") for person in IN_CLUSTER)
        assert not any(may(control_plane, person, "list", resource, "") for person in IN_NAMESPACE)
