"""An exception covers exactly what it names, by itself, and until it ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.core.builders import (
    FORBIDDEN,
    NOW,
    exception,
    namespaced,
    pod,
    policy,
    request,
    snapshot,
)
from weighmaster.core.evaluate.exceptions import LONGEST, compile_exception
from weighmaster.pipeline import review

CREATED = datetime(2026, 11, 1, tzinfo=UTC)


def allowed(*documents: dict[str, Any], model: str = "acme/m", now: datetime = NOW) -> bool:
    held = snapshot(policy(FORBIDDEN), *documents)
    return review(request(pod(model)), held, now).response.allowed


def test_exception_that_names_everything_covers() -> None:
    assert not allowed()
    assert allowed(exception())


@pytest.mark.parametrize(
    "spec",
    [
        {"namespaces": ["other"]},
        {"namespaces": ["defaul"]},
        {"references": ["hf://acm/**"]},
        {"references": ["hf://acme"]},
        {"policies": [{"name": "other", "rules": ["rule-0"]}]},
        {"policies": [{"name": "strict", "rules": ["rule-1"]}]},
        {"policies": [{"name": "strict", "rules": ["(policy)"]}]},
        {"policies": [{"name": "strict", "namespace": "default", "rules": ["rule-0"]}]},
        {
            "policies": [
                {
                    "kind": "ModelPolicy",
                    "name": "strict",
                    "namespace": "default",
                    "rules": ["rule-0"],
                }
            ]
        },
        {"references": ["**"]},
        {"references": []},
        {"namespaces": []},
        {"namespaces": ["*"]},
        {"policies": []},
        {"policies": [{"name": "strict", "rules": ["*"]}]},
        {"expiresAt": "2026-11-24T12:00:00Z"},
        {"expiresAt": "2026-11-24T12:00:00"},
        {"expiresAt": "never"},
        {"expiresAt": None},
        {"reason": ""},
        {"approvedBy": ""},
        {"everything": True},
    ],
)
def test_exception_that_says_less_covers_nothing(spec: dict[str, Any]) -> None:
    assert not allowed(exception(**spec))


def test_two_exceptions_do_not_combine() -> None:
    half, other = exception(namespaces=["other"]), exception(references=["hf://other/**"])
    other["metadata"]["name"] = "second"
    assert not allowed(half, other)


def test_exception_ends_at_its_very_moment() -> None:
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    assert allowed(exception(), now=ends - timedelta(microseconds=1))
    assert not allowed(exception(), now=ends)
    assert not allowed(exception(), now=ends + timedelta(days=1))


def test_exception_covers_each_model_of_an_object_by_itself() -> None:
    held = snapshot(policy(FORBIDDEN), exception())
    assert review(request(pod("acme/a", "acme/b")), held, NOW).response.allowed
    assert not review(request(pod("acme/a", "evil/b")), held, NOW).response.allowed


def test_exception_for_a_namespaced_policy_names_its_namespace() -> None:
    named = {"kind": "ModelPolicy", "name": "strict", "namespace": "default", "rules": ["rule-0"]}
    held = snapshot(namespaced(FORBIDDEN), exception(policies=[named]))
    assert review(request(pod("acme/m")), held, NOW).response.allowed


@pytest.mark.parametrize(
    ("lasts", "usable"),
    [
        (LONGEST, True),
        (LONGEST + timedelta(seconds=1), False),
        (timedelta(days=365), True),
        (timedelta(days=4000), False),
    ],
)
def test_exception_lasts_a_year_at_most(lasts: timedelta, usable: bool) -> None:
    approval = compile_exception(exception(expiresAt=(CREATED + lasts).isoformat()))
    assert (approval.problem is None) is usable
    if not usable:
        assert "more than one year" in str(approval.problem)


@pytest.mark.parametrize("created", ["2026-11-01T00:00:00", "2026-11-01 00:00:00"])
def test_creation_time_without_a_zone_is_utc(created: str) -> None:
    stored = exception(expiresAt=(CREATED + LONGEST + timedelta(seconds=1)).isoformat())
    stored["metadata"]["creationTimestamp"] = created
    assert "more than one year" in str(compile_exception(stored).problem)


@pytest.mark.parametrize("spec", [None, [], "x", {}, 7, {"policies": 7}])
def test_exception_that_cannot_be_read_has_a_problem(spec: Any) -> None:
    approval = compile_exception({"metadata": {"name": "e"}, "spec": spec})
    assert approval.problem
    assert approval.rules == frozenset()


def test_exception_turns_a_finding_into_a_skip_that_names_it() -> None:
    answer = review(request(pod("acme/m")), snapshot(policy(FORBIDDEN), exception()), NOW)
    assert answer.decision is not None
    finding = answer.decision.findings[0]
    assert (finding.outcome, finding.reason) == ("skip", "Excepted")
    assert 'excepted by "granted"' in finding.message
