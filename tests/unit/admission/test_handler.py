"""The handler answers by policy, and refuses whenever it cannot."""

import json
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from tests.unit.admission.reviews import (
    UID,
    FixedStore,
    assert_refusal,
    body,
    new_handler,
    response_of,
)
from tests.unit.core.builders import NOW, pod, policy, snapshot
from weighmaster.admission import handler as handler_module
from weighmaster.admission.handler import MAX_KINDS, AdmissionHandler
from weighmaster.telemetry import AdmissionMetrics

SECRET = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"


def test_violation_is_refused_with_the_decision() -> None:
    answer = new_handler().handle("/validate", body(pod("$MODEL")))
    response = assert_refusal(answer.body)
    assert answer.status == 200
    assert response["uid"] == UID
    assert response["status"]["code"] == 403
    assert response["status"]["details"]["causes"][0]["reason"] == "WeightsNotNamed"
    assert response["auditAnnotations"]["decision"] == "Deny"


def test_compliant_object_is_allowed_with_audit_annotations() -> None:
    response = response_of(new_handler().handle("/validate", body(pod("acme/m"))).body)
    assert response["allowed"] is True
    assert response["auditAnnotations"]["models"] == "hf://acme/m"


def test_mutating_stage_records_the_decision_and_refuses_nothing() -> None:
    response = response_of(new_handler().handle("/mutate", body(pod("$MODEL"))).body)
    assert response["allowed"] is True
    assert response["patch"]


@pytest.mark.parametrize(
    "path",
    ["", "/", "/validate/", "//validate", "/Validate", "/validate?x=1", "/validate/x", "/mutate "],
)
def test_unknown_path_is_refused(path: str) -> None:
    response = assert_refusal(new_handler().handle(path, body(pod("acme/m"))).body)
    assert response["status"]["code"] == 404


def test_nothing_is_allowed_before_policies_are_known() -> None:
    handler = new_handler(ready=False)
    for operation in ("CREATE", "UPDATE", "DELETE"):
        response = assert_refusal(
            handler.handle("/validate", body(pod("acme/m"), operation=operation)).body
        )
        assert response["status"]["code"] == 503


@pytest.mark.parametrize(
    "failure", [RuntimeError(SECRET), KeyError(SECRET), RecursionError(SECRET), MemoryError(SECRET)]
)
def test_unexpected_failure_is_a_refusal_without_its_text(failure: Exception) -> None:
    handler = new_handler(failure)
    with capture_logs() as logs:
        answer = handler.handle("/validate", body(pod("acme/m", annotations={"token": SECRET})))
    response = assert_refusal(answer.body)
    assert response["uid"] == UID
    assert response["status"]["code"] == 500
    assert SECRET not in answer.body.decode()
    assert SECRET not in repr(logs)
    assert logs[0]["error"] == type(failure).__name__
    assert any("reviews.py" in where for where in logs[0]["where"])


def test_failure_of_the_pipeline_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(handler_module, "review", fail)
    answer = new_handler().handle("/validate", body(pod("acme/m")))
    assert SECRET not in answer.body.decode()
    assert_refusal(answer.body)


def test_logs_stay_on_one_line_whatever_an_object_is_called() -> None:
    evil = pod("$MODEL", name='x\n{"event":"decision","allowed":true}')
    with capture_logs() as logs:
        new_handler().handle("/validate", body(evil))
    assert "\n" not in json.dumps(logs)


def test_made_up_kinds_do_not_grow_the_metrics() -> None:
    registry = CollectorRegistry()
    handler = AdmissionHandler(
        FixedStore(snapshot(policy())), AdmissionMetrics(registry), lambda: NOW
    )
    for number in range(MAX_KINDS + 200):
        handler.handle("/validate", body({**pod("acme/m"), "kind": f"Kind{number}"}))
    handler.handle("/validate", body({**pod("acme/m"), "kind": "K" * 10_000}))
    text = generate_latest(registry).decode()
    assert text.count("weighmaster_admission_requests_total{") <= MAX_KINDS + 2
    assert 'kind="other"' in text
    assert "KKKKKKKKK" not in text


def test_every_answer_is_counted_and_timed() -> None:
    registry = CollectorRegistry()
    handler = AdmissionHandler(
        FixedStore(snapshot(policy())), AdmissionMetrics(registry), lambda: NOW
    )
    handler.handle("/validate", body(pod("acme/m")))
    handler.handle("/validate", body(pod("$MODEL")))
    handler.handle("/validate", b"")
    value = registry.get_sample_value
    requests = "weighmaster_admission_requests_total"
    assert value(requests, {"stage": "validate", "kind": "Pod", "decision": "Allow"}) == 1
    assert value(requests, {"stage": "validate", "kind": "Pod", "decision": "Deny"}) == 1
    assert value("weighmaster_admission_duration_seconds_count", {"stage": "validate"}) == 3
    refusals = {"stage": "validate", "reason": "MalformedRequest"}
    assert value("weighmaster_admission_refusals_total", refusals) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "x/v1", "kind": "X", "spec": [{}] * 300_000},
        {"apiVersion": "x/v1", "kind": "X", "spec": [[]] * 300_000},
        pod(*["acme/m"] * 5_000),
        {**pod("acme/m"), "metadata": {"labels": {f"k{n}": "v" for n in range(50_000)}}},
        {**pod("acme/m"), "metadata": {"annotations": {"weighmaster.dev/model": "a/b," * 200_000}}},
        {**pod("acme/m"), "kind": "K" * 1_000_000, "apiVersion": "a/" * 500_000},
    ],
    ids=[
        "many mappings",
        "many lists",
        "many containers",
        "many labels",
        "long annotation",
        "kind",
    ],
)
def test_large_object_is_answered_in_bounded_time(document: dict[str, Any]) -> None:
    sent = body(document)
    handler = new_handler()
    started = time.process_time()
    answer = handler.handle("/validate", sent)
    assert time.process_time() - started < 3  # a second on an idle core
    response_of(answer.body)
    assert len(answer.body) < 64 * 1024
