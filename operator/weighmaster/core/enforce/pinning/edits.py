"""Edits: small changes of an object, and what they do to the paths of its fields.

All paths and positions of a set of edits are those of the object before any of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from weighmaster.core.enforce.pinning.places import Keys, at

Json = Any
Document = Mapping[str, Any]


class Splice(Struct, frozen=True):
    """Characters ``start`` to ``end`` of a text are replaced."""

    path: Keys
    start: int
    end: int
    text: str


class Insert(Struct, frozen=True):
    """Items come before the item ``index`` of a list."""

    path: Keys
    index: int
    items: tuple[Json, ...]


class Put(Struct, frozen=True):
    """A member of a mapping gets a value. A mapping that is missing is made."""

    path: Keys
    key: str
    value: Json


Edit = Splice | Insert | Put


class Conflict(Exception):  # noqa: N818 - caught by the only module that applies edits
    """Edits that do not fit the object, or each other."""


def apply(document: Document, edits: Iterable[Edit]) -> Document:
    """The object with all edits made; what they do not touch is shared with the original.

    Raises Conflict.
    """
    distinct: list[Edit] = []
    for edit in edits:
        if edit not in distinct:
            distinct.append(edit)
    texts: dict[Keys, list[Splice]] = {}
    for edit in distinct:
        if isinstance(edit, Splice):
            texts.setdefault(edit.path, []).append(edit)
    for path, splices in texts.items():
        document = _replace(document, path, _spliced(at(document, path), splices))
    for edit in distinct:
        if isinstance(edit, Put):
            document = _put(document, edit)
    inserts = [edit for edit in distinct if isinstance(edit, Insert)]
    for edit in sorted(inserts, key=lambda edit: edit.index, reverse=True):
        items = at(document, edit.path)
        if not isinstance(items, list) or edit.index > len(items):
            raise Conflict
        made = [*items[: edit.index], *edit.items, *items[edit.index :]]
        document = _replace(document, edit.path, made)
    return document


def moved(path: Keys, edits: Iterable[Edit]) -> Keys:
    """Where a field stands once all edits are made."""
    keys = list(path)
    for edit in edits:
        depth = len(edit.path)
        if isinstance(edit, Insert) and len(path) > depth and path[:depth] == edit.path:
            index, now = path[depth], keys[depth]
            if isinstance(index, int) and isinstance(now, int) and index >= edit.index:
                keys[depth] = now + len(edit.items)
    return tuple(keys)


def _spliced(value: Json, splices: Sequence[Splice]) -> str:
    if not isinstance(value, str):
        raise Conflict
    text, end = value, len(value)
    for splice in sorted(splices, key=lambda splice: (splice.start, splice.end), reverse=True):
        if splice.end > end or splice.start > splice.end:
            raise Conflict
        text = text[: splice.start] + splice.text + text[splice.end :]
        end = splice.start
    return text


def _put(document: Document, edit: Put) -> Document:
    mapping = at(document, edit.path)
    if mapping is None:
        holder, key = edit.path[:-1], edit.path[-1]
        if isinstance(key, int) or not isinstance(at(document, holder), Mapping):
            raise Conflict
        return _put(document, Put(holder, key, {edit.key: edit.value}))
    if not isinstance(mapping, Mapping):
        raise Conflict
    return _replace(document, edit.path, {**mapping, edit.key: edit.value})


def _replace(document: Document, path: Keys, value: Json) -> Document:
    """The object with another value at a field that is there, sharing all it can."""
    made: Json = _copy(document)
    here = made
    for depth, key in enumerate(path):
        if depth + 1 == len(path):
            here[key] = value
        else:
            here[key] = _copy(here[key])
            here = here[key]
    return made if path else value  # type: ignore[no-any-return]


def _copy(value: Json) -> Json:
    return list(value) if isinstance(value, list) else dict(value)
