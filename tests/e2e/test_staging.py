"""What servers would download is downloaded before they start, through a real API server.

There is no kubelet: what it would run is run here, from the pod as it was admitted, and what it
would write into the pod's status is written by the test.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.installation import OWN_IMAGE
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.asking import admitted
from tests.e2e.contents import (
    RESTRICTED,
    deployment,
    events,
    init_names,
    pod,
    pods,
    report,
)
from tests.e2e.stager import MOUNT, flipped, model_folder, stage
from tests.e2e.test_admission import apply
from tests.e2e.verifier import own_container
from tests.hub.repositories import Repository
from tests.hub.server import Hub
from weighmaster.core.enforce.verification import LABEL
from weighmaster.core.evaluate.records import record_name
from weighmaster.core.mounted import Result, decode_verdict
from weighmaster.core.staged import CONTAINER, VOLUME
from weighmaster.core.verify.loadable import is_loadable

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")

STAGED = {"content": {"verify": "BeforeStart", "downloads": "Stage"}}
PINNED = {"reference": {"require": ["Pinned"], "pin": "Rewrite"}}
WEIGHTS = "model-00002-of-00002.safetensors"


def spec(*arguments: str) -> Json:
    server = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.11.0",
        "args": list(arguments),
        "securityContext": RESTRICTED,
    }
    return {"containers": [server]}


def served(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def only_pod(control_plane: ControlPlane, namespace: str) -> Json:
    assert eventually(lambda: len(pods(control_plane, namespace)) == 1, within=60)
    (made,) = pods(control_plane, namespace)
    return made


def test_deployment_of_a_branch_comes_up_with_its_commit_where_pod_security_is_restricted(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    tmp_path: Path,
) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl("label", "namespace", namespace, label)
    policy(PINNED, STAGED)
    made_of = spec(f"--model={repository.name}", "--port=8000")
    code, said = apply(control_plane, deployment(namespace, "m", made_of))
    assert code == 0, said
    made = only_pod(control_plane, namespace)
    assert init_names(made) == [CONTAINER]
    assert made["metadata"]["labels"][LABEL] == "true"
    assert own_container(made, CONTAINER)["image"] == OWN_IMAGE
    (server,) = made["spec"]["containers"]
    folder = f"{MOUNT}/{repository.commit[:12]}/{repository.name}"
    assert server["args"] == [
        f"--model={folder}",
        f"--served-model-name={repository.name}",
        "--port=8000",
    ]
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in server["env"]
    assert {"name": VOLUME, "mountPath": MOUNT, "readOnly": True} in server["volumeMounts"]
    code, message = stage(made, tmp_path / "volume", tmp_path / "container")
    verdict = decode_verdict(message)
    assert verdict is not None, message
    assert (code, verdict.result) == (0, Result.VERIFIED), message
    wanted = {name: each for name, each in repository.files.items() if is_loadable(name)}
    assert served(model_folder(made, tmp_path / "volume")) == wanted
    report(control_plane, made, code, message, CONTAINER)
    name = record_name(f"hf://{repository.name}@{repository.commit}")

    def outcomes() -> list[str]:
        found = control_plane.kubectl("get", "modelrecord", name, "-o", "json").stdout
        return [entry["outcome"] for entry in json.loads(found)["status"].get("content", ())]

    assert eventually(lambda: outcomes() == ["Verified"], within=20), outcomes()


def test_flipped_byte_from_the_hub_keeps_the_server_from_starting_and_is_told_by_name(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    hub: Hub,
    tmp_path: Path,
) -> None:
    policy(PINNED, STAGED)
    manifest = deployment(namespace, "m", spec(f"--model={repository.name}"))
    assert apply(control_plane, manifest)[0] == 0
    made = only_pod(control_plane, namespace)
    hub.add(flipped(repository, WEIGHTS))
    code, message = stage(made, tmp_path / "volume", tmp_path / "container")
    verdict = decode_verdict(message)
    assert verdict is not None, message
    assert (code, verdict.result, verdict.files) == (1, Result.REFUSED, (WEIGHTS,)), message
    assert not model_folder(made, tmp_path / "volume").exists()
    report(control_plane, made, code, message, CONTAINER)

    def told(kind: str) -> bool:
        return any(
            said.startswith("WeightsRefused ") and WEIGHTS in said
            for said in events(control_plane, namespace, kind)
        )

    assert eventually(lambda: told("Pod"), within=20)
    assert eventually(lambda: told("Deployment"), within=20)


def test_pod_in_which_another_webhook_has_changed_what_is_staged_is_refused(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(STAGED)
    arguments = (f"--model={repository.name}", f"--revision={repository.commit}")
    made = admitted(control_plane, pod(namespace, "first", spec(*arguments)))
    fields = ("initContainers", "containers", "volumes")
    copied = {key: made["spec"][key] for key in fields}
    assert init_names(made) == [CONTAINER]
    again = pod(namespace, "again", copied)
    assert apply(control_plane, again, dry_run=True)[0] == 0
    # What its author changes is put right; what nobody puts right any more is not let in.
    copied["initContainers"][0]["image"] = "busybox:1"
    code, said = apply(control_plane, again, dry_run=True)
    assert code == 0, said
    copied["containers"][0]["securityContext"] = {"privileged": True}
    code, said = apply(control_plane, again, dry_run=True)
    assert code != 0
    assert "[NotStageable]" in said


def test_staged_pod_keeps_its_containers(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(STAGED)
    arguments = (f"--model={repository.name}", f"--revision={repository.commit}")
    admitted(control_plane, pod(namespace, "m", spec(*arguments)))
    patch = {"spec": {"initContainers": [{"name": CONTAINER, "image": "busybox:1"}]}}
    done = control_plane.kubectl(
        *("patch", "pod", "m", "-n", namespace, "-p", json.dumps(patch)), check=False
    )
    assert done.returncode != 0
    assert f"the init container {CONTAINER} of a pod stays as it is" in done.stderr


def test_owner_of_what_cannot_be_staged_hears_what_to_write_instead(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(STAGED)
    made_of = spec()
    made_of["containers"][0]["command"] = ["python3", "-m", "dynamo.vllm"]
    made_of["containers"][0]["args"] = [
        f"--model={repository.name}",
        f"--revision={repository.commit}",
    ]

    # Has the evidence gathered; until it is there, all could still come right.
    apply(control_plane, deployment(namespace, "early", made_of))

    def said() -> str:
        return apply(control_plane, deployment(namespace, "m", made_of), dry_run=True)[1]

    assert eventually(lambda: "[NotStageable]" in said(), within=30), said()
    assert pods(control_plane, namespace) == []
    assert "hf download --revision" in said()
