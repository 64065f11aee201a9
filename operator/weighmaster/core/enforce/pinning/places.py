"""Fields by their paths, as detection spells them (``spec.containers[0].args[3]``)."""

import re
from collections.abc import Mapping
from typing import Any

Json = Any

Keys = tuple[str | int, ...]
"""The keys and indices that lead to a field, from the top of the object."""

_STEP = re.compile(
    r"(?:\A|\.)([A-Za-z0-9_-]+)|\[(\d{1,9})\]|\['([^'\\\]]{1,200})'\]|\[\"([^\"\\\]]{1,200})\"\]"
)


def parse(path: str) -> Keys | None:
    """The keys of a path; None for one that cannot be taken apart for certain."""
    keys: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return None
        keys.append(int(match[2]) if match[2] else match[1] or match[3] or match[4])
        position = match.end()
    return tuple(keys)


def at(document: Json, keys: Keys) -> Json:
    """The value of a field; None where there is none."""
    for key in keys:
        if isinstance(key, int):
            if not isinstance(document, list) or key >= len(document):
                return None
        elif not isinstance(document, Mapping) or key not in document:
            return None
        document = document[key]
    return document


def text_at(document: Json, keys: Keys) -> str | None:
    """The text of a field; None where it holds none."""
    value = at(document, keys)
    return value if isinstance(value, str) else None


def words_at(document: Json, keys: Keys) -> list[str]:
    """The words of a list field; empty unless it is a list of texts."""
    value = at(document, keys)
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    return []
