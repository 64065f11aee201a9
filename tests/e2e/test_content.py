"""Bytes that are verified before start, through a real API server.

There is no kubelet: what it would run is run here, from the pod as it was admitted, and what it
would write into the pod's status is written by the test.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.installation import OWN_IMAGE
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.test_admission import apply
from tests.e2e.test_evidence import SIGNED, signed
from tests.e2e.verifier import run, verifying_container
from tests.e2e.webhooks import mutating
from tests.hub.repositories import Repository, model
from tests.hub.server import Hub
from tests.signing.models import write_model
from weighmaster.core.enforce.verification import LABEL
from weighmaster.core.evaluate.records import CONTENT_REPAIRED_AT, record_name
from weighmaster.core.mounted import CONTAINER, Result, decode_verdict

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")

CONTENT = {"content": {"verify": "BeforeStart"}}
EMPTY: Json = {"emptyDir": {}}
CLAIM: Json = {"persistentVolumeClaim": {"claimName": "models"}}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(repository: Repository, source: Json) -> Json:
    """A server, and an init container that fetches its model to a volume."""
    command = [
        *("hf", "download", repository.name, f"--revision={repository.commit}"),
        "--local-dir=/data/m",
    ]
    return {
        "initContainers": [
            {
                "name": "fetch",
                "image": "python:3.12",
                "command": command,
                "securityContext": RESTRICTED,
                "volumeMounts": [{"name": "weights", "mountPath": "/data"}],
            }
        ],
        "containers": [
            {
                "name": "vllm",
                "image": "vllm/vllm-openai:v0.11.0",
                "args": ["--model=/models/m"],
                "securityContext": RESTRICTED,
                "volumeMounts": [{"name": "weights", "mountPath": "/models"}],
            }
        ],
        "volumes": [{"name": "weights", **source}],
    }


def pod(namespace: str, name: str, made_of: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made_of}


def deployment(namespace: str, name: str, made_of: Json) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": made_of}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def pods(control_plane: ControlPlane, namespace: str) -> list[Json]:
    found = control_plane.kubectl("get", "pods", "-n", namespace, "-o", "json").stdout
    listed: list[Json] = json.loads(found)["items"]
    return listed


def admitted(control_plane: ControlPlane, manifest: Json) -> Json:
    """A pod as it was admitted, once its evidence is there."""
    namespace, name = (manifest["metadata"][key] for key in ("namespace", "name"))
    said = ""

    def created() -> bool:
        nonlocal said
        code, said = apply(control_plane, manifest)
        return code == 0

    assert eventually(created, within=30), said
    found = control_plane.kubectl("get", "pod", name, "-n", namespace, "-o", "json").stdout
    document: Json = json.loads(found)
    return document


def init_names(document: Json) -> list[str]:
    return [container["name"] for container in document["spec"]["initContainers"]]


@pytest.fixture
def repository(hub: Hub, namespace: str) -> Repository:
    return hub.add(model(f"acme/{namespace}-m", {"README.md": b"# A model\n"}))


@pytest.fixture
def volume(tmp_path: Path, repository: Repository) -> Path:
    """A volume on which the repository was fetched."""
    write_model(tmp_path / "volume" / "m", repository.files)
    return tmp_path / "volume"


def test_deployment_comes_up_with_its_verification_where_pod_security_is_restricted(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    volume: Path,
    tmp_path: Path,
) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl("label", "namespace", namespace, label)
    policy(CONTENT)
    code, said = apply(control_plane, deployment(namespace, "m", spec(repository, CLAIM)))
    assert code == 0, said
    assert eventually(lambda: len(pods(control_plane, namespace)) == 1, within=60)
    (made,) = pods(control_plane, namespace)
    assert init_names(made) == ["fetch", CONTAINER]
    assert made["metadata"]["labels"][LABEL] == "true"
    assert verifying_container(made)["image"] == OWN_IMAGE
    (server,) = made["spec"]["containers"]
    assert server["volumeMounts"][0]["readOnly"] is True
    code, message = run(made, {"weights": volume}, tmp_path / "container")
    verdict = decode_verdict(message)
    assert verdict is not None, message
    assert (code, verdict.result) == (0, Result.VERIFIED)
    assert verdict.verified[0].reference == f"hf://{repository.name}@{repository.commit}"


def test_flipped_byte_keeps_the_server_from_starting(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    volume: Path,
    tmp_path: Path,
) -> None:
    policy(CONTENT)
    made = admitted(control_plane, pod(namespace, "m", spec(repository, EMPTY)))
    assert run(made, {"weights": volume}, tmp_path / "clean")[0] == 0
    victim = volume / "m/model-00001-of-00002.safetensors"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    code, message = run(made, {"weights": volume}, tmp_path / "flipped")
    verdict = decode_verdict(message)
    assert verdict is not None, message
    assert (code, verdict.result, verdict.files) == (1, Result.REFUSED, (victim.name,))


def report(control_plane: ControlPlane, made: Json, code: int, message: str) -> None:
    """Write into a pod's status what a kubelet would once the verifying container has ended."""
    terminated = {
        "exitCode": code,
        "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "startedAt": None,
        "message": message,
    }
    container = verifying_container(made)
    status = {
        "name": CONTAINER,
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    metadata = made["metadata"]
    control_plane.kubectl(
        *("patch", "pod", metadata["name"], "-n", metadata["namespace"], "--subresource=status"),
        *("--type=merge", "-p", json.dumps({"status": {"initContainerStatuses": [status]}})),
    )


def events(control_plane: ControlPlane, namespace: str, kind: str) -> list[str]:
    found = control_plane.kubectl("get", "events", "-n", namespace, "-o", "json").stdout
    return [
        f"{event['reason']} {event['message']}"
        for event in json.loads(found)["items"]
        if event["involvedObject"]["kind"] == kind
    ]


def test_flipped_byte_on_a_claim_is_told_by_name_and_keeps_the_next_pod_out_until_it_is_mended(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    volume: Path,
    tmp_path: Path,
) -> None:
    policy(CONTENT)
    manifest = deployment(namespace, "m", spec(repository, CLAIM))
    assert apply(control_plane, manifest)[0] == 0
    assert eventually(lambda: len(pods(control_plane, namespace)) == 1, within=60)
    (made,) = pods(control_plane, namespace)
    victim = volume / "m/model-00002-of-00002.safetensors"
    right = victim.read_bytes()
    victim.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    report(control_plane, made, *run(made, {"weights": volume}, tmp_path / "flipped"))

    def told(kind: str) -> bool:
        return any(
            said.startswith("WeightsRefused ") and victim.name in said
            for said in events(control_plane, namespace, kind)
        )

    assert eventually(lambda: told("Pod"), within=20)
    assert eventually(lambda: told("Deployment"), within=20)

    other = pod(namespace, "next", spec(repository, CLAIM))

    def said() -> str:
        return apply(control_plane, other, dry_run=True)[1]

    assert eventually(lambda: "[ContentRefused]" in said(), within=20), said()
    message = said()
    assert victim.name in message
    name = record_name(f"pvc://models/m in {namespace}")
    assert f"kubectl annotate --overwrite modelrecord {name}" in message
    # A claim of the same name elsewhere is another claim, and the model itself is not to blame.
    fresh = pod(namespace, "fresh", spec(repository, EMPTY))
    assert apply(control_plane, fresh, dry_run=True)[0] == 0
    victim.write_bytes(right)
    now = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    control_plane.kubectl(
        *("annotate", "--overwrite", "modelrecord", name, f"{CONTENT_REPAIRED_AT}={now}")
    )
    assert eventually(lambda: apply(control_plane, other, dry_run=True)[0] == 0, within=20), said()
    # And the pod that found it verifies again, being started again by the kubelet.
    report(control_plane, made, *run(made, {"weights": volume}, tmp_path / "mended"))

    def outcome() -> str:
        found = control_plane.kubectl("get", "modelrecord", name, "-o", "json").stdout
        (entry,) = json.loads(found)["status"]["content"]
        return str(entry["outcome"])

    assert eventually(lambda: outcome() == "Verified", within=20)


def test_verdict_of_a_container_that_is_not_ours_is_not_believed(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    """Where no policy is about them, pods may bear the label and the name."""
    del policy
    made_of = spec(repository, CLAIM)
    forged = {
        "name": CONTAINER,
        "image": OWN_IMAGE,
        "command": ["sh", "-c", "true"],
    }
    made_of["initContainers"].append(forged)
    manifest = pod(namespace, "forged", made_of)
    manifest["metadata"]["labels"] = {LABEL: "true"}
    made = admitted(control_plane, manifest)
    verdict = {"result": "refused", "reason": "Mismatch", "store": "pvc://models/m"}
    report(control_plane, made, 1, json.dumps({**verdict, "reference": "pvc://models/m"}))
    name = record_name(f"pvc://models/m in {namespace}")
    assert not eventually(
        lambda: control_plane.kubectl("get", "modelrecord", name, check=False).returncode == 0,
        within=4,
    )
    assert events(control_plane, namespace, "Pod") == []


def test_existing_pod_keeps_its_verification(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(CONTENT)
    made = admitted(control_plane, pod(namespace, "m", spec(repository, EMPTY)))
    index = init_names(made).index(CONTAINER)
    for patch in (
        {"op": "replace", "path": f"/spec/initContainers/{index}/image", "value": "busybox"},
        {"op": "remove", "path": f"/metadata/labels/{LABEL.replace('/', '~1')}"},
    ):
        result = control_plane.kubectl(
            *("patch", "pod", "m", "-n", namespace, "--type=json", "-p", json.dumps([patch])),
            check=False,
        )
        assert "[VerificationProtected]" in result.stderr or "stays" in result.stderr, result
        assert result.returncode != 0
    control_plane.kubectl("annotate", "pod", "m", "-n", namespace, "anything=else")
    debugger = {
        "name": "debugger",
        "image": "busybox",
        "targetContainerName": "vllm",
        "volumeMounts": [{"name": "weights", "mountPath": "/w"}],
    }
    control_plane.kubectl(
        *("patch", "pod", "m", "-n", namespace, "--subresource=ephemeralcontainers"),
        *("-p", json.dumps({"spec": {"ephemeralContainers": [debugger]}})),
    )
    (now,) = pods(control_plane, namespace)
    (mount,) = now["spec"]["ephemeralContainers"][0]["volumeMounts"]
    assert mount["readOnly"] is True


def injecting(container: Json) -> Callable[[Json], list[Json]]:
    """Appends an init container, unless it is there."""

    def change(document: Json) -> list[Json]:
        listed = document["spec"].get("initContainers") or []
        if any(each["name"] == container["name"] for each in listed):
            return []
        if not listed:
            return [{"op": "add", "path": "/spec/initContainers", "value": [container]}]
        return [{"op": "add", "path": "/spec/initContainers/-", "value": container}]

    return change


def test_init_container_that_another_webhook_adds_later_comes_before_the_verification(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(CONTENT)
    late = {
        "name": "late",
        "image": "busybox",
        "volumeMounts": [{"name": "weights", "mountPath": "/w"}],
    }
    first = admitted(control_plane, pod(namespace, "first", spec(repository, EMPTY)))
    assert init_names(first) == ["fetch", CONTAINER]
    with mutating(control_plane, namespace, injecting(late)):
        manifest = pod(namespace, "m", spec(repository, EMPTY))
        manifest["spec"]["volumes"].append({"name": "scratch", "emptyDir": {}})
        made = admitted(control_plane, manifest)
    assert init_names(made) == ["fetch", "late", CONTAINER]


def test_what_kserve_adds_later_is_verified_too(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    """The shape of KServe's storage initializer, which its own webhook puts into the pods."""
    policy(CONTENT)
    initializer = {
        "name": "storage-initializer",
        "image": "kserve/storage-initializer:v0.15.0",
        "args": [f"hf://{repository.name}:{repository.commit}", "/mnt/models"],
        "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
    }
    mount = {
        "name": "kserve-provision-location",
        "mountPath": "/mnt/models",
        "readOnly": True,
    }
    server = {
        "name": "kserve-container",
        "image": "kserve/huggingfaceserver:v0.15.0",
        "args": ["--model_name=m", "--model_dir=/mnt/models"],
        "volumeMounts": [mount],
    }
    made_of = {
        "containers": [server],
        "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
    }

    def change(document: Json) -> list[Json]:
        return [] if document["spec"]["containers"][0]["name"] == "shell" else inject(document)

    inject = injecting(initializer)
    with mutating(control_plane, namespace, change):
        made = admitted(control_plane, pod(namespace, "m", made_of))
    assert init_names(made) == ["storage-initializer", CONTAINER]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/spec/containers/0/volumeMounts/0/readOnly", False),
        ("/spec/initContainers/1/image", "busybox"),
        ("/spec/initContainers/1/env/0/value", "[]"),
        ("/spec/initContainers/1/command", ["true"]),
    ],
)
def test_what_another_webhook_changes_after_the_verification_was_added_is_refused(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    path: str,
    value: object,
) -> None:
    policy(CONTENT)
    admitted(control_plane, pod(namespace, "before", spec(repository, EMPTY)))

    def change(document: Json) -> list[Json]:
        listed = document["spec"].get("initContainers") or []
        if len(listed) < 2:
            return []
        return [{"op": "replace", "path": path, "value": value}]

    with mutating(control_plane, namespace, change, reinvocation="IfNeeded"):
        code, said = apply(control_plane, pod(namespace, "m", spec(repository, EMPTY)))
    assert code != 0
    assert "[VerificationIncomplete]" in said


def test_weights_on_a_claim_are_verified_by_the_signature_beside_them(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    tmp_path: Path,
) -> None:
    policy(SIGNED)
    made_of = spec(repository, CLAIM)
    del made_of["initContainers"]
    made = admitted(control_plane, pod(namespace, "m", made_of))
    assert init_names(made) == [CONTAINER]
    write_model(tmp_path / "volume" / "m", signed(repository).files)
    assert run(made, {"weights": tmp_path / "volume"}, tmp_path / "clean")[0] == 0
    (tmp_path / "volume/m/evil.py").write_bytes(b"evil")
    code, message = run(made, {"weights": tmp_path / "volume"}, tmp_path / "extra")
    verdict = decode_verdict(message)
    assert verdict is not None
    assert (code, verdict.reason, verdict.files) == (1, "IncompleteCoverage", ("evil.py",))
