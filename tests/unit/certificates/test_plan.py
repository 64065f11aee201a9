"""When a certificate is replaced, in which order, and what is trusted meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from weighmaster.certificates.generation import Authority, Facts, authorities, inspect, issue
from weighmaster.certificates.plan import (
    MAX_RETIRING,
    Step,
    Stored,
    Timing,
    Trust,
    adjusted,
    next_step,
)
from weighmaster.errors import SettingsError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TIMING = Timing()


def facts(age: timedelta = timedelta(), problem: str | None = None) -> Facts:
    """A generation that was issued some time ago."""
    issued = NOW - age
    ends = issued + TIMING.lifetime
    authority = Authority(pem="", fingerprint=issued.isoformat(), not_after=ends)
    return Facts(authority, issued, ends, ours=True, problem=problem)


def authority(name: str, ends: datetime = NOW + 90 * DAY) -> Authority:
    return Authority(pem=name, fingerprint=name, not_after=ends)


def test_nothing_stored_means_to_issue() -> None:
    assert next_step(Stored(), NOW, TIMING).step is Step.STAGE


def test_first_generation_is_served_as_soon_as_it_is_trusted() -> None:
    stored = Stored(staged=facts(), trusted_since=NOW)
    assert next_step(stored, NOW, TIMING).step is Step.PROMOTE


def test_successor_of_a_lost_secret_is_served_with_care() -> None:
    stored = Stored(staged=facts(), trusted_since=NOW, others=True)
    assert next_step(stored, NOW, TIMING).until == NOW + TIMING.settle


def test_good_certificate_is_left_alone_until_two_thirds_of_its_life_are_over() -> None:
    plan = next_step(Stored(current=facts()), NOW, TIMING)
    assert plan.step is Step.WAIT
    assert plan.until == NOW + 60 * DAY
    almost = 60 * DAY - timedelta(seconds=1)
    assert next_step(Stored(current=facts(age=almost)), NOW, TIMING).step is Step.WAIT
    assert next_step(Stored(current=facts(age=60 * DAY)), NOW, TIMING).step is Step.STAGE


def test_successor_is_served_only_after_everybody_had_time_to_trust_it() -> None:
    since = NOW - TIMING.settle + timedelta(seconds=1)
    stored = Stored(current=facts(age=61 * DAY), staged=facts(), trusted_since=since)
    plan = next_step(stored, NOW, TIMING)
    assert plan.step is Step.WAIT
    assert plan.until == NOW + timedelta(seconds=1)
    assert next_step(stored, NOW + timedelta(seconds=1), TIMING).step is Step.PROMOTE


def test_certificate_that_nobody_accepts_is_replaced_without_waiting() -> None:
    current = facts(age=100 * DAY, problem="it has expired")
    assert next_step(Stored(current=current), NOW, TIMING).step is Step.STAGE
    stored = Stored(current=current, staged=facts(), trusted_since=NOW)
    assert next_step(stored, NOW, TIMING).step is Step.PROMOTE


@pytest.mark.parametrize(
    "staged", [facts(problem="its key is another one's"), facts(age=61 * DAY)], ids=["bad", "old"]
)
def test_staged_generation_that_is_no_good_is_issued_anew(staged: Facts) -> None:
    stored = Stored(current=facts(age=61 * DAY), staged=staged, trusted_since=NOW - DAY)
    assert next_step(stored, NOW, TIMING).step is Step.STAGE


def test_staged_generation_is_served_even_if_the_current_one_is_still_good() -> None:
    stored = Stored(current=facts(), staged=facts(), trusted_since=NOW - DAY)
    assert next_step(stored, NOW, TIMING).step is Step.PROMOTE


def test_rotation_on_request_replaces_what_was_issued_before_and_nothing_else() -> None:
    old = facts(age=DAY)
    asked = NOW - timedelta(hours=1)
    assert next_step(Stored(current=old, issued_after=asked), NOW, TIMING).step is Step.STAGE
    again = Stored(current=facts(), issued_after=asked)
    assert next_step(again, NOW, TIMING).step is Step.WAIT
    future = Stored(current=old, issued_after=NOW + DAY)
    assert next_step(future, NOW, TIMING).step is Step.WAIT


def test_former_authority_stays_trusted_for_a_day_and_no_longer() -> None:
    old, new = authority("old"), authority("new")
    first = adjusted(Trust((old,)), [new], NOW, TIMING)
    assert first == Trust((new, old), {"old": NOW})
    later = adjusted(first, [new], NOW + DAY - timedelta(seconds=1), TIMING)
    assert later == first
    assert adjusted(later, [new], NOW + DAY, TIMING) == Trust((new,))


def test_former_authority_that_is_used_again_is_no_longer_a_former_one() -> None:
    old, new = authority("old"), authority("new")
    found = Trust((new, old), {"old": NOW - timedelta(hours=23)})
    assert adjusted(found, [old, new], NOW, TIMING) == Trust((old, new))


def test_expired_authority_is_dropped_at_once() -> None:
    ended = authority("ended", ends=NOW)
    assert adjusted(Trust((ended,)), [authority("new")], NOW, TIMING).retiring == {}


def test_record_of_the_future_keeps_no_authority_for_longer() -> None:
    found = Trust((authority("old"),), {"old": NOW + 1000 * DAY})
    assert adjusted(found, [authority("new")], NOW, TIMING).retiring == {"old": NOW}


def test_number_of_former_authorities_is_bounded_and_the_latest_stay() -> None:
    former = tuple(authority(f"{n:02}") for n in range(MAX_RETIRING + 5))
    since = {each.fingerprint: NOW - timedelta(minutes=n) for n, each in enumerate(former)}
    kept = adjusted(Trust(former, since), [authority("new")], NOW, TIMING)
    assert kept.authorities[1:] == former[:MAX_RETIRING]


@pytest.mark.parametrize(
    "wrong",
    [
        {"renew_before": timedelta()},
        {"renew_before": 90 * DAY},
        {"lifetime": timedelta()},
        {"settle": 31 * DAY},
        {"settle": -DAY},
        {"retire": -DAY},
    ],
)
def test_timing_that_cannot_work_is_refused(wrong: dict[str, timedelta]) -> None:
    with pytest.raises(SettingsError, match=r"^certificates: "):
        Timing(**wrong)


def test_generation_knows_what_is_wrong_with_it() -> None:
    good = issue(["a.svc"], NOW, 90 * DAY)
    other = issue(["a.svc"], NOW, 90 * DAY)

    def problem(changed: object = good, names: str = "a.svc", now: datetime = NOW) -> str | None:
        found = inspect(changed, [names], now)  # type: ignore[arg-type]
        assert found is not None
        assert found.ours
        return found.problem

    assert problem() is None
    assert problem(names="b.svc") == "it is not for b.svc"
    assert problem(now=NOW + 90 * DAY) == "it has expired"
    assert problem(now=NOW - timedelta(hours=1, seconds=1)) == "it is not valid yet"
    mixed = type(good)(other.authority, good.certificate, good.key)
    assert problem(mixed) == "it is not signed by its CA"
    assert problem(type(good)(good.authority, good.certificate, other.key)) is not None
    assert problem(type(good)(good.authority, good.certificate, "junk")) == "its key cannot be read"
    assert inspect(type(good)("junk", good.certificate, good.key), ["a.svc"], NOW) is None
    assert inspect(type(good)(good.authority, "junk", good.key), ["a.svc"], NOW) is None


def test_bundle_is_read_certificate_by_certificate_each_once() -> None:
    one, two = (issue(["a.svc"], NOW, 90 * DAY).authority for _ in range(2))
    found = authorities(one + two + one)
    assert found is not None
    assert [each.pem for each in found] == [one, two]
    assert authorities("") == ()
    assert authorities("junk") is None
