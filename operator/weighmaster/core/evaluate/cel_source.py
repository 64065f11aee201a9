"""CEL expressions as text: what they call, and what running them may cost (cel-spec).

The library that runs them has no cost limit, so the bound is set from outside, before anything
runs: an expression has at most ``MAX_COMPREHENSIONS``, nested or not, and beside a comprehension
there is no ``+``, since joining a list to itself makes it grow without bound. ``matches`` runs on a
linear-time engine, which still compiles its pattern at every step: that is estimated.
"""

import re
from collections.abc import Container, Iterator

import cel
from msgspec import Struct

from weighmaster.errors import ExpressionError

MAX_ITEMS = 32
"""Members of lists that an expression writes out beside comprehensions."""

MAX_COMPREHENSIONS = 3

_FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "has", "string", "int", "double"}
)
COMPREHENSION = re.compile(r"\.\s*(?:all|exists|exists_?[oO]ne|map|filter)\s*\(")
_STRING_OR_COMMENT = re.compile(
    r"""[bB]?[rR](?:'[^']*'|"[^"]*")|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|//[^\n]*"""
)
_MATCHES = re.compile(r"\.\s*matches\s*\(")
_MATCHES_LITERAL = re.compile(r"\.\s*matches\s*\(\s*''\s*\)")
_REPETITION = re.compile(r"\{\s*(\d*)\s*(?:,\s*(\d*)\s*)?\}")
_WIDE_CLASS = re.compile(r"\\[wWbBpPSD]")
_NARROW_CLASS = re.compile(r"\\[ds]")
_ESCAPED_CHARACTER = re.compile(r"\\[uUxX0-7]")


class Source(Struct, frozen=True):
    """An expression without its comments and with its strings emptied and set aside."""

    bare: str
    literals: tuple[str, ...]

    @property
    def nesting(self) -> int:
        """How many comprehensions lie within each other at most."""
        return max((depth for _, depth in self.depths()), default=0)

    def depths(self) -> Iterator[tuple[int, int]]:
        """Positions at which a parenthesis opens or closes, and how many comprehensions deep."""
        openings = {match.end() - 1 for match in COMPREHENSION.finditer(self.bare)}
        stack: list[bool] = []
        for position, character in enumerate(self.bare):
            if character == "(":
                stack.append(position in openings)
            elif character == ")" and stack:
                stack.pop()
            else:
                continue
            yield position, sum(stack)


def compile_source(source: str) -> cel.Program:
    """The program of an expression. Raises ExpressionError when it is not valid or calls others."""
    if "'''" in source or '"""' in source:
        raise ExpressionError("the expression has a string in triple quotes; use single ones")
    try:
        program = cel.compile(source)
    except ValueError:
        raise ExpressionError("the expression is not valid CEL") from None
    for name in program.functions():
        if name.isidentifier() and name not in _FUNCTIONS:
            raise ExpressionError(f"the expression calls {name}(), which there is not")
    return program


def read_source(source: str) -> Source:
    """The text of an expression. Raises ExpressionError when it could be made to run for ever."""
    literals: list[str] = []
    bare = _STRING_OR_COMMENT.sub(lambda found: _set_aside(found[0], literals), source)
    comprehensions = len(COMPREHENSION.findall(bare))
    if comprehensions > MAX_COMPREHENSIONS:
        raise ExpressionError(
            f"the expression has {comprehensions} comprehensions (all, exists, map, filter), and"
            f" {MAX_COMPREHENSIONS} is the limit; split it into several rules"
        )
    if comprehensions and bare.count(",") > MAX_ITEMS + comprehensions:
        raise ExpressionError(
            f"the expression has comprehensions and more than {MAX_ITEMS} list members; use `in`"
            " instead of a comprehension, or split it into several rules"
        )
    if comprehensions and "+" in bare:
        raise ExpressionError("the expression has + beside a comprehension, and may not grow lists")
    return Source(bare, tuple(literals))


def truth(program: cel.Program, context: cel.Context, awaited: Container[str] = ()) -> bool:
    """What a program gives. Raises ExpressionError when it fails or gives no truth value.

    Raises KeyError for a key that is not there and is one of ``awaited``.
    """
    try:
        result: object = program.execute(context)
    except KeyError as error:
        if error.args and error.args[0] in awaited:
            raise
        raise ExpressionError("the expression reads a key that is not there") from None
    except Exception:  # noqa: BLE001 - the library maps CEL errors to many builtin types
        raise ExpressionError("the expression failed") from None
    if not isinstance(result, bool):
        raise ExpressionError("the expression does not give true or false")
    return result


def _set_aside(token: str, literals: list[str]) -> str:
    if token.startswith("//"):
        return " "
    literals.append(token)
    return "''"


def too_costly() -> ExpressionError:
    """The error for an expression that could take longer than a request may."""
    return ExpressionError(
        "the expression could take too long; nest fewer comprehensions, shorten what they do,"
        " and use startsWith, endsWith or contains instead of matches()"
    )


def cost_of_patterns(source: Source) -> int:
    """Microseconds that compiling the patterns of ``matches`` takes: classes times repetitions."""
    bare, literals = source.bare, source.literals
    calls = len(_MATCHES.findall(bare))
    if not calls:
        return 0
    if len(_MATCHES_LITERAL.findall(bare)) != calls:
        raise ExpressionError("the expression calls matches() with something other than a literal")
    cost = 0
    for literal in literals:
        if _ESCAPED_CHARACTER.search(literal):
            raise ExpressionError("the expression calls matches(): write characters, not escapes")
        each = len(literal) + 4 * (literal.count(".") + literal.count("["))
        each += 250 * len(_WIDE_CLASS.findall(literal)) + 20 * len(_NARROW_CLASS.findall(literal))
        for lower, upper in _REPETITION.findall(literal):
            each *= max(int((upper or lower or "1")[:6]), 1)
        cost += 20 + each
    return cost
