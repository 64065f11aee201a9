"""Edits of an object, their paths, and edits that do not fit."""

import pytest

from weighmaster.core.enforce.pinning.edits import Conflict, Edit, Insert, Put, Splice, apply, moved
from weighmaster.core.enforce.pinning.places import Keys, at, parse

DOCUMENT = {"spec": {"args": ["a", "b"], "name": "x=y", "env": [{"name": "N"}]}}
ARGS: Keys = ("spec", "args")


def test_edits_are_about_the_object_before_all_of_them() -> None:
    edits: list[Edit] = [
        Insert(ARGS, 1, ("one",)),
        Insert(ARGS, 2, ("two", "three")),
        Splice((*ARGS, 1), 0, 1, "B"),
        Splice(("spec", "name"), 0, 1, "X"),
        Splice(("spec", "name"), 2, 3, "Y"),
        Put(("spec",), "new", 1),
        Put(("spec", "deep"), "er", 2),
    ]
    made = apply(DOCUMENT, edits)
    assert made["spec"]["args"] == ["a", "one", "B", "two", "three"]
    assert made["spec"]["name"] == "X=Y"
    assert (made["spec"]["new"], made["spec"]["deep"]) == (1, {"er": 2})
    assert DOCUMENT["spec"]["args"] == ["a", "b"]


def test_an_edit_that_two_uses_ask_for_is_made_once() -> None:
    insert = Insert(ARGS, 0, ({"name": "N"},))
    assert apply(DOCUMENT, [insert, insert])["spec"]["args"] == [{"name": "N"}, "a", "b"]


def test_what_is_not_edited_is_shared() -> None:
    made = apply(DOCUMENT, [Insert(ARGS, 0, ("z",))])
    assert made["spec"]["env"] is DOCUMENT["spec"]["env"]


@pytest.mark.parametrize(
    "edits",
    [
        [Splice(("spec", "name"), 0, 2, "a"), Splice(("spec", "name"), 1, 3, "b")],
        [Splice(("spec", "args"), 0, 1, "a")],
        [Splice(("spec", "name"), 2, 9, "a")],
        [Insert(ARGS, 3, ("a",))],
        [Insert(("spec", "name"), 0, ("a",))],
        [Put(("spec", "name"), "a", 1)],
        [Put(("none", "name"), "a", 1)],
    ],
)
def test_edits_that_do_not_fit_are_a_conflict(edits: list[Edit]) -> None:
    with pytest.raises(Conflict):
        apply(DOCUMENT, edits)


def test_what_stands_behind_an_insertion_moves() -> None:
    edits = [Insert(ARGS, 1, ("one",)), Insert(ARGS, 2, ("two", "three"))]
    places = [moved((*ARGS, index), edits)[-1] for index in range(4)]
    assert places == [0, 2, 5, 6]
    assert moved(("spec", "env", 3, "value"), edits) == ("spec", "env", 3, "value")


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("spec.containers[0].args[12]", ("spec", "containers", 0, "args", 12)),
        ("spec.volumes[1].csi['a.b/c']", ("spec", "volumes", 1, "csi", "a.b/c")),
        ("spec.services['my svc'].x", ("spec", "services", "my svc", "x")),
        ("", ()),
        ("spec['it\\'s']", None),
        ("spec..x", None),
        ("spec['long...", None),
    ],
)
def test_paths_are_taken_apart_for_certain_or_not_at_all(path: str, keys: Keys | None) -> None:
    assert parse(path) == keys


def test_a_field_that_is_not_there_is_none() -> None:
    assert at(DOCUMENT, ("spec", "args", 2)) is None
    assert at(DOCUMENT, ("spec", "name", 0)) is None
    assert at(DOCUMENT, ("spec", "args", "x")) is None
