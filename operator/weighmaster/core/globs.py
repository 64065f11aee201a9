"""Globs over canonical references: anchored at both ends, wildcards bound to path segments.

``*`` stands for any text within one segment, ``**`` as a whole segment for any number of them.
Matching is linear-time greedy search, never a regular expression, so no glob can be made slow.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

from weighmaster.core.references import CASE_FOLDED_SCHEMES
from weighmaster.core.values import ModelReference

Owner = TypeVar("Owner")

_FOLDED_PREFIXES = tuple(f"{scheme}:" for scheme in CASE_FOLDED_SCHEMES)


def fold(text: str) -> str:
    """``text`` in lower case where its scheme's hub takes two cases for one name."""
    return text.lower() if text.startswith(_FOLDED_PREFIXES) else text


def spellings(reference: ModelReference) -> tuple[str, ...]:
    """The forms of a reference that a glob may name: without a version, with it, with the file."""
    canonical = fold(reference.canonical)
    forms = [fold(reference.location)]
    for form in (canonical.partition("#")[0], canonical.partition("@sha256:")[0], canonical):
        if form not in forms:
            forms.append(form)
    return tuple(forms)


class Glob:
    """One compiled glob."""

    __slots__ = ("_prefix", "_segments", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        folded = fold(pattern)
        literal = folded.removesuffix("**")
        self._prefix = literal if literal != folded and "*" not in literal else None
        self._segments = folded.split("/")

    def matches(self, forms: Iterable[str]) -> bool:
        """Whether it matches one of the spellings of a reference."""
        prefix = self._prefix
        if prefix is not None:
            for form in forms:  # noqa: SIM110 - hot: a generator costs four times as much
                if form.startswith(prefix) and form != prefix:
                    return True
            return False
        return any(_match_segments(self._segments, form.split("/")) for form in forms)


def _match_segments(pattern: list[str], text: list[str]) -> bool:
    """Greedy, with backtracking to the last ``**`` only: at most len(pattern) * len(text) steps."""
    p = t = 0
    star = resume = -1
    while t < len(text):
        if p < len(pattern) and pattern[p] == "**":
            star, resume = p, t
            p += 1
        elif p < len(pattern) and _match_segment(pattern[p], text[t]):
            p += 1
            t += 1
        elif star >= 0:
            resume += 1
            p, t = star + 1, resume
        else:
            return False
    return all(part == "**" for part in pattern[p:])


def _match_segment(pattern: str, text: str) -> bool:
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == text
    last = middle.pop()
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class NamespaceIndex(Generic[Owner]):
    """Who owns a location, found by its prefixes: the cost does not grow with the owners.

    Takes the forms a ModelPublisher may use: a literal location, ``prefix/*`` for one level below
    and ``prefix/**`` for everything below.
    """

    __slots__ = ("_below", "_exact", "_level")

    def __init__(self, entries: Iterable[tuple[str, Owner]]) -> None:
        self._exact: dict[str, list[Owner]] = {}
        self._level: dict[str, list[Owner]] = {}
        self._below: dict[str, list[Owner]] = {}
        for pattern, owner in entries:
            folded = fold(pattern)
            if folded.endswith("/**"):
                self._below.setdefault(folded[:-3], []).append(owner)
            elif folded.endswith("/*"):
                self._level.setdefault(folded[:-2], []).append(owner)
            else:
                self._exact.setdefault(folded, []).append(owner)

    def owners(self, location: str) -> tuple[Owner, ...]:
        """Every owner of a location (folded), each once, in no meaningful order."""
        found: list[Owner] = list(self._exact.get(location, ()))
        parent = location.rpartition("/")[0]
        found += self._level.get(parent, ())
        while parent and not parent.endswith(("/", ":")):
            found += self._below.get(parent, ())
            parent = parent.rpartition("/")[0]
        return tuple(dict.fromkeys(found))
