"""What hosts ask for in headers, and how they are left alone."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gather.conftest import FakeTime
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.pace import DEFAULT_RATE_DELAY, MAX_DELAY, Pace, remaining, retry_after

NOW = 1_800_000_000.0


def test_retry_after_in_seconds_is_seconds() -> None:
    assert retry_after("120", NOW) == 120
    assert retry_after(" 0 ", NOW) == 0


def test_retry_after_as_a_date_counts_from_now() -> None:
    date = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
    assert retry_after(date, NOW) == 90


def test_a_date_that_has_passed_means_now() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", NOW) == 0


def test_nobody_is_left_alone_for_longer_than_a_day() -> None:
    assert retry_after("9" * 300, NOW) == MAX_DELAY
    assert retry_after("Fri, 31 Dec 9999 23:59:59 GMT", NOW) == MAX_DELAY


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "\u0661", "Wed, 99 Oct 2015", "nan"])
def test_what_cannot_be_read_says_nothing(text: str) -> None:
    assert retry_after(text, NOW) is None


@given(text=st.text(max_size=80), now=st.floats(0, 2e10))
@settings(deadline=None, max_examples=300)
def test_no_text_gives_anything_but_nothing_or_up_to_a_day(text: str, now: float) -> None:
    found = retry_after(text, now)
    assert found is None or 0 <= found <= MAX_DELAY


@given(seconds=st.integers(0, 10**30))
def test_every_number_of_seconds_is_honoured_up_to_a_day(seconds: int) -> None:
    assert retry_after(str(seconds), NOW) == min(seconds, MAX_DELAY)


HEADERS: dict[str, tuple[dict[str, str], tuple[int, float] | None]] = {
    "as the hub sends it": ({"RateLimit": '"api";r=0;t=55'}, (0, 55)),
    "the strictest of two": ({"RateLimit": '"a";r=9;t=5, "b";r=1;t=300'}, (1, 300)),
    "the window of the policy": (
        {"RateLimit": '"api";r=0', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'},
        (0, 300),
    ),
    "an older draft": ({"RateLimit": "limit=100, remaining=0, reset=7"}, (0, 7)),
    "three headers": ({"RateLimit-Remaining": "3", "RateLimit-Reset": "60"}, (3, 60)),
    "no end": ({"RateLimit": '"api";r=0'}, (0, DEFAULT_RATE_DELAY)),
    "nothing": ({}, None),
    "nonsense": ({"RateLimit": "many", "RateLimit-Remaining": "few"}, None),
}


@pytest.mark.parametrize(("headers", "expected"), HEADERS.values(), ids=HEADERS)
def test_rate_limit_headers_are_read(
    headers: dict[str, str], expected: tuple[int, float] | None
) -> None:
    assert remaining(headers) == expected


@given(st.text(max_size=200), st.text(max_size=100))
@settings(deadline=None)
def test_no_rate_limit_header_raises(limit: str, policy: str) -> None:
    remaining({"RateLimit": limit, "RateLimit-Policy": policy, "RateLimit-Reset": policy})


async def test_a_limited_host_is_left_alone_for_as_long_as_it_asks(time: FakeTime) -> None:
    pace = Pace(time.clock, patience=10)
    assert pace.limited("hub", {"Retry-After": "7"}) == 7
    await pace.admit("hub")
    assert time.slept == [7]
    await pace.admit("another")
    assert time.slept == [7]


async def test_beyond_patience_nobody_waits(time: FakeTime) -> None:
    pace = Pace(time.clock, patience=10)
    pace.limited("hub", {"Retry-After": "60"})
    with pytest.raises(GatherError) as caught:
        await pace.admit("hub")
    assert caught.value.reason == UnavailableReason.RATE_LIMITED
    assert caught.value.retry_after == 60
    assert not time.slept


async def test_the_last_request_of_a_window_rests_the_host(time: FakeTime) -> None:
    pace = Pace(time.clock, patience=100)
    pace.answered("hub", {"RateLimit": '"api";r=0;t=42'})
    await pace.admit("hub")
    assert time.slept == [42]


async def test_a_late_answer_does_not_lift_a_limit(time: FakeTime) -> None:
    pace = Pace(time.clock, patience=100)
    pace.limited("hub", {"Retry-After": "30"})
    pace.answered("hub", {})
    await pace.admit("hub")
    assert time.slept == [30]


async def test_failures_are_backed_off_from_twice_as_long_each_time(time: FakeTime) -> None:
    pace = Pace(time.clock, patience=100)
    delays = [pace.failed("hub", 1.0) for _ in range(10)]
    assert delays[:4] == [0.5, 1, 2, 4]
    assert delays[-1] == 60
    pace.answered("hub", {})
    assert pace.failed("hub", 0.0) == 0.25


async def test_a_429_without_a_time_is_given_one(time: FakeTime) -> None:
    assert Pace(time.clock, patience=1).limited("hub", {}) == DEFAULT_RATE_DELAY
