"""SPDX licence expressions (SPDX 2.3, annex D), and whether an allow-list satisfies one."""

import re
from collections.abc import Iterable, Iterator

_TOKEN = re.compile(r"\s*([()]|[A-Za-z0-9.+:-]+)")
_OPERATORS = frozenset({"AND", "OR", "WITH"})

MAX_DEPTH = 32
"""Nested parentheses; a licence has none worth mentioning."""


class AllowList:
    """Licences that may be used: identifiers, or an identifier ``WITH`` an exception."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(" ".join(entry.split()).lower() for entry in allowed)

    def permits(self, expression: str) -> bool:
        """Whether one choice within the expression is made of allowed licences only.

        Identifiers compare without regard to case. What is no valid expression is not permitted.
        """
        try:
            tokens = list(_tokens(expression))
            result, rest = self._either(tokens, 0)
        except (ValueError, IndexError):
            return False
        return result and not tokens[rest:]

    def _either(self, tokens: list[str], depth: int, at: int = 0) -> tuple[bool, int]:
        result, at = self._both(tokens, depth, at)
        while at < len(tokens) and tokens[at].upper() == "OR":
            other, at = self._both(tokens, depth, at + 1)
            result = result or other
        return result, at

    def _both(self, tokens: list[str], depth: int, at: int) -> tuple[bool, int]:
        result, at = self._one(tokens, depth, at)
        while at < len(tokens) and tokens[at].upper() == "AND":
            other, at = self._one(tokens, depth, at + 1)
            result = result and other
        return result, at

    def _one(self, tokens: list[str], depth: int, at: int) -> tuple[bool, int]:
        found = tokens[at]
        if found == "(":
            if depth >= MAX_DEPTH:
                raise ValueError("too deep")
            result, at = self._either(tokens, depth + 1, at + 1)
            if tokens[at] != ")":
                raise ValueError("not closed")
            return result, at + 1
        name = _identifier(found)
        if at + 1 < len(tokens) and tokens[at + 1].upper() == "WITH":
            return f"{name} with {_identifier(tokens[at + 2])}" in self._allowed, at + 3
        return name in self._allowed, at + 1


def _identifier(token: str) -> str:
    if token in ("(", ")") or token.upper() in _OPERATORS:
        raise ValueError("an identifier was expected")
    return token.lower()


def _tokens(expression: str) -> Iterator[str]:
    at = 0
    expression = expression.rstrip()
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError("not an expression")
        yield match[1]
        at = match.end()
