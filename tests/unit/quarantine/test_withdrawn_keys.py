"""Pods whose bytes were verified by a key that is withdrawn."""

import json
from typing import Any

import pytest

from tests.unit.cluster.conftest import eventually
from tests.unit.quarantine.cluster import MemoryCluster
from tests.unit.quarantine.conftest import IMAGE, Start, pass_by, quiet
from tests.unit.quarantine.situations import confined, pod, quarantining, running_status
from tests.unit.records.cluster import Time
from weighmaster.core.enforce.verification.container import verifying_container
from weighmaster.core.installation import Installation
from weighmaster.core.mounted import Expectation, Signatures, Signer

Json = dict[str, Any]


def pem(name: str) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{name}\n-----END PUBLIC KEY-----\n"


def content(*keys: str) -> Json:
    authorities = [{"key": {"pem": pem(key)}} for key in keys]
    return {"content": {"verify": "BeforeStart", "authorities": authorities}}


def verified(*keys: str, image: str = IMAGE, name: str = "server") -> Json:
    """A pod that serves from a claim, as a webhook has made it that was told of these keys."""
    authorities = tuple((Signer(key=pem(key)),) for key in keys)
    expectation = Expectation(
        reference="pvc://models/m",
        mount="0",
        path="m",
        store="pvc://models/m",
        signatures=(Signatures(authorities=authorities),),
    )
    mounts = [("weights", "")]
    container = verifying_container(Installation(image=image), (expectation,), mounts, {})
    made = pod(name)
    server = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.11.0",
        "args": ["--model=/models/m"],
        "volumeMounts": [{"name": "weights", "mountPath": "/models", "readOnly": True}],
    }
    claim = {"name": "weights", "persistentVolumeClaim": {"claimName": "models"}}
    made["spec"] = {"initContainers": [container], "containers": [server], "volumes": [claim]}
    return made


def found(made: Json, *signers: int) -> Json:
    """The pod once its container has ended; ``signers`` are the numbers of those who signed."""
    proofs = [[{"by": [number]} for number in signers]]
    verdict = {
        "result": "verified",
        "verified": [{"reference": "pvc://models/m", "proofs": proofs}],
    }
    terminated = {"finishedAt": "2026-11-24T11:00:01Z", "message": json.dumps(verdict)}
    status = {"name": "weighmaster-verify", "state": {"terminated": terminated}}
    return {**made, "status": {**made["status"], "initContainerStatuses": [status]}}


async def test_pod_that_was_verified_by_a_withdrawn_key_is_quarantined(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(found(verified("acme"), 0))
    cluster.put(quarantining(content("acme")))
    start()
    await pass_by(time, 10)
    assert confined(cluster) == []
    cluster.put(quarantining(content("bank")))
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    assert "[NotSigned]" in cluster.events("Quarantined")[0]["message"]
    cluster.put(quarantining(content("bank", "acme")))
    await pass_by(time, 12)
    await eventually(lambda: confined(cluster) == [])


async def test_verdict_that_comes_later_is_taken_into_account(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    made = verified("acme", "bank")
    cluster.put(made)
    cluster.put(quarantining(content("bank")))
    start()
    await pass_by(time, 4)
    await eventually(lambda: running_status(cluster).get("undecided") == 1)
    assert confined(cluster) == []
    cluster.put(found(made, 0))
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])


async def test_pods_that_were_signed_by_others_are_told_apart(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    for name, signers in (("one", (0,)), ("two", (1,)), ("three", (0, 1))):
        cluster.put(found(verified("acme", "bank", name=name), *signers))
    cluster.put(quarantining(content("bank")))
    start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["one"])
    await quiet()
    assert confined(cluster) == ["one"]


@pytest.mark.parametrize("image", ["", "evil.example/weighmaster@sha256:" + "0" * 64])
async def test_pod_without_our_verification_is_undecided_and_left_alone(
    cluster: MemoryCluster, start: Start, time: Time, image: str
) -> None:
    made = found(verified("acme", image=image or IMAGE), 0)
    if not image:
        del made["spec"]["initContainers"]
    cluster.put(made)
    cluster.put(quarantining(content("bank")))
    start()
    await pass_by(time, 4)
    await eventually(lambda: running_status(cluster).get("undecided") == 1)
    assert confined(cluster) == []
