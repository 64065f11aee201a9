"""Marks: what pinning notes on an object for people, and for its own next time.

- The annotation ``weighmaster.dev/pinned`` says which fields were rewritten and what they asked
  for, one to a line: ``spec.template.spec.containers[0].args[1]=hf://org/name``.
- The label ``weighmaster.dev/awaiting-evidence`` is on objects that wait to be pinned, with the
  value ``repin`` on those that wait to be pinned anew.
- Whoever changes the annotation ``weighmaster.dev/repin`` asks for the revisions of today.

None of them decides anything that a policy decides: forged, they make an object's own pins stay or
move, and these are judged like any others.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from weighmaster.core.detect import detect
from weighmaster.core.enforce.pinning.places import Keys, at
from weighmaster.core.evaluate.records import read_reference
from weighmaster.core.values import ModelReference

PINNED = "weighmaster.dev/pinned"
REPIN = "weighmaster.dev/repin"
AWAITING = "weighmaster.dev/awaiting-evidence"
AGAIN = "repin"
"""The value of the label on what is pinned, and was asked to move before it was known where to."""

MAX_NOTED = 4096
"""Characters of the annotation; what is over it is pinned all the same, and not noted."""

Document = Mapping[str, Any]

_ANNOTATIONS: Keys = ("metadata", "annotations")
_LABELS: Keys = ("metadata", "labels")


def is_awaiting(document: Document) -> bool:
    """Whether an object says that it waits to be pinned."""
    return AWAITING in _mapping(document, _LABELS)


def is_marked(document: Document) -> bool:
    """Whether pinning has noted anything on an object."""
    return is_awaiting(document) or PINNED in _mapping(document, _ANNOTATIONS)


def asks_now(document: Document, old: Document | None) -> bool:
    """Whether with this change somebody asks for other revisions than were written before."""
    if old is None:
        return False
    asked = _mapping(document, _ANNOTATIONS).get(REPIN)
    return asked is not None and asked != _mapping(old, _ANNOTATIONS).get(REPIN)


def asks_again(document: Document, old: Document | None) -> bool:
    """Whether somebody asks for that, or has asked and has not been given them yet."""
    return asks_now(document, old) or _mapping(old, _LABELS).get(AWAITING) == AGAIN


def waits_for(document: Document) -> list[ModelReference]:
    """The references that an object with the label is to be pinned to what they stand for."""
    moving = [use.reference for use in detect(document) if not use.reference.pinned]
    if _mapping(document, _LABELS).get(AWAITING) == AGAIN:
        moving += noted(document).values()
    return moving


def noted(document: Document | None) -> dict[str, ModelReference]:
    """The fields that were rewritten, and the reference that each had asked for."""
    text = _mapping(document, _ANNOTATIONS).get(PINNED)
    found = {}
    for line in text[:MAX_NOTED].split("\n") if isinstance(text, str) else ():
        path, _, reference = line.rpartition("=")
        if path:
            found[path] = read_reference(reference)
    return found


def marked(document: Document, notes: Iterable[tuple[str, str]], awaiting: str | None) -> Document:
    """The object with exactly these notes, and with the label at this value or without it."""
    lines: list[str] = []
    for path, reference in notes:
        line = f"{path}={reference}"
        if sum(map(len, lines)) + len(lines) + len(line) <= MAX_NOTED:
            lines.append(line)
    document = _with(document, _ANNOTATIONS, PINNED, "\n".join(lines) or None)
    return _with(document, _LABELS, AWAITING, awaiting)


def _with(document: Document, keys: Keys, name: str, value: str | None) -> Document:
    """The object with a member of a map in its metadata, or without it."""
    metadata, present = at(document, keys[:1]), _mapping(document, keys)
    if not isinstance(metadata, Mapping) or present.get(name) == value:
        return document
    kept = {key: each for key, each in present.items() if key != name}
    if value is not None:
        kept[name] = value
    return {**document, "metadata": {**metadata, str(keys[-1]): kept}}


def _mapping(document: Document | None, keys: Keys) -> Mapping[str, Any]:
    found = at(document, keys)
    return found if isinstance(found, Mapping) else {}
