"""Matching: as many as possible of some get one each of what they may have, and nothing twice."""

from collections.abc import Hashable, Mapping, Set
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def match(choices: Mapping[Key, Set[int]]) -> dict[int, Key]:
    """Who gets which number: a maximum matching (Kuhn), the same for the same order of choices."""
    taken: dict[int, Key] = {}

    def place(key: Key, tried: set[int]) -> bool:
        for number in sorted(choices[key] - tried):
            tried.add(number)
            if number not in taken or place(taken[number], tried):
                taken[number] = key
                return True
        return False

    for key in choices:
        place(key, set())
    return taken
