"""YAML to JSON values, without recursion and with every amount bounded.

PyYAML's own composer recurses (deep input kills the process), expands aliases without limit and
lets later keys silently replace earlier ones. This builder works on the parser's events.
"""

from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_DEPTH = 200
MAX_EVENTS = 1_000_000
MAX_ALIASED = 100_000
"""Values that all aliases of a document may come to."""

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.SafeLoader("")
_INT, _FLOAT, _BOOL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool"
_NULL = "tag:yaml.org,2002:null"
_FIRST = frozenset("0123456789+-.~nNtTfFyYoO=<")


class YamlProblem(Exception):  # noqa: N818 - private to readers, who turn it into their own errors
    """The text cannot be read; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Node:
    __slots__ = ("anchor", "key", "line", "pending", "size", "value")

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: Any = None
        self.pending = False
        self.size = 1
        self.line = 0


class Builder:
    """Builds one document; ``duplicates`` lists keys that occur twice, with their lines."""

    def __init__(self) -> None:
        self.stack: list[_Node] = []
        self.root: Any = None
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.aliased = 0
        self.events = 0
        self.duplicates: list[tuple[str, int]] = []

    def feed(self, event: Any) -> None:
        """Take one event of the document."""
        self.events += 1
        if self.events > MAX_EVENTS:
            raise YamlProblem(_line(event), "too many values in one document")
        kind = type(event)
        if kind is ScalarEvent:
            value = _scalar(event)
            if event.anchor:
                self.anchors[event.anchor] = (value, 1)
            self._put(value, 1, event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            if len(self.stack) >= MAX_DEPTH:
                raise YamlProblem(_line(event), f"nested deeper than {MAX_DEPTH} levels")
            self.stack.append(_Node({} if kind is MappingStartEvent else [], event.anchor))
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            node = self.stack.pop()
            if node.anchor:
                self.anchors[node.anchor] = (node.value, node.size)
            self._put(node.value, node.size, event)
        elif kind is AliasEvent:
            if event.anchor not in self.anchors:
                raise YamlProblem(_line(event), f"alias *{event.anchor[:40]} has no anchor")
            value, size = self.anchors[event.anchor]
            self.aliased += size
            if self.aliased > MAX_ALIASED:
                raise YamlProblem(_line(event), "aliases expand to too many values")
            self._put(value, size, event)

    def _put(self, value: Any, size: int, event: Any) -> None:
        if not self.stack:
            self.root = value
            return
        node = self.stack[-1]
        node.size += size
        if type(node.value) is list:
            node.value.append(value)
        elif not node.pending:
            node.key = _key(value)
            node.pending = True
            node.line = _line(event)
        else:
            node.pending = False
            self._pair(node, value, event)

    def _pair(self, node: _Node, value: Any, event: Any) -> None:
        key = node.key
        if key == "<<" and type(value) in (dict, list):
            for merged in value if type(value) is list else [value]:
                if type(merged) is dict:
                    self.aliased += len(merged)
                    for name, inner in merged.items():
                        node.value.setdefault(name, inner)
            if self.aliased > MAX_ALIASED:
                raise YamlProblem(_line(event), "merge keys expand to too many values")
            return
        if key in node.value:
            self.duplicates.append((key, node.line))
            value = _both(node.value[key], value)
        node.value[key] = value


def _both(first: Any, second: Any) -> Any:
    """What a key that occurs twice may mean: the last value, and nothing of the first lost.

    Readers disagree on which one counts, so lists are joined and mappings merged.
    """
    if type(first) is dict and type(second) is dict:
        return {**first, **second}
    if type(first) is list and type(second) is list:
        return second + [item for item in first[:1000] if item not in second[:1000]]
    return second


def _key(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) in (dict, list):
        return "{}"
    return str(value)


def _line(event: Any) -> int:
    mark = getattr(event, "start_mark", None)
    return (mark.line if mark is not None else 0) + 1


def _scalar(event: Any) -> Any:
    value: str = event.value
    if not event.implicit[0] or event.style:
        if event.tag == _BINARY or not event.tag:
            return value
        if event.tag not in (_INT, _FLOAT, _BOOL, _NULL):
            return value
        tag = event.tag
    else:
        if value and value[0] not in _FIRST:
            return value
        tag = _RESOLVER.resolve(yaml.ScalarNode, value, (True, False))
    if tag == _NULL:
        return None
    if tag == _BOOL:
        lowered = value.lower()
        if lowered in ("true", "false"):
            return lowered == "true"
        return value  # YAML 1.2, which Kubernetes reads, has no other booleans
    if tag in (_INT, _FLOAT):
        return _number(value, tag)
    return value


_BINARY = "tag:yaml.org,2002:binary"


def _number(value: str, tag: str) -> Any:
    if len(value) > 300:
        return value
    try:
        if tag == _INT:
            if ":" in value:
                return value
            digits = value.replace("_", "")
            return int(digits, 0) if digits.lower().startswith(("0x", "0o", "0b")) else int(digits)
        number = float(value.replace("_", ""))
    except ValueError:
        return value
    return number if number == number and abs(number) != float("inf") else value  # noqa: PLR0124


def load(text: str) -> tuple[Any, list[tuple[str, int]]]:
    """Read one document; its value and its duplicate keys. Raises `YamlProblem`."""
    builder = Builder()
    try:
        for event in yaml.parse(text, Loader=Loader):
            builder.feed(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or "not valid YAML"
        raise YamlProblem((mark.line if mark is not None else 0) + 1, str(message)) from None
    except (UnicodeError, ValueError, RecursionError):
        raise YamlProblem(1, "not readable text") from None
    return builder.root, builder.duplicates


def parse_text(text: str) -> Any:
    """A YAML (or JSON) text inside a manifest; ``None`` where it cannot be read."""
    if len(text) > 1_000_000:
        return None
    try:
        return load(text)[0]
    except YamlProblem:
        return None
