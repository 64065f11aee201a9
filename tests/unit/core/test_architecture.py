"""Every reason is explained, and every error has its place in the tree."""

import re

import weighmaster.errors
from weighmaster.core.reasons import EXPLANATIONS, Reason
from weighmaster.errors import WeighmasterError


def test_every_reason_has_an_explanation_for_people() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    for reason, text in EXPLANATIONS.items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", reason), reason
        assert text.endswith("."), reason
    assert len(set(EXPLANATIONS.values())) == len(Reason)


def every(kind: type[WeighmasterError]) -> set[type[WeighmasterError]]:
    return {kind}.union(*(every(child) for child in kind.__subclasses__()))


def test_every_error_stands_in_the_tree_below_its_parent() -> None:
    lines = (weighmaster.errors.__doc__ or "").splitlines()
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in lines:
        found = re.search(r"\b([A-Z]\w*Error)\b", line)
        if not found or not re.match(r"^ {4}[│├└─ ]*" + found[1], line):
            continue
        while path and path[-1][0] >= found.start():
            path.pop()
        parents[found[1]] = path[-1][1] if path else "Exception"
        path.append((found.start(), found[1]))
    ours = {kind for kind in every(WeighmasterError) if kind.__module__ == "weighmaster.errors"}
    assert parents == {kind.__name__: kind.__bases__[0].__name__ for kind in ours}


def test_no_error_of_ours_is_defined_elsewhere() -> None:
    assert {kind.__module__ for kind in every(WeighmasterError)} == {"weighmaster.errors"}
