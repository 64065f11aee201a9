"""Which connection gives way when there are too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighmaster.admission.connections import FIRST_REQUEST, Connections


class Connection:
    """One that notes that it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def force_close(self) -> None:
        self.is_closed = True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def used(connections: Connections) -> Connection:
    """A connection that has had a request."""
    made = Connection()
    connections.opened(made)
    connections.busy(made)
    connections.idle(made)
    return made


def test_the_one_idle_for_longest_gives_way_to_a_new_one(clock: Clock) -> None:
    connections = Connections(4, clock)
    first, second, third, fourth = (used(connections) for _ in range(4))
    connections.busy(first)
    connections.idle(first)
    new = Connection()
    connections.opened(new)
    assert [each.is_closed for each in (first, second, third, fourth, new)] == [
        False, True, False, False, False,
    ]  # fmt: skip
    assert len(connections) == 4


def test_one_that_is_being_answered_never_gives_way(clock: Clock) -> None:
    connections = Connections(2, clock)
    busy = [used(connections) for _ in range(2)]
    for each in busy:
        connections.busy(each)
    new = Connection()
    connections.opened(new)
    assert new.is_closed
    assert not any(each.is_closed for each in busy)
    assert len(connections) == 2


def test_many_that_have_never_asked_anything_do_not_push_out_those_that_have(clock: Clock) -> None:
    connections = Connections(100, clock)
    ours = [used(connections) for _ in range(70)]
    flood = [Connection() for _ in range(1000)]
    for each in flood:
        connections.opened(each)
    assert not any(each.is_closed for each in ours)
    assert len(connections) <= 100


def test_one_that_asks_nothing_is_closed_after_a_while(clock: Clock) -> None:
    connections = Connections(10, clock)
    old, asked = Connection(), used(connections)
    connections.opened(old)
    clock.now = FIRST_REQUEST / 2
    young = Connection()
    connections.opened(young)
    clock.now = FIRST_REQUEST
    connections.close_silent()
    assert [old.is_closed, asked.is_closed, young.is_closed] == [True, False, False]
    assert len(connections) == 2


def test_one_that_is_lost_while_it_is_answered_is_forgotten(clock: Clock) -> None:
    connections = Connections(10, clock)
    lost = used(connections)
    connections.busy(lost)
    connections.closed(lost)
    connections.idle(lost)
    assert len(connections) == 0


@given(st.lists(st.sampled_from(["open", "busy", "idle", "lost"]), max_size=80), st.data())
def test_there_are_never_more_than_allowed(steps: list[str], data: st.DataObject) -> None:
    connections = Connections(5, Clock())
    known: list[Connection] = []
    for step in steps:
        open_ones = [each for each in known if not each.is_closed]
        if step == "open":
            known.append(Connection())
            connections.opened(known[-1])
        elif open_ones:
            chosen = data.draw(st.sampled_from(open_ones))
            {"busy": connections.busy, "idle": connections.idle, "lost": connections.closed}[step](
                chosen
            )
        assert len(connections) <= 5
