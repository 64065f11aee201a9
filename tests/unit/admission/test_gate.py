"""The gate gives turns in order, and turns away whoever would wait too long."""

import asyncio
from contextlib import suppress

import pytest

from weighmaster.admission.gate import FIRST_GUESS, OVERTIME, QUIET, Gate


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(clock)


async def turn(gate: Gate, clock: Clock, takes: float, patience: float | None = 1.0) -> bool:
    if not await gate.enter(patience):
        return False
    clock.now += takes
    gate.leave()
    return True


async def learn(gate: Gate, clock: Clock, takes: float) -> None:
    """Enough turns for the gate to know how long they take."""
    for _ in range(400):
        clock.now += 1
        assert await turn(gate, clock, takes, None)


async def test_who_comes_alone_is_let_in_at_once(gate: Gate, clock: Clock) -> None:
    for _ in range(100):
        clock.now += QUIET
        assert await turn(gate, clock, 0.5)
    assert gate.expected == 0


async def test_turns_are_given_in_order_and_one_at_a_time(gate: Gate) -> None:
    order: list[int] = []
    inside = 0

    async def work(number: int) -> None:
        nonlocal inside
        assert await gate.enter(None)
        inside += 1
        assert inside == 1
        order.append(number)
        inside -= 1
        gate.leave()

    await asyncio.gather(*(work(number) for number in range(50)))
    assert order == list(range(50))


async def test_those_that_come_together_are_seen_and_the_last_of_them_turned_away(
    gate: Gate, clock: Clock
) -> None:
    await learn(gate, clock, 0.1)
    await turn(gate, clock, 0)  # so that the gate is not quiet
    clock.now += QUIET / 2
    results = await asyncio.gather(*(turn(gate, clock, 0.1) for _ in range(100)))
    # What is waited for at most is the patience, a second, and a turn is a tenth.
    assert results.index(False) in (10, 11, 12, 13)
    assert not any(results[20:])


async def test_the_pace_is_learnt_and_forgotten(gate: Gate, clock: Clock) -> None:
    for takes in (0.1, 0.001):
        await learn(gate, clock, takes)
        assert await gate.enter()
        assert gate.expected == pytest.approx(takes, rel=0.1)
        gate.leave()


async def test_a_few_turns_that_take_long_do_not_have_a_crowd_turned_away(
    gate: Gate, clock: Clock
) -> None:
    """As measured when fifty clients opened their connections at once."""
    await learn(gate, clock, 0.003)
    for _ in range(4):
        clock.now += 1
        await turn(gate, clock, 0.08)
    await turn(gate, clock, 0)  # so that the gate is not quiet
    assert all(await asyncio.gather(*(turn(gate, clock, 0.003) for _ in range(70))))


async def test_who_comes_while_a_turn_is_passed_on_is_seen_waiting(
    gate: Gate, clock: Clock
) -> None:
    """Else the time in the queue counts as time of the turn, and all are turned away for that."""
    await learn(gate, clock, 0.1)
    assert await gate.enter()
    one_turn = gate.expected
    first = asyncio.create_task(gate.enter(None))
    await asyncio.sleep(0)
    second = asyncio.create_task(gate.enter(None))
    gate.leave()
    clock.now += 2 * QUIET
    await asyncio.sleep(0)
    assert gate.expected == pytest.approx(2 * one_turn, rel=0.1)
    assert await first
    gate.leave()
    assert await second
    gate.leave()


async def test_before_anything_is_learnt_turns_are_thought_to_be_short(gate: Gate) -> None:
    assert await gate.enter()
    assert gate.expected == FIRST_GUESS
    gate.leave()


async def test_turn_that_comes_much_later_than_expected_is_none(gate: Gate, clock: Clock) -> None:
    assert await gate.enter()
    waiting = asyncio.create_task(gate.enter(1.0))
    follower = asyncio.create_task(gate.enter(None))
    await asyncio.sleep(0)
    clock.now += OVERTIME + 0.01
    gate.leave()
    assert await waiting is False
    assert await follower is True, "who was turned away has passed the turn on"
    gate.leave()


async def test_who_was_let_in_before_waits_as_long_as_it_takes(gate: Gate, clock: Clock) -> None:
    await learn(gate, clock, 10)
    assert await gate.enter()
    assert not await gate.enter(1.0)
    waiting = asyncio.create_task(gate.enter(None))
    await asyncio.sleep(0)
    clock.now += 1000
    gate.leave()
    assert await waiting is True
    gate.leave()


@pytest.mark.parametrize("steps", range(4))
async def test_who_goes_away_while_waiting_holds_nobody_up(
    gate: Gate, clock: Clock, steps: int
) -> None:
    assert await gate.enter()
    leaving = asyncio.create_task(gate.enter(None))
    staying = asyncio.create_task(gate.enter(None))
    await asyncio.sleep(0)
    gate.leave()
    for _ in range(steps):
        await asyncio.sleep(0)
    if leaving.done():
        gate.leave()
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(1):
        assert await staying
    gate.leave()
    assert gate.expected == 0


async def test_who_goes_away_while_others_gather_gives_the_turn_back(
    gate: Gate, clock: Clock
) -> None:
    assert await turn(gate, clock, 0)
    leaving = asyncio.create_task(gate.enter(None))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(1):
        assert await gate.enter(None)
    gate.leave()
