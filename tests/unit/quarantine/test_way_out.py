"""What becomes of confined pods: let out, made anew, told of, or ended."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.core.builders import FORBIDDEN, KNOWN, NOW, policy, snapshot
from tests.unit.quarantine.situations import pod, profile
from tests.unit.quarantine.test_plan import pods_of, quarantined
from weighmaster.core.evaluate.profiles import Profile, read_profile
from weighmaster.quarantine.situation import Case
from weighmaster.quarantine.verdicts import judge
from weighmaster.quarantine.way_out import Way, age, ways_out

Json = dict[str, Any]
LABEL = "weighmaster.dev/sandbox"
LAWFUL, UNLAWFUL = policy(KNOWN), policy(FORBIDDEN)
UNDECIDED = policy({"license": {"allow": ["MIT"]}})


def ways(
    document: Json,
    decided: Json,
    *,
    settled: bool = True,
    profiles: tuple[Json, ...] = (profile(),),
) -> list[Way]:
    (held,) = pods_of(document)
    case = Case(held, judge(held.served, snapshot(decided), NOW), settled)
    known: dict[str, Profile] = {each["metadata"]["name"]: read_profile(each) for each in profiles}
    return [out.way for out in ways_out([case], known, NOW)]


def confined() -> Json:
    return pod(labels={LABEL: "isolated"})


def test_quarantined_pod_is_released_when_it_is_lawful_and_that_has_settled() -> None:
    assert ways(quarantined(pod()), LAWFUL) == [Way.RELEASE]
    assert ways(quarantined(pod()), LAWFUL, settled=False) == []


@pytest.mark.parametrize("decided", [UNLAWFUL, UNDECIDED], ids=["unlawful", "undecided"])
def test_nobody_is_let_out_otherwise(decided: Json) -> None:
    assert ways(quarantined(pod()), decided) == []
    assert ways(confined(), decided) == []


def test_pod_that_was_admitted_confined_is_told_of_unless_its_profile_rolls_out() -> None:
    assert ways(confined(), LAWFUL) == [Way.TELL]
    assert ways(confined(), LAWFUL, profiles=()) == [Way.TELL]
    assert ways(confined(), LAWFUL, profiles=(profile(release="Rollout"),)) == [Way.ROLLOUT]


def test_pod_that_is_leaving_is_released_and_never_rolled_out() -> None:
    leaving = {"deletionTimestamp": "2026-11-24T12:00:00Z"}
    document = quarantined(pod())
    document["metadata"] |= leaving
    assert ways(document, LAWFUL) == [Way.RELEASE]
    rolls = (profile(release="Rollout"),)
    assert ways(pod(labels={LABEL: "isolated"}, **leaving), LAWFUL, profiles=rolls) == []


def test_pod_that_serves_nothing_is_nobody_to_let_out() -> None:
    document = confined()
    document["spec"]["containers"] = [{"name": "web", "image": "nginx"}]
    assert ways(document, LAWFUL) == []


def test_pod_that_is_not_confined_needs_no_way_out() -> None:
    assert ways(pod(), LAWFUL) == []


TTL = (profile(ttl="1h"),)


@pytest.mark.parametrize(("seconds", "over"), [(3599, False), (3600, True), (9e5, True)])
def test_quarantine_is_over_when_the_ttl_is(seconds: float, over: bool) -> None:
    found = ways(quarantined(pod(), seconds), UNLAWFUL, profiles=TTL)
    assert found == ([Way.EXPIRE] if over else [])


def test_pod_whose_deadline_is_over_needs_no_other() -> None:
    document = quarantined(pod(), 3700)
    document["spec"]["activeDeadlineSeconds"] = 3600  # it started an hour ago
    assert ways(document, UNLAWFUL, profiles=TTL) == []
    document["spec"]["activeDeadlineSeconds"] = 7200
    assert ways(document, UNLAWFUL, profiles=TTL) == [Way.EXPIRE]


def test_without_a_ttl_a_profile_or_a_known_time_nothing_is_over() -> None:
    assert ways(quarantined(pod(), 9e5), UNLAWFUL) == []
    assert ways(quarantined(pod(), 9e5), UNLAWFUL, profiles=()) == []
    document = quarantined(pod(), 9e5)
    document["metadata"]["annotations"]["weighmaster.dev/quarantined-at"] = "long ago"
    assert ways(document, UNLAWFUL, profiles=TTL) == []


def test_approved_pod_is_released_and_not_ended_even_when_its_time_is_over() -> None:
    assert ways(quarantined(pod(), 9e5), LAWFUL, profiles=TTL) == [Way.RELEASE]


def test_age_is_a_deadline_that_the_api_server_takes() -> None:
    (held,) = pods_of(pod())
    assert age(held, NOW) == 3600
    assert age(held, NOW - timedelta(hours=2)) == 1
    assert age(held, NOW + timedelta(days=40_000)) == 2**31 - 1
    document = pod()
    del document["status"]["startTime"]
    (unstarted,) = pods_of(document)
    assert age(unstarted, NOW) == 1
