"""CEL expressions over the predicate of an attestation, which is whatever its signer wrote.

Its size is bounded, but not what comprehensions over it may cost. So only the parts that an
expression names are looked at, and how large they are decides whether it is run: one that could
take longer than ``MAX_COST`` is an error and never a pass.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cel
import msgspec
from msgspec import Struct

from weighmaster.core.evaluate.cel_source import (
    COMPREHENSION,
    Source,
    compile_source,
    cost_of_patterns,
    read_source,
    too_costly,
    truth,
)
from weighmaster.errors import ExpressionError

PRESENCE = "true"
"""The expression that asks for no more than that there is an attestation."""

MAX_DEPTH = 64
MAX_SUMS = 8
"""Uses of ``+``: joining texts and lists to themselves makes them grow."""

MAX_COST = 5_000
"""Microseconds, roughly, that judging all predicates of one rule may take."""

MAX_COST_OF_LOOPS = 20_000
"""The same for an expression with comprehensions."""

TEXT = 512
"""Characters of a text that weigh as much as a number."""

_MENTION = re.compile(r"(?<![\w.])predicate\b((?:\s*\.\s*[A-Za-z_]\w*)*)(\s*\()?")
_BOUND = re.compile(r"\(\s*predicate\s*,")
_GROWING = re.compile(r"\.\s*(?:map|filter)\s*\(")

Value = object
Path = tuple[str, ...]


class _Mention(Struct, frozen=True):
    """Where an expression reads the predicate: which member, and how.

    ``ranged`` is whether a comprehension runs over it, ``inside`` whether it is read at every step
    of one.
    """

    path: Path
    ranged: bool
    inside: bool


class PredicateExpression:
    """A compiled expression; raises ExpressionError when it may not be used."""

    __slots__ = (
        "_mentions",
        "_paths",
        "_patterns",
        "_program",
        "_source",
        "cost",
        "presence",
        "text",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.presence = text.strip() == PRESENCE
        """Whether it holds whatever the predicate is."""
        self._program = compile_source(text)
        self._source = read_source(text)
        self._patterns = cost_of_patterns(self._source)
        self._mentions = tuple(_mentions(self._source))
        self._paths = tuple(sorted({mention.path for mention in self._mentions}, key=len))
        loops = self._source.nesting
        self.cost = 0 if self.presence else MAX_COST_OF_LOOPS if loops else MAX_COST
        """Microseconds, roughly, that it may take for all predicates of a rule."""
        if not self.presence and "predicate" not in self._program.variables():
            raise ExpressionError("the expression does not read predicate")
        if _BOUND.search(self._source.bare):
            raise ExpressionError("the expression gives the name predicate to something else")
        if self._source.bare.count("+") > MAX_SUMS:
            raise ExpressionError(f"the expression has more than {MAX_SUMS} times +")
        if self._patterns > self.cost:
            raise too_costly()

    def judge(self, predicates: Sequence[str]) -> Iterator[bool | ExpressionError]:
        """Whether it holds for each of several predicates (JSON), or why that cannot be said."""
        left = self.cost
        for text in predicates:
            try:
                predicate = _read(text)
                left = self._spend(left, predicate)
                yield truth(self._program, cel.Context({"predicate": self._named(predicate)}))
            except ExpressionError as error:
                yield error

    def found(self, text: str) -> Iterator[tuple[str, str]]:
        """The members that it reads, and what they are in a predicate, JSON."""
        predicate = _read(text)
        for path in dict.fromkeys(mention.path for mention in self._mentions):
            value = _at(predicate, path)
            if path and value is not _NOTHING:
                yield ".".join(("predicate", *path)), msgspec.json.encode(value).decode()

    def _named(self, predicate: Mapping[str, Value]) -> dict[str, Value]:
        """The predicate without what the expression does not read."""
        named: dict[str, Any] = {}
        for path in self._paths:
            if not path:
                return dict(predicate)
            _copy(predicate, named, path)
        return named

    def _spend(self, left: int, predicate: Mapping[str, Value]) -> int:
        cost = self._estimate(predicate)
        if cost > left:
            raise ExpressionError(
                "the predicate is too large for it; read fewer members, nest fewer comprehensions,"
                " and use exists instead of filter"
            )
        return left - cost

    def _estimate(self, predicate: Mapping[str, Value]) -> int:
        """Microseconds, roughly, that an evaluation takes at most.

        A node takes one to convert, and a quarter at every operation that copies or compares it. A
        comprehension over a member takes a step for each of its items, one within it a step for
        each of theirs. Where a step reads the predicate again, or adds to a list, it may touch all
        of that.
        """
        shapes = {path: _shape(_at(predicate, path)) for path in self._paths}
        if max(shape.depth for shape in shapes.values()) > MAX_DEPTH:
            raise ExpressionError(f"the predicate is nested deeper than {MAX_DEPTH} levels")
        read = [(mention, shapes[mention.path]) for mention in self._mentions]
        nodes = sum(shape.nodes for _, shape in read)
        converted = sum(shape.nodes for shape in shapes.values())
        bare, nesting = self._source.bare, self._source.nesting
        if not nesting:
            return converted + nodes // 4 + self._patterns
        written = bare.count(",") if "[" in bare or "{" in bare else 1
        inner = max(s.inner if mention.ranged else s.widest for mention, s in read)
        items = sum(s.items if mention.ranged else s.nodes for mention, s in read)
        again = [shape for mention, shape in read if mention.inside]
        deep = int(max(inner, written) ** (nesting - 1))
        steps = max(items, written) * deep
        touched = nodes * deep + steps * sum(shape.nodes for shape in again)
        if any(shape.widest for shape in again):  # which a comprehension may run over at every step
            steps = int(max(written, *(shape.widest for _, shape in read)) ** nesting)
            touched = steps * nodes
        grown = steps * nodes if _GROWING.search(bare) else 0
        operations = 1 + len(bare) // 12
        return converted + touched * operations // 4 + grown // 4 + steps * self._patterns


class _Nothing:
    """What a path leads to that leads nowhere."""


_NOTHING = _Nothing()


def _mentions(source: Source) -> Iterator[_Mention]:
    depths = dict(source.depths())
    for match in _MENTION.finditer(source.bare):
        path = tuple(part.strip() for part in match[1].split(".")[1:])
        ranged = COMPREHENSION.match(source.bare, match.start(1) + match[1].rfind(".")) is not None
        before = [depth for position, depth in depths.items() if position < match.start()]
        # A member that is called is a function of the value before it.
        yield _Mention(path[:-1] if match[2] else path, ranged, bool(before and before[-1]))


def _read(text: str) -> dict[str, Value]:
    """A predicate as a record has it. Raises ExpressionError when it is none."""
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise ExpressionError("the record has no predicate that can be read")
    return value


def _at(predicate: Mapping[str, Value], path: Path) -> Value:
    """What a path leads to, as far as there is anything."""
    value: Value = predicate
    for key in path:
        if not isinstance(value, dict):
            return value
        if key not in value:
            return _NOTHING
        value = value[key]
    return value


def _copy(source: Mapping[str, Value], target: dict[str, Any], path: Path) -> None:
    """Take over what a path leads to, as far as there is anything, with the maps on the way."""
    *way, last = path
    for key in way:
        inner = source.get(key)
        if not isinstance(inner, dict):
            last = key
            break
        source, target = inner, target.setdefault(key, {})
    if last in source:
        target[last] = source[last]


class _Shape(Struct, frozen=True):
    """How large a value is: its nodes, its items, its widest list or map, the widest within it."""

    nodes: int
    items: int
    widest: int
    inner: int
    depth: int


def _shape(value: Value) -> _Shape:
    nodes = widest = inner = depth = 0
    level: list[Value] = [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        within: list[Value] = []
        for each in level:
            nodes += 1 + (len(each) // TEXT if isinstance(each, str) else 0)
            if isinstance(each, dict | list):
                widest = max(widest, len(each))
                inner = max(inner, len(each) if depth > 1 else 0)
                within += each.values() if isinstance(each, dict) else each
            if isinstance(each, dict):
                nodes += sum(1 + len(key) // TEXT for key in each)
        level = within
    items = len(value) if isinstance(value, dict | list) else 0
    return _Shape(nodes, items, widest, inner, depth)
