"""The control plane of the tests is a real one: what the end-to-end tests rely on."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import ComponentError, KubectlError
from tests.controlplane.polling import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.network]

WIDGETS_NAME = "widgets.tests.weighmaster.dev"
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": WIDGETS_NAME},
    "spec": {
        "group": "tests.weighmaster.dev",
        "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "low": {"type": "integer"},
                                    "high": {"type": "integer"},
                                },
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "self.low <= self.high",
                                        "message": "low must not exceed high",
                                    }
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}


def deployment(namespace: str, replicas: int) -> dict[str, Any]:
    labels = {"app": "server"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "registry.example/server:1"}]},
            },
        },
    }


def widget(namespace: str, low: int, high: int) -> dict[str, Any]:
    return {
        "apiVersion": "tests.weighmaster.dev/v1",
        "kind": "Widget",
        "metadata": {"name": "widget", "namespace": namespace},
        "spec": {"low": low, "high": high},
    }


def pods(control_plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    listed = control_plane.kubectl("get", "pods", "--namespace", namespace, "--output", "json")
    items: list[dict[str, Any]] = json.loads(listed.stdout)["items"]
    return items


def test_a_deployment_becomes_pods_that_stay_pending(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.apply(deployment(namespace, replicas=2))
    assert eventually(lambda: len(pods(control_plane, namespace)) == 2)
    for pod in pods(control_plane, namespace):
        assert pod["status"]["phase"] == "Pending"
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
        assert pod["spec"]["serviceAccountName"] == "default"


def test_pods_are_created_under_the_name_of_their_own_controller(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.apply(deployment(namespace, replicas=1))

    def creators() -> set[str]:
        return {
            event["user"]["username"]
            for event in control_plane.audit_events()
            if event["verb"] == "create"
            and event["requestURI"].startswith(f"/api/v1/namespaces/{namespace}/pods")
        }

    assert eventually(lambda: bool(creators()))
    assert creators() == {"system:serviceaccount:kube-system:replicaset-controller"}


def test_the_server_says_which_release_it_is(control_plane: ControlPlane) -> None:
    printed = control_plane.kubectl("version", "--output", "json").stdout
    version = json.loads(printed)["serverVersion"]
    assert version["gitVersion"].startswith(f"v{version['major']}.{version['minor']}.")


@pytest.mark.parametrize(
    ("path", "definitions"),
    [
        ("/openapi/v2", ("definitions",)),
        ("/openapi/v3/apis/apps/v1", ("components", "schemas")),
    ],
)
def test_openapi_documents_are_well_formed(
    control_plane: ControlPlane, path: str, definitions: tuple[str, ...]
) -> None:
    document = json.loads(control_plane.kubectl("get", "--raw", path).stdout)
    for key in definitions:
        document = document[key]
    properties = document["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]
    assert properties["replicas"]["type"] == "integer"
    assert properties["replicas"]["format"] == "int32"


def test_kubectl_explains_a_field_from_the_openapi_document(control_plane: ControlPlane) -> None:
    explained = control_plane.kubectl("explain", "deployment.spec").stdout
    assert "replicas\t<integer>" in explained


def test_a_misspelt_field_is_refused_by_name(control_plane: ControlPlane, namespace: str) -> None:
    manifest = deployment(namespace, replicas=1)
    manifest["spec"]["replicsa"] = 1
    with pytest.raises(KubectlError, match=r'strict decoding.*"spec\.replicsa"'):
        control_plane.apply(manifest)


def test_cel_rules_of_a_crd_are_enforced(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.apply(WIDGETS)
    control_plane.kubectl(
        "wait", "--for=condition=Established", "crd/widgets.tests.weighmaster.dev"
    )
    control_plane.apply(widget(namespace, low=1, high=2))
    with pytest.raises(KubectlError, match="low must not exceed high"):
        control_plane.apply(widget(namespace, low=3, high=2))


def test_a_service_account_has_the_rights_it_was_given_and_no_others(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    kubectl = control_plane.kubectl
    kubectl("create", "serviceaccount", "reader", "--namespace", namespace)
    kubectl(
        *("create", "rolebinding", "reader", "--namespace", namespace),
        *("--clusterrole", "view", "--serviceaccount", f"{namespace}:reader"),
    )
    token = control_plane.create_token(namespace, "reader")
    authority = control_plane.pki.authority.certificate
    kubeconfig = tmp_path / "kubeconfig"
    as_reader = (
        *("--kubeconfig", str(kubeconfig), "--token", token, "--namespace", namespace),
        *("--server", control_plane.server, "--certificate-authority", str(authority)),
    )
    kubeconfig.write_text("{}")
    assert eventually(lambda: kubectl("get", "pods", *as_reader, check=False).returncode == 0)
    with pytest.raises(KubectlError, match="configmaps is forbidden"):
        kubectl("create", "configmap", "mine", *as_reader)


def test_a_restart_of_the_api_server_keeps_data_and_address_and_controllers_go_on(
    control_plane: ControlPlane, namespace: str
) -> None:
    address, before = control_plane.server, control_plane.process_id("kube-apiserver")
    control_plane.kubectl("create", "configmap", "kept", "--namespace", namespace)

    control_plane.stop_apiserver()
    stopped = control_plane.kubectl("get", "namespaces", "--request-timeout=2s", check=False)
    control_plane.start_apiserver()

    assert stopped.returncode != 0
    assert control_plane.server == address
    assert control_plane.process_id("kube-apiserver") != before
    control_plane.kubectl("get", "configmap", "kept", "--namespace", namespace)
    control_plane.apply(deployment(namespace, replicas=1))
    assert eventually(lambda: len(pods(control_plane, namespace)) == 1, within=40)


def test_restarted_controllers_take_up_what_they_find(
    control_plane: ControlPlane, namespace: str
) -> None:
    before = control_plane.process_id("kube-controller-manager")
    control_plane.restart_controller_manager()
    control_plane.apply(deployment(namespace, replicas=1))
    assert eventually(lambda: len(pods(control_plane, namespace)) == 1)
    assert control_plane.process_id("kube-controller-manager") != before


def test_the_api_server_is_not_started_twice(control_plane: ControlPlane) -> None:
    with pytest.raises(ComponentError, match="kube-apiserver is running already"):
        control_plane.start_apiserver()


def test_every_component_runs_and_logs(control_plane: ControlPlane) -> None:
    for component in ("etcd", "kube-apiserver", "kube-controller-manager"):
        process_id = control_plane.process_id(component)
        assert process_id is not None
        os.kill(process_id, 0)
        assert control_plane.logs(component)
