"""The webhook asks for evidence that is missing, and waits for it a little."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NoReturn

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.admission.reviews import UID, assert_refusal, body, response_of
from tests.unit.cluster.test_requests import FakeClient, FakeStore
from tests.unit.core.builders import NOW, pod, policy
from weighmaster.admission.handler import AdmissionHandler
from weighmaster.cluster.requests import EvidenceRequests
from weighmaster.core.evaluate.facilities import Cluster
from weighmaster.core.evaluate.records import Record
from weighmaster.telemetry import AdmissionMetrics

COMMIT = "a" * 40
REFERENCE = f"hf://acme/m@{COMMIT}"
LICENSED = {"license": {"allow": ["MIT"]}}
GOOD = {"state": "Resolved", "resolved": REFERENCE, "license": "MIT"}
Json = dict[str, Any]


class FakeEvidence:
    """Notes what is asked for; waiting lasts until it is told otherwise."""

    def __init__(self, gathered: Callable[[], None] | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.waited: list[tuple[str, ...]] = []
        self.noted: list[str] = []
        self.gathered = gathered

    def ask(self, references: tuple[str, ...]) -> None:
        self.asked.append(references)

    async def settled(self, references: tuple[str, ...]) -> bool:
        self.waited.append(references)
        if self.gathered is None:
            return False
        self.gathered()
        return True

    def used(self, records: Iterable[Record], day: str) -> None:
        self.noted += [f"{record.reference} {day}" for record in records]


def store_with(*rules: Json) -> FakeStore:
    store = FakeStore()
    store.held.update("clustermodelpolicies", policy(*(rules or (LICENSED,))))
    return store


def handler_of(store: FakeStore, evidence: Any) -> AdmissionHandler:
    def clock() -> datetime:
        return NOW

    metrics = AdmissionMetrics(CollectorRegistry())
    return AdmissionHandler(store, metrics, clock=clock, evidence=evidence)


def server(model: str = "acme/m", **metadata: Any) -> Json:
    made = pod(model, **metadata)
    made["spec"]["containers"][0]["args"] += ["--revision", COMMIT]
    return made


async def test_mutating_stage_asks_for_evidence_and_does_not_wait() -> None:
    evidence = FakeEvidence()
    answer = await handler_of(store_with(), evidence).answer("/mutate", body(server()))
    assert response_of(answer.body)["allowed"] is True
    assert evidence.asked == [(REFERENCE,)]
    assert evidence.waited == []


async def test_mutating_stage_waits_before_it_confines_what_may_be_found_good() -> None:
    sandboxing = policy(
        LICENSED,
        enforcement={"action": "Deny", "onUnknown": "Sandbox", "sandboxProfile": "isolated"},
    )
    store = store_with()
    store.held.update("clustermodelpolicies", sandboxing)
    store.held.update("sandboxprofiles", {"metadata": {"name": "isolated"}, "spec": {}})
    store.around = Cluster(isolating=True)
    handler = handler_of(store, FakeEvidence())
    confined = json.loads(patch_of((await handler.answer("/mutate", body(server()))).body))
    assert "/spec/automountServiceAccountToken" in [change["path"] for change in confined]
    evidence = FakeEvidence(lambda: store.put(REFERENCE, **GOOD))
    handler = handler_of(store, evidence)
    marked = json.loads(patch_of((await handler.answer("/mutate", body(server()))).body))
    assert [change["path"] for change in marked] == ["/metadata/annotations"]
    assert evidence.waited == [(REFERENCE,)]


async def test_mutating_stage_waits_to_give_a_pod_its_verification() -> None:
    """A pod gets it there or not at all; what makes pods only has to be told."""
    placed = server("/models/m")
    placed["spec"]["volumes"] = [{"name": "w", "emptyDir": {}}]
    mount = {"name": "w", "mountPath": "/models"}
    placed["spec"]["containers"][0]["volumeMounts"] = [mount]
    command = ["hf", "download", "acme/m", f"--revision={COMMIT}", "--local-dir=/models/m"]
    fetch = {"name": "f", "image": "python:3", "command": command, "volumeMounts": [mount]}
    placed["spec"]["initContainers"] = [fetch]
    template = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m"}}
    deployment = {**template, "spec": {"template": {"spec": placed["spec"]}}}
    content = {"content": {"verify": "BeforeStart"}}
    evidence = FakeEvidence()
    await handler_of(store_with(content), evidence).answer("/mutate", body(deployment))
    assert (evidence.asked, evidence.waited) == ([(REFERENCE,)], [])
    store = store_with(content)
    evidence = FakeEvidence(
        lambda: store.put(REFERENCE, **GOOD, loadableDigest=f"sha256:{'b' * 64}")
    )
    made = json.loads(
        patch_of((await handler_of(store, evidence).answer("/mutate", body(placed))).body)
    )
    assert evidence.waited == [(REFERENCE,)]
    assert "/spec/initContainers/1" in [change["path"] for change in made]


def patch_of(answer: bytes) -> bytes:
    return base64.b64decode(response_of(answer)["patch"])


async def test_validating_stage_waits_and_judges_again() -> None:
    store = store_with()
    evidence = FakeEvidence(lambda: store.put(REFERENCE, **GOOD))
    answer = await handler_of(store, evidence).answer("/validate", body(server()))
    assert response_of(answer.body)["allowed"] is True
    assert evidence.asked == evidence.waited == [(REFERENCE,)]
    assert evidence.noted == [f"{REFERENCE} 2026-11-24"]


async def test_evidence_that_has_expired_is_waited_for_and_never_counts() -> None:
    store = store_with()
    store.put(REFERENCE, **GOOD, expiresAt="2026-11-24T11:59:00Z")
    evidence = FakeEvidence()
    answer = await handler_of(store, evidence).answer("/validate", body(server()))
    response = assert_refusal(answer.body)
    assert response["status"]["details"]["causes"][0]["reason"] == "EvidencePending"
    assert evidence.waited == [(REFERENCE,)]
    evidence = FakeEvidence(lambda: store.put(REFERENCE, **GOOD, expiresAt="2026-11-24T13:00:00Z"))
    answer = await handler_of(store, evidence).answer("/validate", body(server()))
    assert response_of(answer.body)["allowed"] is True


async def test_pod_whose_evidence_is_not_there_in_time_is_refused() -> None:
    evidence = FakeEvidence()
    answer = await handler_of(store_with(), evidence).answer("/validate", body(server()))
    response = assert_refusal(answer.body)
    assert response["uid"] == UID
    assert response["status"]["details"]["causes"][0]["reason"] == "EvidenceNotAvailable"


async def test_evidence_that_speaks_against_the_pod_refuses_it() -> None:
    store = store_with()
    evidence = FakeEvidence(lambda: store.put(REFERENCE, **{**GOOD, "license": "GPL-3.0-only"}))
    answer = await handler_of(store, evidence).answer("/validate", body(server()))
    response = assert_refusal(answer.body)
    assert response["status"]["details"]["causes"][0]["reason"] == "LicenseNotAllowed"


async def test_policy_that_changes_while_a_request_waits_counts() -> None:
    store = store_with()

    def meanwhile() -> None:
        store.put(REFERENCE, **GOOD)
        stricter = policy({"license": {"allow": ["Apache-2.0"]}})
        store.held.update("clustermodelpolicies", stricter)

    answer = await handler_of(store, FakeEvidence(meanwhile)).answer("/validate", body(server()))
    assert_refusal(answer.body)


async def test_store_that_is_lost_while_a_request_waits_refuses_it() -> None:
    store = store_with()

    def meanwhile() -> None:
        store.ready = False

    answer = await handler_of(store, FakeEvidence(meanwhile)).answer("/validate", body(server()))
    assert assert_refusal(answer.body)["status"]["code"] == 503


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
async def test_dry_run_has_no_side_effect(path: str) -> None:
    store = store_with()
    evidence = FakeEvidence(lambda: store.put(REFERENCE, **GOOD))
    handler = handler_of(store, evidence)
    await handler.answer(path, body(server(), dryRun=True))
    store.put(REFERENCE, **GOOD)
    await handler.answer(path, body(server(), dryRun=True))
    assert evidence.asked == evidence.waited == []
    assert evidence.noted == []


async def test_nothing_is_asked_for_where_no_rule_needs_evidence() -> None:
    evidence = FakeEvidence()
    handler = handler_of(store_with({"reference": {"require": ["Known"]}}), evidence)
    answer = await handler.answer("/validate", body(server()))
    assert response_of(answer.body)["allowed"] is True
    assert evidence.asked == evidence.waited == []


async def test_nothing_is_asked_for_when_evidence_is_there() -> None:
    store = store_with()
    store.put(REFERENCE, **GOOD)
    evidence = FakeEvidence()
    await handler_of(store, evidence).answer("/validate", body(server()))
    assert evidence.asked == evidence.waited == []
    assert evidence.noted == [f"{REFERENCE} 2026-11-24"]


@pytest.mark.parametrize("request_body", [b"", b"{", b"[]", body(None), body({"kind": 5})])
async def test_broken_request_asks_for_nothing(request_body: bytes) -> None:
    evidence = FakeEvidence()
    answer = await handler_of(store_with(), evidence).answer("/validate", request_body)
    assert answer.status in (200, 400)
    assert evidence.asked == evidence.waited == []


async def test_unknown_path_asks_for_nothing() -> None:
    evidence = FakeEvidence()
    answer = await handler_of(store_with(), evidence).answer("/validate/x", body(server()))
    assert_refusal(answer.body)
    assert evidence.asked == []


async def test_object_with_many_models_asks_for_all_of_them() -> None:
    evidence = FakeEvidence()
    models = [f"acme/m{n}" for n in range(20)]
    made = pod(*models)
    for container in made["spec"]["containers"]:
        container["args"] += ["--revision", COMMIT]
    await handler_of(store_with(), evidence).answer("/validate", body(made))
    assert evidence.asked == [tuple(f"hf://{model}@{COMMIT}" for model in models)]


@pytest.mark.parametrize("failing", ["ask", "settled", "used"])
async def test_failure_of_whoever_gathers_is_a_refusal(failing: str) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("a defect")

    evidence = FakeEvidence()
    setattr(evidence, failing, fail)
    store = store_with()
    if failing == "used":
        store.put(REFERENCE, **GOOD)
    answer = await handler_of(store, evidence).answer("/validate", body(server()))
    response = assert_refusal(answer.body)
    assert response["uid"] == UID
    assert response["status"]["code"] == 500


async def test_requests_that_wait_do_not_hold_up_others() -> None:
    store = store_with()
    client = FakeClient()
    requests = EvidenceRequests(client, store, 30)
    sending = asyncio.create_task(requests.run())
    handler = handler_of(store, requests)
    waiting = [asyncio.create_task(handler.answer("/validate", body(server()))) for _ in range(200)]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in waiting)
    async with asyncio.timeout(10):
        other = await handler.answer("/validate", body({"apiVersion": "v1", "kind": "ConfigMap"}))
    assert response_of(other.body)["allowed"] is True
    store.put(REFERENCE, **GOOD)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*waiting)
    assert all(response_of(answer.body)["allowed"] for answer in answers)
    assert client.created == [REFERENCE]
    sending.cancel()


async def test_request_waits_no_longer_than_it_may() -> None:
    store = store_with()
    requests = EvidenceRequests(FakeClient(), store, 0.05)
    sending = asyncio.create_task(requests.run())
    started = asyncio.get_running_loop().time()
    answer = await handler_of(store, requests).answer("/validate", body(server()))
    assert asyncio.get_running_loop().time() - started < 1
    assert_refusal(answer.body)
    sending.cancel()


async def test_deployment_is_let_through_while_its_evidence_is_gathered() -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"template": {"spec": server()["spec"]}},
    }
    answer = await handler_of(store_with(), FakeEvidence()).answer("/validate", body(deployment))
    response = response_of(answer.body)
    assert response["allowed"] is True
    assert response["auditAnnotations"]["pending"] == "true"
    assert "EvidenceNotAvailable" in response["warnings"][0]
