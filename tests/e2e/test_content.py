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
from tests.e2e.asking import admitted
from tests.e2e.contents import (
    CLAIM,
    CONTENT,
    EMPTY,
    deployment,
    events,
    init_names,
    pod,
    pods,
    report,
    spec,
)
from tests.e2e.test_admission import apply
from tests.e2e.test_evidence import SIGNED, signed
from tests.e2e.verifier import run, verifying_container
from tests.hub.repositories import Repository
from tests.signing.models import write_model
from weighmaster.core.enforce.verification import LABEL
from weighmaster.core.evaluate.records import CONTENT_REPAIRED_AT, record_name
from weighmaster.core.mounted import CONTAINER, Result, decode_verdict

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")


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
