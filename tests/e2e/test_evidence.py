"""Evidence through a real API server: gathered from a hub on loopback, verified, decided by."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.test_admission import apply, pods
from tests.e2e.workloads import deployment, pod
from tests.hub.repositories import Repository, model
from tests.hub.server import Hub
from tests.signing.bundles import key_bundle, model_statement, public_pem, raw
from weighmaster.core.evaluate.records import record_name

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNED = {"signature": {"authorities": [{"key": {"pem": public_pem(KEY)}}]}}
CARD = b"---\nlicense: apache-2.0\n---\n# A model\n"


def signed(repository: Repository, key: ec.EllipticCurvePrivateKey = KEY) -> Repository:
    """The repository with a signature over all its files, as OMS wants it."""
    files = dict(repository.files)
    repository.files["model.sig"] = raw(key_bundle(model_statement(files), key))
    return repository


def arguments(repository: Repository) -> tuple[str, str]:
    """What a server says to load it, pinned."""
    return f"--model={repository.name}", f"--revision={repository.commit}"


def record(control_plane: ControlPlane, repository: Repository) -> Json:
    """The ModelRecord of a pinned repository; empty before there is one."""
    name = record_name(f"hf://{repository.name}@{repository.commit}")
    found = control_plane.kubectl("get", "modelrecord", name, "-o", "json", check=False)
    return json.loads(found.stdout) if found.returncode == 0 else {}


def outcome(control_plane: ControlPlane, namespace: str, repository: Repository) -> str:
    """What is said about a pod that serves a repository, once its evidence is there."""
    probe = pod(namespace, "probe", *arguments(repository))
    said = apply(control_plane, probe)[1]
    if "EvidenceNotAvailable" in said or "EvidencePending" in said:
        assert eventually(lambda: record(control_plane, repository).get("status", {}).get("state"))
        said = apply(control_plane, probe)[1]
    control_plane.kubectl("delete", "pod", "probe", "-n", namespace, "--ignore-not-found")
    return said


def test_deployment_made_before_its_evidence_comes_up_by_itself(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(signed(model(f"acme/{namespace}-late", {"README.md": CARD})))
    asked = 0

    async def slow(request: web.Request) -> None:
        nonlocal asked
        if repository.name in request.path and not asked:
            asked += 1
            await asyncio.sleep(6)

    hub.misbehave = slow
    policy(SIGNED)
    code, said = apply(control_plane, deployment(namespace, "late", *arguments(repository)))
    assert code == 0, said
    assert "Warning: Weighmaster:" in said
    assert pods(control_plane, namespace) == 0
    assert eventually(lambda: pods(control_plane, namespace) == 1, within=60)
    table = control_plane.kubectl("get", "modelrecords").stdout
    hub.misbehave = None
    assert f"{repository.name}@" in table
    assert "Apache-2.0" in table
    assert "Resolved" in table


def test_signed_model_is_admitted_and_its_cousins_are_refused_for_the_right_reason(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    def name(kind: str) -> str:
        return f"acme/{namespace}-{kind}"

    good = hub.add(signed(model(name("good"), {"README.md": CARD})))
    unsigned = hub.add(model(name("unsigned"), {"README.md": CARD}))
    tampered = hub.add(signed(model(name("tampered"), {"README.md": CARD})))
    tampered.files["model-00001-of-00002.safetensors"] += b"\x00"
    stranger = hub.add(signed(model(name("stranger"), {"README.md": CARD}), OTHER_KEY))
    copied = hub.add(model(name("copied"), {"README.md": CARD + b"copied\n"}))
    copied.files["model.sig"] = good.files["model.sig"]
    extra = hub.add(signed(model(name("extra"), {"README.md": CARD})))
    extra.files["evil.py"] = b"import os\n"
    policy(SIGNED)
    assert "created" in outcome(control_plane, namespace, good)
    for repository, found in (
        (unsigned, "has no signature"),
        (tampered, "differ from what was signed"),
        (stranger, "[NotSigned]"),
        (copied, "differ from what was signed"),
        (extra, "are there and not signed, and may be loaded"),
    ):
        said = outcome(control_plane, namespace, repository)
        assert "[NotSigned]" in said, repository.name
        assert found in said, said


def test_licence_format_and_lineage_are_decided_by_what_was_gathered(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    def name(kind: str) -> str:
        return f"acme/{namespace}-{kind}"

    gpl = hub.add(model(name("gpl"), {"README.md": CARD.replace(b"apache-2.0", b"gpl-3.0")}))
    pickled = Repository(
        name("pickled"),
        {"README.md": CARD, "pytorch_model.bin": b"\x80\x02}q\x00."},
        lfs={"pytorch_model.bin"},
    )
    hub.add(pickled)
    good = hub.add(model(name("plain"), {"README.md": CARD}))
    policy({"license": {"allow": ["Apache-2.0", "MIT"]}}, {"format": {"allow": ["safetensors"]}})
    assert "is under GPL-3.0" in outcome(control_plane, namespace, gpl)
    assert "has pickle files" in outcome(control_plane, namespace, pickled)
    assert "created" in outcome(control_plane, namespace, good)


def test_unpinned_model_is_told_the_commit_to_write(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(signed(model(f"acme/{namespace}-moving", {"README.md": CARD})))
    policy(SIGNED)
    probe = pod(namespace, "probe", f"--model={repository.name}")
    assert eventually(
        lambda: (
            f"write hf://{repository.name}@{repository.commit}"
            in apply(control_plane, probe, dry_run=False)[1]
        )
    )


def test_key_that_is_taken_out_of_a_policy_counts_no_more_at_once(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(signed(model(f"acme/{namespace}-revoked", {"README.md": CARD})))
    name = policy(SIGNED)
    assert "created" in outcome(control_plane, namespace, repository)
    policy({"signature": {"authorities": [{"key": {"pem": public_pem(OTHER_KEY)}}]}}, name=name)
    probe = pod(namespace, "probe", *arguments(repository))
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] != 0, within=5)
    assert eventually(lambda: "[NotSigned]" in apply(control_plane, probe, dry_run=True)[1])


def test_dry_run_asks_for_no_evidence(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-dry"))
    policy(SIGNED)
    probe = pod(namespace, "probe", *arguments(repository))
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] != 0)
    assert not eventually(lambda: bool(record(control_plane, repository)), within=3)


def test_many_pods_of_one_model_cause_one_gathering(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(signed(model(f"acme/{namespace}-storm", {"README.md": CARD})))
    policy(SIGNED)
    workload = deployment(namespace, "storm", *arguments(repository), replicas=20)
    assert apply(control_plane, workload)[0] == 0
    assert eventually(lambda: pods(control_plane, namespace) == 20, within=60)
    resolved = [seen for seen in hub.requests(repository.name) if "/revision/" in seen.path]
    assert len(resolved) == 1


def test_lineage_is_followed_to_the_model_that_others_were_made_from(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    root = hub.add(model(f"{namespace}-root/base", {"README.md": CARD}))
    named = CARD.replace(b"license", b"base_model: %s\nlicense" % root.name.encode())
    middle = hub.add(model(f"acme/{namespace}-middle", {"README.md": named}))
    made = CARD.replace(b"license", b"base_model: %s\nlicense" % middle.name.encode())
    child = hub.add(model(f"acme/{namespace}-child", {"README.md": made}))
    publisher = f"{namespace}-acme"
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ModelPublisher",
            "metadata": {"name": publisher},
            "spec": {"displayName": "Acme", "references": ["hf://acme/**"]},
        }
    )
    origin = {"publishers": {"allow": [publisher]}, "assurance": "Namespace"}
    policy({"origin": {**origin, "lineage": "Include"}})
    probe = pod(namespace, "probe", *arguments(child))
    assert eventually(
        lambda: f"was made from hf://{root.name}" in apply(control_plane, probe)[1], within=30
    )
    control_plane.kubectl("delete", "modelpublisher", publisher)


def test_record_notes_the_day_on_which_it_was_used(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(signed(model(f"acme/{namespace}-used", {"README.md": CARD})))
    policy(SIGNED)
    assert "created" in outcome(control_plane, namespace, repository)
    assert apply(control_plane, pod(namespace, "again", *arguments(repository)))[0] == 0

    def last_used() -> str:
        metadata: Json = record(control_plane, repository)["metadata"]
        return str(metadata.get("annotations", {}).get("weighmaster.dev/last-used", ""))

    assert eventually(lambda: last_used() >= "2026")
