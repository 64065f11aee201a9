"""Patches give the object they were made for, and say no more than differs."""

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighmaster.core.patch import difference

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b/c", "d~e"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "y", "a/b", "m~n"]), inner, max_size=3)
    ),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.sampled_from(["x", "y", "a/b"]), _JSON, max_size=3)


def strictly_equal(one: Any, other: Any) -> bool:
    return repr_of(one) == repr_of(other)


def repr_of(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{repr_of(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(repr_of, value)) + "]"
    return repr(value)


@given(before=_OBJECTS, after=_OBJECTS)
def test_patch_gives_the_object_it_was_made_for(before: Any, after: Any) -> None:
    patch = copy.deepcopy(list(difference(before, after)))
    assert strictly_equal(jsonpatch.apply_patch(before, patch), after)


@given(value=_OBJECTS)
def test_equal_objects_need_no_patch(value: Any) -> None:
    assert difference(value, copy.deepcopy(value)) == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([1, 2, 3], [1, 2, 3, 4], [("add", "/3")]),
        ([1, 2, 3], [0, 1, 2, 3], [("add", "/0")]),
        ([1, 2, 3], [1, 3], [("remove", "/1")]),
        ([1, 2, 3], [1, 5, 3], [("replace", "/1")]),
        ([{"a": 1}, {"b": 1}], [{"a": 2}, {"b": 1}], [("replace", "/0/a")]),
        ({"a": True}, {"a": 1}, [("replace", "/a")]),
        ({"a": None}, {}, [("remove", "/a")]),
    ],
)
def test_patch_says_no_more_than_differs(
    before: Any, after: Any, expected: list[tuple[str, str]]
) -> None:
    found = [(operation["op"], operation["path"]) for operation in difference(before, after)]
    assert found == expected
