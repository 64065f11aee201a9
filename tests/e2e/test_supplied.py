"""What people supply, through a real API server: credentials, signatures, statements, images."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.installation import SYSTEM_NAMESPACE, Installation
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.artifacts import Bench
from tests.e2e.test_admission import apply
from tests.e2e.test_evidence import CARD, KEY, SIGNED, arguments, outcome, record
from tests.e2e.workloads import deployment, pod
from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.signing.bundles import key_bundle, model_statement, raw
from weighmaster.core.evaluate.records import record_name

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")

LICENSED = {"license": {"allow": ["Apache-2.0"]}}
TOKEN = "hf_e2e_hunter2"


def put(control_plane: ControlPlane, kind: str, name: str, namespace: str, **entries: str) -> None:
    """A Secret or ConfigMap."""
    data = entries
    if kind == "Secret":
        data = {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    control_plane.apply(
        {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "data": data,
        }
    )


def supply(control_plane: ControlPlane, name: str, reference: str, **spec: Any) -> None:
    """A ModelRecord that people make."""
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ModelRecord",
            "metadata": {"name": name},
            "spec": {"reference": reference, **spec},
        }
    )


def said(control_plane: ControlPlane, workload: Json, text: str) -> bool:
    """Whether a text is said about a workload sooner or later."""
    return eventually(lambda: text in apply(control_plane, workload, dry_run=True)[1], within=30)


def test_gated_model_is_resolved_once_its_record_names_credentials(
    control_plane: ControlPlane,
    hub: Hub,
    namespace: str,
    policy: MakePolicy,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "token", TOKEN)
    repository = hub.add(model(f"acme/{namespace}-gated", {"README.md": CARD}))
    repository.gated = True
    policy(LICENSED)
    assert "spec.credentialsSecret" in outcome(control_plane, namespace, repository)
    name = record_name(f"hf://{repository.name}@{repository.commit}")
    secret = f"{namespace}-hf"
    patch = f'{{"spec": {{"credentialsSecret": "{secret}"}}}}'
    control_plane.kubectl("patch", "modelrecord", name, "--type", "merge", "-p", patch)
    probe = pod(namespace, "probe", *arguments(repository))
    assert said(control_plane, probe, f"Secret {secret} in namespace {SYSTEM_NAMESPACE}")
    # One of that name elsewhere is another Secret.
    put(control_plane, "Secret", secret, namespace, HF_TOKEN=TOKEN)
    put(control_plane, "Secret", secret, SYSTEM_NAMESPACE, HF_TOKEN=TOKEN)
    assert said(control_plane, probe, "created (server dry run)")
    status = record(control_plane, repository)["status"]
    assert status["state"] == "Resolved"
    assert TOKEN not in str(status) + installation.controller.log()


def test_unsigned_model_passes_by_a_detached_signature_until_that_is_gone(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-detached", {"README.md": CARD}))
    bundle = raw(key_bundle(model_statement(dict(repository.files)), KEY)).decode()
    put(control_plane, "ConfigMap", namespace, SYSTEM_NAMESPACE, value=bundle)
    signature = {"configMapRef": {"name": namespace}}
    reference = f"hf://{repository.name}@{repository.commit}"
    supply(control_plane, namespace, reference, signature=signature)
    policy(SIGNED)
    probe = pod(namespace, "probe", *arguments(repository))
    assert said(control_plane, probe, "created (server dry run)")
    control_plane.kubectl("delete", "configmap", namespace, "-n", SYSTEM_NAMESPACE)
    assert said(control_plane, probe, "does not exist; create it, or name another")
    control_plane.kubectl("delete", "modelrecord", namespace)


def test_licence_of_a_bucket_is_asserted_and_taken_back(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    reference = f"s3://{namespace}/llm"
    probe = pod(namespace, "probe", f"--model={reference}")
    name = policy({"license": {"allow": ["MIT"]}})
    assert said(control_plane, probe, "who may write a ModelRecord of it can assert facts there")
    supply(control_plane, namespace, reference, asserted={"license": "MIT"})
    assert said(control_plane, probe, "assertions: AnyReference would")
    policy({"license": {"allow": ["MIT"], "assertions": "AnyReference"}}, name=name)
    assert said(control_plane, probe, "created (server dry run)")
    table = control_plane.kubectl("get", "modelrecord", namespace).stdout
    assert "Asserted" in table
    assert "MIT" in table
    supply(control_plane, namespace, reference, asserted={"license": "GPL-3.0-only"})
    assert said(control_plane, probe, "is under GPL-3.0-only (asserted)")
    control_plane.kubectl("delete", "modelrecord", namespace)


def test_claim_of_another_namespace_is_not_what_was_asserted(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy
) -> None:
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
    probe = pod(namespace, "probe", "--model=/models/llm")
    probe["spec"]["volumes"] = [volume]
    probe["spec"]["containers"][0]["volumeMounts"] = [{"name": "models", "mountPath": "/models"}]
    policy({"license": {"allow": ["MIT"], "assertions": "AnyReference"}})
    fields = {"asserted": {"license": "MIT"}}
    supply(control_plane, f"{namespace}-other", "pvc://models/llm", namespace="other", **fields)
    assert said(control_plane, probe, "none can be gathered for pvc: references")
    supply(control_plane, namespace, "pvc://models/llm", namespace=namespace, **fields)
    assert said(control_plane, probe, "created (server dry run)")
    control_plane.kubectl("delete", "modelrecord", namespace, f"{namespace}-other")


def test_image_with_weights_in_it_passes_once_it_is_signed(
    control_plane: ControlPlane, bench: Bench, namespace: str, policy: MakePolicy
) -> None:
    signed, unsigned = bench.push(), bench.push()
    program = bench.programs["3.1"]
    program.sign(bench.name(signed))
    policy({"signature": {"authorities": [{"key": {"pem": program.public_key}}]}})

    def serving(digest: str) -> Json:
        probe = pod(namespace, f"probe-{digest[7:15]}", "/opt/models/llm")
        probe["spec"]["containers"][0] |= {
            "image": bench.name(digest),
            "command": ["vllm", "serve"],
        }
        return probe

    for digest in (signed, unsigned):
        apply(control_plane, serving(digest), dry_run=False)
    assert said(control_plane, serving(unsigned), "[NotSigned]")
    control_plane.kubectl("delete", "pod", "--all", "-n", namespace)
    assert said(control_plane, serving(signed), "created (server dry run)")


def test_stranger_who_takes_the_name_of_a_record_does_not_hold_up_its_evidence(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-taken", {"README.md": CARD}))
    name = record_name(f"hf://{repository.name}@{repository.commit}")
    supply(control_plane, name, f"hf://evil/{namespace}")
    policy(LICENSED)
    workload = deployment(namespace, "late", *arguments(repository))
    code, told = apply(control_plane, workload)
    assert code == 0, told
    assert said(
        control_plane, pod(namespace, "probe", *arguments(repository)), "created (server dry run)"
    )
    control_plane.kubectl("delete", "modelrecord", name)
