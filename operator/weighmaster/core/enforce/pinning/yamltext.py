"""YAML inside a field (Ray's ``serveConfigV2``): a revision among the engine's arguments.

The text is edited, not written anew, so that comments and order stay. What comes of it is read
again, and has to be the same tree but for the revision.
"""

from collections.abc import Iterable
from typing import Any

import yaml
from msgspec import Struct
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from weighmaster.core.detect.yamltree import Loader, parse_text
from weighmaster.core.enforce.pinning.edits import Edit, Splice
from weighmaster.core.enforce.pinning.lines import Asked
from weighmaster.core.enforce.pinning.places import Keys
from weighmaster.core.values import Role

MAX_TEXT = 65_536
MAX_DEPTH = 60

_WRITTEN = ("revision", "tokenizer_revision")

Tree = Any


class _Member(Struct):
    """A member of a mapping: where its key starts, and its value: text, mapping or neither."""

    start: int
    value: "str | _Mapping | None" = None
    value_start: int = 0
    value_end: int = 0


class _Mapping(Struct):
    """A mapping of the text; ``start`` is where its brace or first key stands."""

    start: int
    flow: bool
    members: dict[str, _Member]


class _Unclear(Exception):  # noqa: N818 - never leaves this module
    """The text has something that is not looked into: anchors, several documents."""


def in_yaml(text: str, path: Keys, asked: Asked) -> list[Edit] | None:
    """Edits of a Serve configuration that names the model; None where there are none."""
    if len(text) > MAX_TEXT:
        return None
    try:
        mappings = _mappings(text)
    except (yaml.YAMLError, _Unclear, ValueError):
        return None
    edits: list[Edit] = []
    for mapping in mappings:
        found = _edit(text, mapping, path, asked)
        if found is not None:
            edits.append(found)
    if not edits or not _is_same_but_for_revisions(text, edits):
        return None
    return edits


def _edit(text: str, mapping: _Mapping, path: Keys, asked: Asked) -> Splice | None:
    members = mapping.members
    if asked.use.role is Role.DRAFT:
        draft = _inner(members, "speculative_config")
        if draft is not None and _says(draft, "model", asked.repository):
            return _put(text, draft, "revision", path, asked)
        return None
    if asked.use.role is Role.TOKENIZER:
        if _says(mapping, "tokenizer", asked.repository):
            return _put(text, mapping, "tokenizer_revision", path, asked)
        return None
    loading = _inner(members, "model_loading_config")
    if loading is None:
        return None
    name = "model_source" if "model_source" in loading.members else "model_id"
    if not _says(loading, name, asked.repository):
        return None
    engine = _inner(members, "engine_kwargs")
    if engine is not None:
        return _put(text, engine, "revision", path, asked)
    if "engine_kwargs" in members:
        return None
    position = members["model_loading_config"].start
    made = f'engine_kwargs: {{revision: "{asked.revision}"}}'
    return Splice(path, position, position, made + _separator(text, mapping, position))


def _put(text: str, mapping: _Mapping, key: str, path: Keys, asked: Asked) -> Splice | None:
    quoted = f'"{asked.revision}"'
    given = mapping.members.get(key)
    if given is not None:
        return Splice(path, given.value_start, given.value_end, quoted)
    if not mapping.members:
        return None
    position = min(member.start for member in mapping.members.values())
    made = f"{key}: {quoted}{_separator(text, mapping, position)}"
    return Splice(path, position, position, made)


def _separator(text: str, mapping: _Mapping, position: int) -> str:
    """What stands between a new member and the one that was at its place."""
    if mapping.flow:
        return ", "
    return "\n" + " " * (position - text.rfind("\n", 0, position) - 1)


def _inner(members: dict[str, _Member], key: str) -> _Mapping | None:
    member = members.get(key)
    value = member.value if member is not None else None
    return value if isinstance(value, _Mapping) else None


def _says(mapping: _Mapping, key: str, value: str) -> bool:
    member = mapping.members.get(key)
    return member is not None and member.value == value


def _mappings(text: str) -> list[_Mapping]:
    """Every mapping of the text, in the order in which they start."""
    walk = _Walk(text)
    for event in yaml.parse(text, Loader=Loader):
        walk.take(event)
    return walk.found


class _Walk:
    """Takes the events of a parser. No recursion: the text may be nested by anybody."""

    def __init__(self, text: str) -> None:
        self.found: list[_Mapping] = []
        self._lines = [0]
        for line in text.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._stack: list[_Mapping | None] = []
        self._waiting: list[_Member | None] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take one event; raises _Unclear for what is not looked into."""
        self._documents += isinstance(event, DocumentStartEvent)
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) or self._documents > 1:
            raise _Unclear
        if isinstance(event, CollectionEndEvent):
            self._stack.pop()
            self._waiting.pop()
        elif isinstance(event, ScalarEvent):
            self._place(event.value, event)
        elif isinstance(event, MappingStartEvent):
            mapping = _Mapping(self._index(event.start_mark), bool(event.flow_style), {})
            self.found.append(mapping)
            self._open(mapping, event)
        elif isinstance(event, SequenceStartEvent):
            self._open(None, event)

    def _open(self, mapping: _Mapping | None, event: Any) -> None:
        self._place(mapping, event)
        if len(self._stack) >= MAX_DEPTH:
            raise _Unclear
        self._stack.append(mapping)
        self._waiting.append(None)

    def _place(self, value: "str | _Mapping | None", event: Any) -> None:
        """Take a key, or the value of the key before."""
        owner = self._stack[-1] if self._stack else None
        if owner is None:
            return
        start, member = self._index(event.start_mark), self._waiting[-1]
        if member is None:
            if not isinstance(value, str) or value in owner.members or value == "<<":
                raise _Unclear
            self._waiting[-1] = owner.members[value] = _Member(start)
        else:
            member.value, member.value_start = value, start
            member.value_end = self._index(event.end_mark)
            self._waiting[-1] = None

    def _index(self, mark: Any) -> int:
        return int(self._lines[mark.line] + mark.column)


def _is_same_but_for_revisions(text: str, edits: Iterable[Edit]) -> bool:
    made = text
    splices = [edit for edit in edits if isinstance(edit, Splice)]
    for edit in sorted(splices, key=lambda edit: edit.start, reverse=True):
        made = made[: edit.start] + edit.text + made[edit.end :]
    before, after = parse_text(text), parse_text(made)
    return after is not None and _without(before) == _without(after)


def _without(tree: Tree) -> Tree:
    """A tree without its revisions; its depth has been looked at before."""
    if isinstance(tree, dict):
        kept = {key: _without(value) for key, value in tree.items() if key not in _WRITTEN}
        return {key: value for key, value in kept.items() if (key, value) != ("engine_kwargs", {})}
    if isinstance(tree, list):
        return [_without(item) for item in tree]
    return tree
