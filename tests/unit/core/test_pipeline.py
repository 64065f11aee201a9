"""The pipeline from a request to an answer: operations, existing violations, and its budget."""

import copy
import time
from typing import Any

import pytest

from tests.unit.core.builders import (
    FORBIDDEN,
    KNOWN,
    NOW,
    namespaced,
    pod,
    policy,
    publisher,
    request,
    snapshot,
)
from weighmaster.core.evaluate import MAX_COST
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.reasons import Reason
from weighmaster.pipeline import MAX_USES, Operation, Review, Stage, describe, review

UPDATE = Operation.UPDATE


def update(old: Any, new: Any, held: Snapshot | None = None, **fields: Any) -> Review:
    held = held or snapshot(policy(FORBIDDEN))
    asked = request(new, operation=UPDATE, old_document=old, **fields)
    return review(asked, held, NOW)


def deployment(*models: str, **spec: Any) -> dict[str, Any]:
    inner = pod(*models)
    template = {"metadata": {"labels": {"app": "x"}}, "spec": inner["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": "default", "finalizers": ["a/b"]},
        "spec": {"replicas": 3, "template": template, **spec},
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda new: new["metadata"].pop("finalizers"),
        lambda new: new["spec"].update(replicas=0),
        lambda new: new["metadata"].update(labels={"a": "b"}),
        lambda new: new["metadata"].update(deletionTimestamp="2026-11-24T00:00:00Z"),
        lambda new: new["metadata"].update(annotations={"note": "x"}),
    ],
    ids=["finalizer", "scale", "label", "deletion", "annotation"],
)
def test_update_that_leaves_the_models_is_allowed_with_a_warning(change: Any) -> None:
    old = deployment("acme/m")
    new = copy.deepcopy(old)
    change(new)
    response = update(old, new).response
    assert response.allowed
    assert response.warnings
    assert response.audit_annotations["existing"] == "true"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(args=["--model", "acme/other"]),
        lambda c: c["args"].extend(["--trust-remote-code"]),
        lambda c: c["args"].extend(["--revision", "v2"]),
        lambda c: c["args"].extend(["--enable-lora", "--lora-modules", "x=evil/lora"]),
        lambda c: c.update(env=[{"name": "HF_ENDPOINT", "value": "https://evil.example"}]),
        lambda c: c["args"].extend(["--load-format", "pt"]),
        lambda c: c["args"].extend(["--model", "evil/m"]),
    ],
    ids=["model", "remote code", "revision", "adapter", "endpoint", "format", "second model"],
)
def test_update_that_changes_a_model_use_is_judged_anew(change: Any) -> None:
    old = deployment("acme/m")
    new = copy.deepcopy(old)
    change(new["spec"]["template"]["spec"]["containers"][0])
    assert not update(old, new).response.allowed


def test_update_that_adds_the_same_model_in_another_container_is_judged_anew() -> None:
    assert not update(deployment("acme/m"), deployment("acme/m", "acme/m")).response.allowed


def test_update_that_removes_one_of_two_violations_is_still_refused() -> None:
    assert not update(deployment("acme/a", "acme/b"), deployment("acme/a")).response.allowed


def test_creation_is_never_an_existing_violation() -> None:
    asked = request(pod("acme/m"), old_document=pod("acme/m"))
    assert not review(asked, snapshot(policy(FORBIDDEN)), NOW).response.allowed


def test_ephemeral_container_with_a_model_is_judged_anew() -> None:
    old, new = pod("acme/m"), pod("acme/m")
    new["spec"]["ephemeralContainers"] = [
        {"name": "e", "image": "vllm/vllm-openai:v0.11.0", "args": ["--model", "evil/m"]}
    ]
    assert not update(old, new, subresource="ephemeralcontainers").response.allowed


@pytest.mark.parametrize("model", ["$MODEL", "acme/m"])
def test_new_image_in_a_running_pod_is_judged_anew_since_weights_may_come_with_it(
    model: str,
) -> None:
    old, new = pod(model), pod(model)
    new["spec"]["containers"][0]["image"] = "vllm/vllm-openai:other"
    assert not update(old, new).response.allowed
    assert update(old, old).response.allowed


@pytest.mark.parametrize("document", [None, {}, pod("$MODEL"), deployment("$MODEL")])
def test_delete_is_allowed_and_connect_refused(document: Any) -> None:
    held = snapshot(policy(FORBIDDEN))
    deleted = review(request(document, operation=Operation.DELETE), held, NOW)
    connected = review(request(document, operation=Operation.CONNECT), held, NOW)
    assert deleted.response.allowed
    assert not connected.response.allowed
    assert connected.response.reasons == (Reason.UNSUPPORTED_REQUEST,)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE])
def test_request_without_an_object_is_refused(stage: Stage, operation: Operation) -> None:
    answer = review(request(None, stage=stage, operation=operation), snapshot(), NOW)
    assert not answer.response.allowed
    assert answer.response.code == 400


def test_more_models_than_may_be_judged_are_refused_in_both_stages() -> None:
    crowd = pod(*[f"acme/m{n}" for n in range(MAX_USES + 1)])
    for stage in Stage:
        answer = review(request(crowd, stage=stage), snapshot(policy(KNOWN)), NOW)
        assert not answer.response.allowed
        assert answer.response.reasons == (Reason.TOO_MANY_MODEL_USES,)


def test_crowd_that_was_there_before_can_still_be_cleaned_up() -> None:
    crowd = pod(*[f"acme/m{n}" for n in range(MAX_USES + 1)])
    assert update(crowd, crowd, snapshot(policy(KNOWN))).response.allowed


def test_namespace_is_the_api_servers_word_and_not_the_objects() -> None:
    held = snapshot(namespaced(FORBIDDEN, namespace="team"))
    faked = pod("acme/m", namespace="elsewhere")
    assert not review(request(faked, namespace="team"), held, NOW).response.allowed


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"metadata": None},
        {"metadata": [], "spec": "x"},
        {"apiVersion": 7, "kind": [], "metadata": {"name": {}, "labels": [1]}},
        {"spec": {"template": {"metadata": "x"}, "jobTemplate": []}},
        {"metadata": {"labels": {"a": 1, "b": None, "c": "d"}}},
    ],
)
def test_workload_of_wrong_types_is_described_without_them(document: Any) -> None:
    described = describe(document, "n", "fallback", None)
    assert described.namespace == "n"
    assert isinstance(described.name, str)
    for labels in described.label_sets:
        assert all(isinstance(value, str) for value in labels.values())


def test_generated_name_stands_in_for_the_name() -> None:
    document = {"metadata": {"generateName": "web-"}}
    assert describe(document, "", "", None).name == "web-"
    assert describe({}, "", "fallback", None).name == "fallback"


COSTLY = {
    "expressions": namespaced(
        *[
            {
                "expression": {
                    "cel": "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b,"
                    " [1,2,3,4,5,6,7,8,9].all(c, a < 99))) && model.known",
                    "message": "m",
                }
            }
        ]
        * 64
    ),
    "patterns": namespaced(
        *[{"expression": {"cel": r"!model.path.matches('\\w{100}')", "message": "m"}}] * 64
    ),
    "globs": namespaced(
        KNOWN, match={"references": ["x://**/" + "*/" * 240 + f"Z{n}" for n in range(128)]}
    ),
}


@pytest.mark.parametrize("made", COSTLY.values(), ids=COSTLY.keys())
def test_no_policy_of_a_tenant_holds_the_others_up(made: dict[str, Any]) -> None:
    held = snapshot(made)
    assert held.policies[0].problem is None
    crowd = pod(*[f"s3://bucket/{'a/' * 400}{n}" for n in range(MAX_USES)])
    asked = request(crowd)
    review(request(pod("acme/m")), held, NOW)
    started = time.process_time()
    answer = review(asked, held, NOW)
    assert time.process_time() - started < 1.5  # most of it is detection
    assert not answer.response.allowed
    assert "too many for the policies here" in answer.response.message
    elsewhere = review(request(pod("acme/m"), namespace="other"), held, NOW)
    assert elsewhere.response.allowed


def test_policies_of_a_usual_size_are_far_from_the_budget() -> None:
    rules: list[dict[str, Any]] = [
        KNOWN,
        {"origin": {"assurance": "Namespace", "publishers": {"allow": ["acme"]}}},
        {"code": {"remote": "Forbid"}},
        {"format": {"allow": ["safetensors"]}},
        {"expression": {"cel": "model.reference.matches('^hf://[a-z0-9-]+/.*$')", "message": "m"}},
    ]
    policies = [
        policy(*rules, name=f"p{n}", action="Audit", match={"references": ["hf://**", "s3://**/m"]})
        for n in range(20)
    ]
    held = snapshot(*policies, publisher("acme", "hf://acme/**"))
    assert [each.problem for each in held.policies] == [None] * 20
    assert held.cost_per_use("default", 4) * 32 < MAX_COST
    crowd = pod(*[f"acme/m{n}" for n in range(32)])
    assert review(request(crowd), held, NOW).response.allowed


def test_cost_counts_only_policies_that_match() -> None:
    # Too much if all of them counted, and they match Jobs only.
    made = copy.deepcopy(COSTLY["expressions"])
    made["spec"]["match"] = {"kinds": ["batch/Job"]}
    crowd = pod(*[f"acme/m{n}" for n in range(MAX_USES)])
    assert review(request(crowd), snapshot(made), NOW).response.allowed
