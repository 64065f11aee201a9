"""Nothing is tried twice at once, and what fails is tried less and less."""

import asyncio
from collections.abc import Hashable

import pytest

from tests.unit.quarantine.situations import quarantining
from weighmaster.core.evaluate.policies import PolicyKey, compile_policy
from weighmaster.errors import ClusterError
from weighmaster.quarantine.attempts import FIRST_PAUSE, LAG, LONGEST_PAUSE, Attempts
from weighmaster.quarantine.buckets import Buckets


class Trying:
    """Attempts with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.leads = True
        self.ended = 0
        self.failed: list[tuple[Hashable, Exception]] = []
        self.attempts = Attempts(lambda: self.leads, self._end, self._fail, lambda: self.now)

    async def run(self, seen: object, failure: Exception | None = None, rest: float = 0) -> None:
        async def act() -> None:
            if failure is not None:
                raise failure

        async with asyncio.TaskGroup() as group:
            self.attempts.run(group, "key", seen, act, rest=rest)
            assert not self.attempts.may("key", "anything"), "it is being tried"
            assert self.attempts.under_way("key", "anything")

    def may(self, seen: object) -> bool:
        return self.attempts.may("key", seen)

    def _end(self) -> None:
        self.ended += 1

    def _fail(self, key: Hashable, error: Exception) -> None:
        self.failed.append((key, error))


async def test_after_a_success_it_waits_for_something_else_to_be_seen() -> None:
    trying = Trying()
    seen = object()
    assert trying.may(seen)
    await trying.run(seen)
    assert not trying.may(seen)
    assert trying.attempts.under_way("key", seen)
    assert trying.may(object())
    trying.now = LAG
    assert trying.may(seen), "a watch is not that late"
    assert trying.ended == 1


async def test_nothing_seen_is_something_too() -> None:
    trying = Trying()
    await trying.run(None)
    assert not trying.may(None)
    assert trying.may(object())


async def test_after_a_success_it_rests_for_as_long_as_was_asked() -> None:
    trying = Trying()
    await trying.run("seen", rest=100)
    assert not trying.may("other")
    trying.now = 100
    assert trying.may("other")


async def test_failures_make_it_rest_longer_and_longer_and_are_told_once() -> None:
    trying = Trying()
    pauses = []
    for _ in range(12):
        await trying.run("seen", ClusterError("refused", status=500))
        assert not trying.attempts.under_way("key", "seen")
        begun = trying.now
        while not trying.may("other"):
            trying.now += FIRST_PAUSE
        pauses.append(trying.now - begun)
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert max(pauses) == LONGEST_PAUSE
    assert len(trying.failed) == 1
    await trying.run("seen", ClusterError("for another reason"))
    assert len(trying.failed) == 2


async def test_fault_of_our_own_ends_nobody_elses_attempt() -> None:
    trying = Trying()
    await trying.run("seen", RuntimeError("oops"))
    assert isinstance(trying.failed[0][1], RuntimeError)
    assert trying.ended == 1


async def test_who_leads_no_more_acts_no_more() -> None:
    trying = Trying()
    trying.leads = False
    acted = False

    async def act() -> None:
        nonlocal acted
        acted = True

    async with asyncio.TaskGroup() as group:
        trying.attempts.run(group, "key", None, act)
    assert not acted
    assert len(trying.failed) == 1


async def test_what_ended_long_ago_is_forgotten() -> None:
    trying = Trying()
    for _ in range(5):
        await trying.run("seen", ClusterError("refused"))
        trying.now += 100
    trying.attempts.tidy()
    trying.now += 1000
    trying.attempts.tidy()
    assert trying.attempts._ended == {}


@pytest.mark.parametrize("size", [1, 6, 600])
def test_bucket_begins_empty_and_fills_within_a_minute(size: int) -> None:
    now = 0.0
    buckets = Buckets(lambda: now)
    policy = compile_policy(quarantining(enforcement={"pace": {"maxPerMinute": size}}))
    key = PolicyKey("strict")
    assert buckets.fill([policy]) == {key: 0}
    taken = 0
    for _ in range(240):
        now += 0.5
        for _ in range(buckets.fill([policy])[key]):
            buckets.take(key)
            taken += 1
    assert abs(taken - 2 * size) <= 1
    now += 1000
    assert buckets.fill([policy])[key] == size, "it holds no more than a minute's worth"
    buckets.take(key)
    buckets.give_back(key)
    assert buckets.fill([policy])[key] == size
    assert buckets.fill([]) == {}
    buckets.take(key)
