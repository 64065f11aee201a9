"""Custom kinds that name weights, through a minimal definition of our own (KServe's is 2 MB)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.test_admission import PINNED_RULE, apply
from tests.e2e.workloads import COMMIT

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")

DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "inferenceservices.serving.kserve.io"},
    "spec": {
        "group": "serving.kserve.io",
        "scope": "Namespaced",
        "names": {
            "kind": "InferenceService",
            "plural": "inferenceservices",
            "singular": "inferenceservice",
            "shortNames": ["isvc"],
        },
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module", autouse=True)
def definition(control_plane: ControlPlane) -> Iterator[None]:
    control_plane.apply(DEFINITION)
    name = DEFINITION["metadata"]["name"]
    control_plane.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=20s")
    yield
    control_plane.kubectl("delete", "crd", name)


def inference_service(namespace: str, uri: str) -> Json:
    """An InferenceService whose storage initializer fetches ``uri``."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "llama", "namespace": namespace},
        "spec": {
            "predictor": {
                "model": {"modelFormat": {"name": "huggingface"}, "storageUri": uri},
            }
        },
    }


def test_inference_service_is_decided_by_its_storage_uri(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy(PINNED_RULE)
    moving = inference_service(namespace, "hf://ibm-granite/granite-4.0-h-tiny")
    assert eventually(lambda: apply(control_plane, moving, dry_run=True)[0] != 0)
    said = apply(control_plane, moving)[1]
    assert "hf://ibm-granite/granite-4.0-h-tiny (spec.predictor.model.storageUri)" in said
    pinned = inference_service(namespace, f"hf://ibm-granite/granite-4.0-h-tiny:{COMMIT}")
    code, said = apply(control_plane, pinned)
    assert code == 0, said


def test_pod_that_a_storage_initializer_was_injected_into_is_decided_too(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy({"origin": {"publishers": {"allow": ["nobody"]}, "assurance": "Namespace"}})
    volume = {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
    injected = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "llama-predictor", "namespace": namespace},
        "spec": {
            "initContainers": [
                {
                    "name": "storage-initializer",
                    "image": "kserve/storage-initializer:v0.16.0",
                    "args": ["s3://scratch/llama", "/mnt/models"],
                    "volumeMounts": [volume],
                }
            ],
            "containers": [
                {
                    "name": "kserve-container",
                    "image": "kserve/huggingfaceserver:v0.16.0",
                    "args": ["--model_name=llama", "--model_dir=/mnt/models"],
                    "volumeMounts": [{**volume, "readOnly": True}],
                }
            ],
            "volumes": [{"name": volume["name"], "emptyDir": {}}],
        },
    }
    assert eventually(
        lambda: "s3://scratch/llama" in apply(control_plane, injected, dry_run=True)[1]
    )
