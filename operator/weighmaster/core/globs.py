"""Globs over canonical references: anchored at both ends, wildcards bound to path segments.

``*`` stands for any text within one segment, ``**`` as a whole segment for any number of them.
Matching is linear-time greedy search, never a regular expression, so no glob can be made slow.
"""

from collections.abc import Iterable
from string import ascii_lowercase, ascii_uppercase
from typing import Generic, TypeVar

from weighmaster.core.hub_urls import pulled_from, repository_of
from weighmaster.core.references import CASE_FOLDED_SCHEMES
from weighmaster.core.values import ModelReference

Owner = TypeVar("Owner")

_FOLDED_PREFIXES = tuple(f"{scheme}:" for scheme in CASE_FOLDED_SCHEMES)
_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_REGISTRY_PREFIXES = ("oci://", "nim:", "aim:", "image-embedded:")
_DOCKER_HUB = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_OLLAMA = "ollama://"
_OLLAMA_DEFAULTS = ("registry.ollama.ai/", "library/")
"""What a name in Ollama's own library may be written with or without."""


def fold(location: str) -> str:
    """A location as its hub or registry compares it; neither version nor file may be in it.

    Where two cases are one name it is in lower case, ASCII only: a letter that merely lowers to an
    ASCII one (the Kelvin sign) is another letter. Registries lose their default port, Docker Hub
    its other names, and what is of Docker Hub or Ollama's library by default says so no more or
    no less than what is of it by name.
    """
    if location.startswith(_FOLDED_PREFIXES):
        location = location.lower() if location.isascii() else location.translate(_ASCII_LOWER)
    if location.startswith(_REGISTRY_PREFIXES):
        return _fold_registry(location)
    if location.startswith(_OLLAMA):
        name = location.removeprefix(_OLLAMA)
        for default in _OLLAMA_DEFAULTS:
            name = name.removeprefix(default)
        return f"{_OLLAMA}{name}"
    return location


def _fold_registry(location: str) -> str:
    prefix = next(filter(location.startswith, _REGISTRY_PREFIXES))
    name = location.removeprefix(prefix)
    host, slash, repository = name.partition("/")
    if "*" in host:  # of a glob, for any registry
        return location
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        # https://github.com/distribution/reference: a first part like this is no registry.
        host, slash, repository = "docker.io", "/", name
    host = host.removesuffix(":443")
    if host in _DOCKER_HUB or host == "docker.io":
        host = "docker.io"
        if repository and "/" not in repository and "*" not in repository:
            repository = f"library/{repository}"
    return f"{prefix}{host}{slash}{repository}"


def aliases(reference: ModelReference) -> tuple[str, ...]:
    """The location of a reference, folded, and what else it is known by: the hub by its URL."""
    location = fold(reference.location)
    repository = repository_of(reference) or pulled_from(reference)
    return (location,) if repository is None else (location, fold(repository.location))


def spellings(reference: ModelReference) -> tuple[str, ...]:
    """The forms that an exclusion or an exception may name: the location, and all of it."""
    location = fold(reference.location)
    whole = location + reference.canonical[len(reference.location) :]
    if reference.file is None:  # then # is a letter of the name, as in an object's key
        return (location,) if whole == location else (location, whole)
    return tuple(dict.fromkeys((location, whole.partition("#")[0], whole)))


def wide_spellings(reference: ModelReference) -> tuple[str, ...]:
    """The forms that a match may name: also by another address, or by a tag beside a digest."""
    forms = spellings(reference)
    tags = tuple(form.partition("@sha256:")[0] for form in forms)
    return tuple(dict.fromkeys((*forms, *tags, *aliases(reference))))


def _fold_pattern(pattern: str) -> str:
    """Fold the part of a glob that names the location; a tag, revision or file stays as it is."""
    end = min((at for at in map(pattern.find, "@#") if at >= 0), default=len(pattern))
    if pattern.startswith(_REGISTRY_PREFIXES):
        colon = pattern.rfind(":", 0, end)
        if colon > pattern.rfind("/", 0, end):
            end = colon
    return fold(pattern[:end]) + pattern[end:]


class Glob:
    """One compiled glob."""

    __slots__ = ("_prefix", "_segments", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        folded = _fold_pattern(pattern)
        literal = folded.removesuffix("**")
        bounded = literal != folded and literal.endswith(("/", ":"))
        self._prefix = literal if bounded and "*" not in literal else None
        self._segments = folded.split("/")

    @property
    def backtracking(self) -> int:
        """How many segments are tried again at each segment of a text, after a ``**``."""
        if self._prefix is not None or "**" not in self._segments:
            return 0
        return len(self._segments) - self._segments.index("**") - 1

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
        while parent:  # down to the scheme; a segment may be empty (s3://bucket//key)
            found += self._below.get(parent, ())
            parent = parent.rpartition("/")[0]
        return tuple(dict.fromkeys(found))
