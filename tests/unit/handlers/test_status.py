"""The status of each resource says truthfully whether it is in use, since when and why not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.core.builders import KNOWN, exception, namespaced, policy, publisher
from weighmaster.handlers.status import (
    MAX_TEXT,
    MAX_WARNINGS,
    STATES,
    Surroundings,
    desired_status,
)
from weighmaster.records.published import Published

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
STAMP = "2026-11-24T12:00:00Z"
EARLIER = "2026-01-01T00:00:00Z"

POLICIES, EXCEPTIONS, PUBLISHERS = "clustermodelpolicies", "modelexceptions", "modelpublishers"


def around(*publishers: str, profiles: tuple[str, ...] = (), now: datetime = NOW) -> Surroundings:
    return Surroundings(frozenset(publishers), frozenset(profiles), now)


def status(resource: str, stored: dict[str, Any], seen: Surroundings | None = None) -> Any:
    found = desired_status(resource, stored, seen or around())
    assert found is not None
    return found


def ready(resource: str, stored: dict[str, Any], seen: Surroundings | None = None) -> Any:
    (condition,) = status(resource, stored, seen)["conditions"]
    assert condition["type"] == "Ready"
    return condition


def test_policy_in_use_is_ready() -> None:
    stored = policy(KNOWN, {"format": {"allow": ["gguf"]}})
    stored["metadata"]["generation"] = 7
    found = status(POLICIES, stored)
    assert found["observedGeneration"] == 7
    assert found["warnings"] == []
    assert found["conditions"][0] == {
        "type": "Ready",
        "status": "True",
        "reason": "InUse",
        "message": "2 rules in use",
        "observedGeneration": 7,
        "lastTransitionTime": STAMP,
    }


def test_one_rule_is_one_rule() -> None:
    assert ready(POLICIES, policy(KNOWN))["message"] == "1 rule in use"


def test_policy_that_cannot_be_used_says_so_and_what_it_does() -> None:
    condition = ready(POLICIES, policy({"watermark": {}}))
    assert (condition["status"], condition["reason"]) == ("False", "Unusable")
    assert "fails closed for everything it may match, by its action Deny" in condition["message"]


def test_namespaced_policy_has_the_same_status() -> None:
    assert ready("modelpolicies", namespaced(KNOWN))["status"] == "True"


def test_status_that_says_the_same_is_not_written_again() -> None:
    stored = policy(KNOWN)
    stored["status"] = status(POLICIES, stored)
    assert desired_status(POLICIES, stored, around(now=NOW + timedelta(days=1))) is None


def test_time_moves_when_the_status_changes_and_only_then() -> None:
    stored = policy(KNOWN)
    before = {"type": "Ready", "status": "True", "reason": "Old", "lastTransitionTime": EARLIER}
    stored["status"] = {"conditions": [before]}
    assert ready(POLICIES, stored)["lastTransitionTime"] == EARLIER
    before["status"] = "False"
    assert ready(POLICIES, stored)["lastTransitionTime"] == STAMP
    before["status"] = "Unknown"
    assert ready(POLICIES, stored)["lastTransitionTime"] == STAMP


def test_time_that_was_never_written_is_now() -> None:
    stored = {**policy(KNOWN), "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert ready(POLICIES, stored)["lastTransitionTime"] == STAMP


def test_condition_of_another_type_is_not_taken_for_ready() -> None:
    other = {"type": "Synced", "status": "True", "lastTransitionTime": EARLIER}
    stored = {**policy(KNOWN), "status": {"conditions": [other]}}
    assert ready(POLICIES, stored)["lastTransitionTime"] == STAMP


def test_new_generation_is_written_although_nothing_else_changes() -> None:
    stored = policy(KNOWN)
    stored["metadata"]["generation"] = 1
    stored["status"] = status(POLICIES, stored)
    stored["metadata"]["generation"] = 2
    found = status(POLICIES, stored)
    assert found["observedGeneration"] == found["conditions"][0]["observedGeneration"] == 2


@pytest.mark.parametrize("present", [None, {}, {"conditions": None}, {"conditions": []}])
def test_missing_status_is_written(present: Any) -> None:
    assert ready(POLICIES, {**policy(KNOWN), "status": present})["status"] == "True"


def test_missing_publishers_and_profiles_are_warned_of() -> None:
    rule = {
        "origin": {"assurance": "Namespace", "publishers": {"allow": ["acme"], "deny": ["evil"]}}
    }
    enforcement = {"action": "Sandbox", "sandboxProfile": "isolated"}
    stored = policy(rule, enforcement=enforcement)
    found = " ".join(status(POLICIES, stored, around("acme"))["warnings"])
    assert 'no ModelPublisher "evil"' in found
    assert '"acme"' not in found
    assert 'no SandboxProfile "isolated"' in found
    settled = status(POLICIES, stored, around("acme", "evil", profiles=("isolated",)))["warnings"]
    assert [warning for warning in settled if "there is no" in warning] == []


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"match": {"kinds": ["apps/Deployment"]}}, "does not list Pod"),
        ({"match": {"objectSelector": {"matchLabels": {"a": "b"}}}}, "objectSelector"),
        ({"exclude": {"kinds": ["Pod"]}}, "excludes pods"),
        ({"exclude": {"kinds": ["*/Pod"]}}, "excludes pods"),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(spec: dict[str, Any], text: str) -> None:
    stored = policy(KNOWN, **spec)
    assert ready(POLICIES, stored)["status"] == "True"
    assert any(text in warning for warning in status(POLICIES, stored)["warnings"])


def test_warnings_fit_what_the_definition_allows() -> None:
    names = [f"p{n}" for n in range(100)]
    stored = policy({"origin": {"assurance": "Namespace", "publishers": {"deny": names}}})
    warnings = status(POLICIES, stored)["warnings"]
    assert len(warnings) == MAX_WARNINGS
    assert warnings[-1] == "and 69 more"
    assert all(len(warning) <= MAX_TEXT for warning in warnings)


def test_message_fits_what_the_definition_allows() -> None:
    stored = policy(KNOWN, match={"kinds": ["x" * 200_000]})
    assert len(ready(POLICIES, stored)["message"]) <= MAX_TEXT


def test_exception_in_use_says_until_when() -> None:
    condition = ready(EXCEPTIONS, exception())
    assert (condition["status"], condition["reason"]) == ("True", "InUse")
    assert "2027-01-01" in condition["message"]


def test_exception_expires_at_its_very_moment() -> None:
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    before = around(now=ends - timedelta(seconds=1))
    assert ready(EXCEPTIONS, exception(), before)["reason"] == "InUse"
    condition = ready(EXCEPTIONS, exception(), around(now=ends))
    assert (condition["status"], condition["reason"]) == ("False", "Expired")
    assert condition["lastTransitionTime"] == "2027-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "spec", [{"references": ["**"]}, {"expiresAt": "2036-01-01T00:00:00Z"}, {"policies": []}]
)
def test_exception_that_cannot_be_used_excepts_nothing_and_says_so(spec: dict[str, Any]) -> None:
    condition = ready(EXCEPTIONS, exception(**spec))
    assert (condition["status"], condition["reason"]) == ("False", "Unusable")
    assert "It excepts nothing." in condition["message"]


def test_publisher_without_a_jurisdiction_is_in_use_with_a_warning() -> None:
    found = status(PUBLISHERS, publisher("acme", "hf://acme/**"))
    assert found["conditions"][0]["status"] == "True"
    assert "spec.jurisdiction is not given" in found["warnings"][0]
    known = publisher("acme", "hf://acme/**", jurisdiction="FR")
    assert status(PUBLISHERS, known)["warnings"] == []


def test_publisher_that_cannot_be_used_counts_as_missing_and_says_so() -> None:
    condition = ready(PUBLISHERS, publisher("acme", "hf://**/x"))
    assert (condition["status"], condition["reason"]) == ("False", "Unusable")
    assert "It counts as missing." in condition["message"]


@pytest.mark.parametrize("resource", STATES)
@pytest.mark.parametrize("stored", [{}, {"spec": None}, {"metadata": {}, "spec": []}])
def test_status_never_fails(resource: str, stored: dict[str, Any]) -> None:
    assert ready(resource, stored)["status"] == "False"


def test_keys_are_published_taken_back_and_left_alone_while_nobody_can_read_them() -> None:
    stored = policy(KNOWN)
    kept = Published({"0" * 16: "pem"})
    found = desired_status(POLICIES, stored, around(), kept)
    assert found is not None
    assert found["keys"] == [{"id": "0" * 16, "pem": "pem"}]
    stored["status"] = found
    assert desired_status(POLICIES, stored, around(), kept) is None
    assert desired_status(POLICIES, stored, around(), None) is None
    gone = desired_status(POLICIES, stored, around(), Published(problems=("it is gone",)))
    assert gone is not None
    assert (gone["keys"], gone["warnings"]) == ([], ["it is gone"])
