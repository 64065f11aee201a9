"""KServe: what people apply names a branch, what is stored and what its pods load does not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import ControlPlaneUnavailableError
from tests.controlplane.polling import eventually
from tests.e2e.conftest import skip_or_fail
from tests.e2e.kserve import (
    INITIALIZER,
    MOUNT,
    VOLUME,
    find_definition,
    generated,
    inference_service,
    initialize,
)
from tests.e2e.test_admission import PINNED_RULE, apply
from tests.e2e.test_pinning import REWRITE, in_effect, move, stored
from tests.e2e.verifier import run
from tests.e2e.webhooks import mutating
from tests.e2e.workloads import COMMIT
from tests.hub.repositories import Repository
from tests.signing.models import write_model
from weighmaster.core.mounted import CONTAINER, Result, decode_verdict

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")

CONTENT = {"content": {"verify": "BeforeStart"}}


@pytest.fixture(scope="module", autouse=True)
def definition(control_plane: ControlPlane) -> Iterator[None]:
    """KServe's own definition: what it does not know is dropped, as in a cluster."""
    try:
        path = find_definition(print)
    except ControlPlaneUnavailableError as error:
        skip_or_fail("kserve", error)
    # It is too long for the annotation of a client-side apply.
    control_plane.kubectl("apply", "--server-side", "-f", str(path))
    name = "inferenceservices.serving.kserve.io"

    def served() -> bool:
        return control_plane.kubectl("get", name, "-A", check=False).returncode == 0

    assert eventually(served, within=20)
    yield
    control_plane.kubectl("delete", "crd", name)


def service(control_plane: ControlPlane, namespace: str) -> Json:
    """The service as it is stored."""
    found: Json = stored(control_plane, namespace, "inferenceservice", "llama")
    return found


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


def test_every_place_of_a_service_that_names_a_model_is_stored_with_its_revision(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(REWRITE)
    in_effect(control_plane, namespace)
    uri, pinned = f"hf://{repository.name}", f"hf://{repository.name}:{repository.commit}"
    asked = inference_service(namespace, uri)
    runtime = {"name": "kserve-container", "modelFormat": {"name": "huggingface"}}
    asked["spec"] = {
        "predictor": {"model": runtime, "storageUris": [{"uri": uri}]},
        "transformer": {
            "containers": [
                {
                    "name": "kserve-container",
                    "image": "example/tokenize:v1",
                    "env": [{"name": "STORAGE_URI", "value": uri}],
                }
            ]
        },
        "canary": [
            {
                "trafficPercent": 10,
                "predictor": {"name": "next", "model": {**runtime, "storageUri": uri}},
            }
        ],
    }
    code, said = apply(control_plane, asked)
    assert code == 0, said

    def written() -> bool:
        return pinned in json.dumps(service(control_plane, namespace)["spec"])

    # Where the evidence took longer than the webhook waits, the controller sees to it.
    assert eventually(written, within=30), said
    spec = service(control_plane, namespace)["spec"]
    assert spec["predictor"]["storageUris"] == [{"uri": pinned, "mountPath": MOUNT}]
    assert spec["transformer"]["containers"][0]["env"][0]["value"] == pinned
    assert spec["canary"][0]["predictor"]["model"]["storageUri"] == pinned


@pytest.mark.parametrize("order", ["aaa", "zzz"])
def test_pods_of_a_service_load_the_revision_that_was_verified_and_verify_it(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    tmp_path: Path,
    order: str,
) -> None:
    """Whether KServe's webhook is called before Weighmaster's, as by its real name, or after."""
    policy(REWRITE, CONTENT)
    in_effect(control_plane, namespace)
    commit = repository.commit
    asked = inference_service(namespace, f"hf://{repository.name}")
    assert apply(control_plane, asked)[0] == 0

    def source() -> str:
        return str(service(control_plane, namespace)["spec"]["predictor"]["model"]["storageUri"])

    # Where the evidence took longer than the webhook waits, the controller sees to it.
    assert eventually(lambda: source() == f"hf://{repository.name}:{commit}", within=30)
    move(repository)
    with mutating(control_plane, namespace, initialize, order=order):
        code, said = apply(control_plane, generated(service(control_plane, namespace)))
        assert code == 0, said
        listed: list[Json] = []

        def made() -> bool:
            listed[:] = stored(control_plane, namespace, "pods")["items"]
            return bool(listed)

        assert eventually(made, within=60)
    (pod,) = listed
    names = [each["name"] for each in pod["spec"]["initContainers"]]
    assert names == [INITIALIZER, CONTAINER]
    assert pod["spec"]["initContainers"][0]["args"][0] == f"hf://{repository.name}:{commit}"
    (server,) = pod["spec"]["containers"]
    mounts = {each["mountPath"]: each for each in server["volumeMounts"]}
    assert mounts[MOUNT]["readOnly"] is True
    # What the initializer fetches at that revision (snapshot_download) is what is expected there.
    write_model(tmp_path / "fetched", {**repository.files, "README.md": b"# A model\n"})
    code, message = run(pod, {VOLUME: tmp_path / "fetched"}, tmp_path / "container")
    verdict = decode_verdict(message)
    assert verdict is not None, message
    assert (code, verdict.result) == (0, Result.VERIFIED)
    assert verdict.verified[0].reference == f"hf://{repository.name}@{commit}"


def test_pod_that_a_storage_initializer_was_injected_into_is_decided_too(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    policy({"origin": {"publishers": {"allow": ["nobody"]}, "assurance": "Namespace"}})
    owned = inference_service(namespace, "s3://scratch/llama")
    owned["metadata"]["uid"] = "1"
    template = generated(owned)["spec"]["template"]
    metadata = {**template["metadata"], "name": "llama-predictor", "namespace": namespace}
    plain = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}
    with mutating(control_plane, namespace, initialize):
        assert eventually(
            lambda: "s3://scratch/llama" in apply(control_plane, plain, dry_run=True)[1]
        )
