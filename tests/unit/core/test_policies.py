"""A policy that cannot be used fails closed for whatever it may match, and says why."""

from typing import Any

import pytest

from tests.unit.core.builders import (
    FORBIDDEN,
    KNOWN,
    NOW,
    namespace,
    namespaced,
    pod,
    policy,
    request,
    snapshot,
    workload,
)
from weighmaster.core.evaluate import snapshot as module
from weighmaster.core.evaluate.policies import PolicyKey, compile_policy
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action
from weighmaster.pipeline import review

EMPTY_SELECTOR: dict[str, Any] = {"namespaceSelector": {}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


UNUSABLE: dict[str, dict[str, Any]] = {
    "no spec": {"spec": None},
    "a spec that is a list": {"spec": []},
    "a spec that is a text": {"spec": "deny"},
    "an empty spec": {"spec": {}},
    "no rules": {"rules": []},
    "rules that are a mapping": {"rules": {}},
    "an unknown field": {"mode": "strict"},
    "an unknown action": {"enforcement": {"action": "Block"}},
    "an action in lower case": {"enforcement": {"action": "deny"}},
    "no enforcement": {"enforcement": None},
    "Sandbox without a profile": {"enforcement": {"action": "Sandbox"}},
    "onUnknown Sandbox without a profile": {
        "enforcement": {"action": "Deny", "onUnknown": "Sandbox"}
    },
    "a rule with two members": {
        "rules": [{"name": "a", **KNOWN, "format": {"allow": ["safetensors"]}}]
    },
    "a rule without a member": {"rules": [{"name": "a"}]},
    "a rule of the future": {"rules": [{"name": "a", "watermark": {"require": True}}]},
    "two rules of one name": {"rules": [{"name": "a", **KNOWN}] * 2},
    "an expression that is none": {
        "rules": [{"name": "a", "expression": {"cel": "model.", "message": "m"}}]
    },
    "a code rule that forbids nothing": {"rules": [{"name": "a", "code": {}}]},
    "empty lists of publishers": {
        "rules": [{"name": "a", "origin": {"assurance": "Namespace", "publishers": {}}}]
    },
    "an origin rule that asks nothing": {
        "rules": [{"name": "a", "origin": {"assurance": "Namespace"}}]
    },
    "an empty list of formats": {"rules": [{"name": "a", "format": {"allow": []}}]},
    "excluding every namespace": {"exclude": EMPTY_SELECTOR},
    "match In without values": {"match": {"namespaceSelector": expression("env", "In")}},
    "match objects In without values": {"match": {"objectSelector": expression("env", "In")}},
    "exclude NotIn without values": {"exclude": {"namespaceSelector": expression("env", "NotIn")}},
    "Exists with values": {"match": {"namespaceSelector": expression("env", "Exists", "x")}},
    "a match that is a text": {"match": "everything"},
    "a kind that is a number": {"match": {"kinds": [1]}},
}


def broken(fields: dict[str, Any]) -> dict[str, Any]:
    made = policy(KNOWN)
    if "spec" in fields:
        return {**made, "spec": fields["spec"]}
    return {**made, "spec": {**made["spec"], **fields}}


@pytest.mark.parametrize("fields", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_policy_that_cannot_be_used_refuses_everything_it_may_match(fields: dict[str, Any]) -> None:
    held = snapshot(broken(fields), namespace("default", env="prod"))
    assert held.policies[0].problem
    answer = review(request(pod("acme/m")), held, NOW)
    assert not answer.response.allowed
    assert Reason.POLICY_UNUSABLE in answer.response.reasons
    assert "this version cannot use the policy" in answer.response.message


@pytest.mark.parametrize("fields", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_compiling_never_raises_for_a_namespaced_one_either(fields: dict[str, Any]) -> None:
    made = broken(fields)
    made["kind"] = "ModelPolicy"
    made["metadata"]["namespace"] = "default"
    compiled = compile_policy(made)
    assert compiled.key == PolicyKey("strict", "default")
    assert compiled.problem


def test_scope_of_an_unusable_policy_is_kept_where_it_can_be_read() -> None:
    made = policy({"watermark": {}}, match={"references": ["hf://evil/**"]})
    held = snapshot(made)
    assert held.policies[0].problem
    assert review(request(pod("acme/m")), held, NOW).response.allowed
    assert not review(request(pod("evil/m")), held, NOW).response.allowed


def test_action_of_an_unusable_policy_is_the_stricter_of_its_two() -> None:
    for action, unknown, expected in (
        ("Audit", "Deny", Action.DENY),
        ("Deny", "Audit", Action.DENY),
        ("Warn", None, Action.WARN),
        ("Audit", "Warn", Action.WARN),
    ):
        enforcement = {"action": action} | ({"onUnknown": unknown} if unknown else {})
        assert compile_policy(broken({"enforcement": enforcement, "rules": []})).action is expected


def test_namespaced_policy_reaches_nothing_outside_its_namespace() -> None:
    held = snapshot(namespaced(FORBIDDEN, namespace="team"))
    assert review(request(pod("acme/m")), held, NOW).response.allowed
    assert not review(request(pod("acme/m"), namespace="team"), held, NOW).response.allowed


def test_namespaced_policy_cannot_select_namespaces() -> None:
    made = namespaced(FORBIDDEN, match={"namespaceSelector": {"matchLabels": {"a": "b"}}})
    compiled = compile_policy(made)
    assert compiled.problem
    assert not compiled.scope.covers_namespace("other", {"a": "b"})


def test_cluster_scoped_object_is_matched_whatever_a_policy_selects() -> None:
    selected = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    held = snapshot(policy(FORBIDDEN, match=selected), namespace("default", env="dev"))
    assert not held.applicable("default")
    assert held.applicable("")


def test_exclusion_does_not_reach_cluster_scoped_objects() -> None:
    selected = {"namespaceSelector": {"matchLabels": {"env": "dev"}}}
    held = snapshot(policy(FORBIDDEN, exclude=selected), namespace("default", env="dev"))
    assert [excluded for _, excluded in held.applicable("default")] == [True]
    assert [excluded for _, excluded in held.applicable("")] == [False]


def test_unknown_namespace_is_matched_and_not_excluded() -> None:
    selected = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    held = snapshot(policy(FORBIDDEN, name="a", match=selected))
    assert held.applicable("new")
    held = snapshot(policy(FORBIDDEN, name="a", exclude=selected))
    assert [excluded for _, excluded in held.applicable("new")] == [False]


def test_label_of_a_namespace_cannot_fake_its_name() -> None:
    selected = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "prod"}}}
    faked = {"kubernetes.io/metadata.name": "dev"}
    held = snapshot(policy(FORBIDDEN, match=selected), namespace("prod", **faked))
    assert held.applicable("prod")


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("Pod", False),
        ("apps/Deployment", True),
        ("apps/*", True),
        ("*/Deployment", True),
        ("*", True),
        ("*/*", True),
        ("batch/*", False),
        ("Deployment", False),
    ],
)
def test_kinds_are_matched_with_their_group(pattern: str, covered: bool) -> None:
    scope = compile_policy(policy(KNOWN, match={"kinds": [pattern]})).scope
    assert scope.covers_workload(workload()) is covered


def test_any_set_of_labels_of_an_object_is_enough_to_match() -> None:
    selected = {"objectSelector": {"matchLabels": {"tier": "model"}}}
    scope = compile_policy(policy(KNOWN, match=selected)).scope
    assert scope.covers_workload(workload(label_sets=({}, {"tier": "model"})))
    assert not scope.covers_workload(workload(label_sets=({}, {"tier": "web"})))


def test_remembered_namespaces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMESPACES_REMEMBERED", 10)
    held = snapshot(policy())
    for number in range(100):
        held.applicable(f"n{number}")
        held.cost_per_use(f"n{number}", 1)
    assert len(held._applicable) <= 10
    assert len(held._costs) <= 10


@pytest.mark.parametrize(
    "metadata",
    [None, [], "x", {}, {"name": None}, {"name": 7}, {"labels": []}, {"creationTimestamp": "x"}],
)
def test_metadata_of_wrong_types_is_left_out(metadata: Any) -> None:
    assert isinstance(read_metadata({"metadata": metadata}).name, str)
