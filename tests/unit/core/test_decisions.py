"""Decisions keep their id, and responses say what people and programs need in bounded space."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.core.builders import (
    FORBIDDEN,
    KNOWN,
    NOW,
    pod,
    policy,
    request,
    snapshot,
    use,
    workload,
)
from weighmaster.core.decide import Decision, decide
from weighmaster.core.evaluate import Finding
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.core.reasons import Reason
from weighmaster.core.respond import (
    DECISION_ANNOTATION,
    MAX_ANNOTATION,
    MAX_LINES,
    MAX_WARNING,
    Leniency,
    mutate,
    refuse,
    validate,
)
from weighmaster.core.values import Action, ModelUse, Outcome
from weighmaster.pipeline import Stage, review


def finding(action: Action = Action.DENY, **fields: Any) -> Finding:
    return Finding(
        **{
            "policy": PolicyKey("p"),
            "rule": "r",
            "use": use(),
            "outcome": Outcome.FAIL,
            "reason": Reason.NOT_PINNED,
            "message": "can move",
            "action": action,
            **fields,
        }
    )


def decided(*findings: Finding, uses: Sequence[ModelUse] = ()) -> Decision:
    return decide(workload(), tuple(uses) or (use(),), findings)


def test_decision_is_the_strictest_action() -> None:
    order = [Action.ALLOW, Action.AUDIT, Action.WARN, Action.SANDBOX, Action.DENY]
    assert order == sorted(Action)
    for action in order:
        assert decided(finding(Action.ALLOW), finding(action)).action is action
    assert decided().action is Action.ALLOW


def test_id_depends_on_what_was_decided_and_on_nothing_else() -> None:
    first = decided(finding())
    assert decided(finding()).id == first.id
    assert len(first.id) == 16
    others = [
        decided(finding(Action.WARN)),
        decided(finding(rule="other")),
        decided(finding(policy=PolicyKey("p", "ns"))),
        decided(finding(reason=Reason.REMOTE_CODE)),
        decided(finding(), uses=[use("hf://acme/other")]),
        decided(finding(), uses=[use(path="spec.y")]),
        decide(workload(name="y"), (use(),), [finding()]),
        decide(workload(namespace="y"), (use(),), [finding()]),
        decide(workload(kind="Pod", group=""), (use(),), [finding()]),
    ]
    assert len({first.id, *(other.id for other in others)}) == len(others) + 1


def test_id_does_not_depend_on_messages_and_passed_rules() -> None:
    first = decided(finding())
    assert decided(finding(message="other words")).id == first.id
    passed = finding(Action.ALLOW, outcome=Outcome.PASS, rule="fine")
    assert decided(finding(), passed).id == first.id


def test_id_is_the_same_in_both_stages_and_after_mutation() -> None:
    held = snapshot(policy(FORBIDDEN))
    document = pod("acme/m")
    mutated = pod("acme/m", annotations={DECISION_ANNOTATION: "x", "other": "y"})
    ids = {
        answer.decision.id
        for stage in Stage
        for each in (document, mutated)
        if (answer := review(request(each, stage=stage), held, NOW)).decision
    }
    assert len(ids) == 1


def test_text_that_is_no_unicode_does_not_break_the_id() -> None:
    assert decide(workload(name="\ud800"), (use(path="\udfff"),), []).id


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({}, "/metadata/annotations"),
        ({"annotations": None}, "/metadata/annotations"),
        ({"annotations": {}}, "/metadata/annotations/weighmaster.dev~1decision-id"),
        ({"annotations": {"a": "b"}}, "/metadata/annotations/weighmaster.dev~1decision-id"),
        (
            {"annotations": {DECISION_ANNOTATION: "forged"}},
            "/metadata/annotations/weighmaster.dev~1decision-id",
        ),
        (None, None),
        ("x", None),
    ],
)
def test_mutation_records_the_id_with_an_escaped_path(metadata: Any, path: str | None) -> None:
    document = {"metadata": metadata}
    response = mutate(decided(finding()), document, document)
    assert response.allowed
    assert [operation["path"] for operation in response.patch] == ([path] if path else [])


def test_recorded_id_is_not_recorded_again() -> None:
    decision = decided(finding())
    document = {"metadata": {"annotations": {DECISION_ANNOTATION: decision.id}}}
    assert mutate(decision, document, document).patch == ()


def test_message_tells_five_findings_and_counts_the_rest() -> None:
    response = validate(decided(*[finding(rule=f"r{n}") for n in range(9)]))
    assert not response.allowed
    assert response.message.count("\n") == MAX_LINES + 1
    assert "and 4 more" in response.message
    assert len(response.causes) == MAX_LINES


def test_warnings_fit_what_the_api_server_passes_on() -> None:
    long = finding(Action.WARN, use=use("hf://acme/" + "m" * 90), message="x" * 1000)
    response = validate(decided(*[long] * 7))
    assert response.allowed
    assert len(response.warnings) == MAX_LINES + 1
    for warning in response.warnings:
        assert len(warning) <= MAX_WARNING
    assert response.warnings[0].endswith("...")
    assert "NotPinned" in response.warnings[0]


def test_audit_annotations_are_bounded() -> None:
    uses = [use(f"hf://acme/model-{n}") for n in range(200)]
    annotations = validate(decided(finding(), uses=uses)).audit_annotations
    assert all(len(value) <= MAX_ANNOTATION for value in annotations.values())
    assert annotations["decision"] == "Deny"


def test_audit_tells_the_auditor_and_not_the_user() -> None:
    response = validate(decided(finding(Action.AUDIT)))
    assert response.allowed
    assert response.warnings == ()
    assert response.audit_annotations["reasons"] == "NotPinned"


def test_sandbox_is_let_through_and_told_by_its_name() -> None:
    response = validate(decided(finding(Action.SANDBOX)), profile="isolated")
    assert response.allowed
    assert 'in the sandbox "isolated"' in response.warnings[0]
    assert response.audit_annotations["sandbox"] == "isolated"
    assert response.reasons == (Reason.NOT_PINNED,)


def test_existing_violation_is_let_through_with_a_warning() -> None:
    response = validate(decided(finding()), Leniency.EXISTING)
    assert response.allowed
    assert response.warnings
    assert response.audit_annotations["existing"] == "true"


def test_error_is_named_as_one() -> None:
    response = validate(decided(finding(outcome=Outcome.ERROR)))
    assert "error: hf://acme/m" in response.message


def test_refusal_without_a_policy_has_reason_and_code() -> None:
    response = refuse(Reason.NOT_READY, "not yet", 503)
    assert (response.allowed, response.code, response.reasons) == (False, 503, (Reason.NOT_READY,))


def test_no_policy_is_no_objection() -> None:
    answer = review(request(pod("$MODEL")), snapshot(), NOW)
    assert answer.response.allowed
    assert not review(request(pod("$MODEL")), snapshot(policy(KNOWN)), NOW).response.allowed
