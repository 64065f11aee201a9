"""CEL expressions over a model use (cel-spec), with the cost bounded before anything runs.

The library that runs them has no cost limit, so the bound is set from outside: an expression has
at most ``MAX_COMPREHENSIONS``, nested or not, and none of the lists and maps these can run over has
more than ``MAX_ITEMS`` members, which makes the worst case 32^3 steps. Beside a comprehension there
is no ``+``, since joining a list to itself makes it grow without bound. ``matches`` runs on a
linear-time engine, which still compiles its pattern at every step: that is estimated and bounded.
"""

import re
from collections.abc import Callable, Sequence

import cel

from weighmaster.core.evaluate.subject import Subject
from weighmaster.errors import ExpressionError

MAX_ITEMS = 32
MAX_COMPREHENSIONS = 3
MAX_TEXT = 16 * 1024
"""Characters of one variable; an object's own keys and names may be part of a field path."""

FIXED_COST = 10
"""Microseconds, roughly, of an evaluation that does nothing."""

MAX_COST = 2 * MAX_ITEMS**MAX_COMPREHENSIONS
"""Microseconds, roughly, that one evaluation may take."""

MODEL_FIELDS: dict[str, tuple[str, str]] = {
    "reference": ("string", "The canonical reference, such as `hf://org/name@rev`."),
    "scheme": ("string", "Its scheme: `hf`, `oci`, `s3`, `pvc`, `unresolved`, ..."),
    "location": ("string", "The reference without revision, tag, digest and file."),
    "revision": ("string", "The revision, tag or digest asked for; empty if none."),
    "file": ("string", "The file within the model; empty if none is named."),
    "pinned": ("bool", "Whether the reference names immutable content."),
    "known": ("bool", "Whether the manifest names the weights."),
    "role": ("string", "`base`, `adapter`, `draft`, `tokenizer`, ..."),
    "runtime": ("string", "The runtime that loads it, such as `vllm`."),
    "container": ("string", "The container that loads it; empty in resources without one."),
    "path": ("string", "The field that names it."),
    "format": ("string", "The weight format by file name or loader setting; empty if unknown."),
    "publishers": ("list(string)", "ModelPublishers in whose namespaces the reference lies."),
    "jurisdictions": ("list(string)", "Their countries, where known."),
    "remoteCode": ("string", "`on`, `off` or `unknown`."),
    "runtimeAdapters": ("string", "`on`, `off` or `unknown`."),
    "originOverrides": ("list(string)", "Settings that change where models come from."),
}
"""Fields of ``model`` and what each holds."""

EVIDENCE_FIELDS: dict[str, tuple[str, str]] = {
    "sizeBytes": ("int", "Size of all files in bytes."),
    "license": ("string", "SPDX licence expression."),
    "baseModels": ("list(string)", "References of the base models."),
    "signers": ("list(string)", "Identities whose signatures were verified."),
}
"""Fields of ``model`` that need evidence; without it, a rule that reads one gives an error."""

WORKLOAD_FIELDS: dict[str, tuple[str, str]] = {
    "group": ("string", "API group; empty for the core group."),
    "kind": ("string", "Kind, such as `Deployment`."),
    "namespace": ("string", "Namespace; empty for cluster-scoped objects."),
    "name": ("string", "Name, or the prefix that it will be generated from."),
    "labels": ("map(string, string)", "Labels of the object, chosen by whoever creates it."),
}
"""Fields of ``workload`` and what each holds."""

_FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "has", "string", "int", "double"}
)
_COMPREHENSION = re.compile(r"\.\s*(?:all|exists|exists_?[oO]ne|map|filter)\s*\(")
_FIELD = re.compile(r"\b(model|workload)\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)")
_STRING_OR_COMMENT = re.compile(
    r"""[bB]?[rR](?:'[^']*'|"[^"]*")|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|//[^\n]*"""
)
_MATCHES = re.compile(r"\.\s*matches\s*\(")
_MATCHES_LITERAL = re.compile(r"\.\s*matches\s*\(\s*''\s*\)")
_REPETITION = re.compile(r"\{\s*(\d*)\s*(?:,\s*(\d*)\s*)?\}")
_WIDE_CLASS = re.compile(r"\\[wWbBpPSD]")
_NARROW_CLASS = re.compile(r"\\[ds]")
_ESCAPED_CHARACTER = re.compile(r"\\[uUxX0-7]")


class Expression:
    """A compiled expression; raises ExpressionError when it may not be used."""

    __slots__ = ("_fields", "_program")

    def __init__(self, source: str) -> None:
        if "'''" in source or '"""' in source:
            raise ExpressionError("the expression has a string in triple quotes; use single ones")
        try:
            self._program = cel.compile(source)
        except ValueError:
            raise ExpressionError("the expression is not valid CEL") from None
        self._fields = _read_fields(self._program, _bare(source, []))
        estimate_cost(source)

    def evaluate(self, subject: Subject) -> bool:
        """Its value for a model use.

        Raises KeyError for evidence that is not there, and ExpressionError when it fails in any
        other way or is not a truth value.
        """
        try:
            result: object = self._program.execute(_activation(subject, self._fields))
        except ExpressionError:
            raise
        except KeyError as error:
            if error.args and error.args[0] in EVIDENCE_FIELDS:
                raise
            raise ExpressionError("the expression reads a key that is not there") from None
        except Exception:  # noqa: BLE001 - the library maps CEL errors to many builtin types
            raise ExpressionError("the expression failed") from None
        if not isinstance(result, bool):
            raise ExpressionError("the expression does not give true or false")
        return result


Fields = frozenset[tuple[str, str]]

_GETTERS: dict[str, dict[str, Callable[[Subject], object]]] = {
    "model": {
        "reference": lambda subject: subject.use.reference.canonical,
        "scheme": lambda subject: subject.use.reference.scheme,
        "location": lambda subject: subject.use.reference.location,
        "revision": lambda subject: subject.use.reference.revision or "",
        "file": lambda subject: subject.use.reference.file or "",
        "pinned": lambda subject: subject.use.reference.pinned,
        "known": lambda subject: subject.use.reference.known,
        "role": lambda subject: subject.use.role.value,
        "runtime": lambda subject: subject.use.process.runtime,
        "container": lambda subject: subject.use.process.container or "",
        "path": lambda subject: subject.use.path,
        "format": lambda subject: subject.format or "",
        "publishers": lambda subject: [publisher.name for publisher in subject.publishers],
        "jurisdictions": lambda subject: sorted(
            {publisher.jurisdiction for publisher in subject.publishers if publisher.jurisdiction}
        ),
        "remoteCode": lambda subject: subject.use.process.remote_code.value,
        "runtimeAdapters": lambda subject: subject.use.process.runtime_adapters.value,
        "originOverrides": lambda subject: list(subject.use.process.origin_overrides),
    },
    "workload": {
        "group": lambda subject: subject.workload.group,
        "kind": lambda subject: subject.workload.kind,
        "namespace": lambda subject: subject.workload.namespace,
        "name": lambda subject: subject.workload.name,
        "labels": lambda subject: dict(next(iter(subject.workload.label_sets), {})),
    },
}


def _activation(subject: Subject, fields: Fields) -> cel.Context:
    """The variables that an expression reads, converted once for all that read the same."""
    found = subject.activations.get(fields)
    if found is None:
        variables: dict[str, dict[str, object]] = {"model": {}, "workload": {}}
        for variable, field in fields:
            value = _GETTERS[variable][field](subject)
            if isinstance(value, list | dict) and len(value) > MAX_ITEMS:
                raise ExpressionError(f"{variable}.{field} has more than {MAX_ITEMS} members")
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise ExpressionError(f"{variable}.{field} has more than {MAX_TEXT} characters")
            variables[variable][field] = value
        found = subject.activations[fields] = cel.Context(variables)
    return found


def estimate_cost(source: str) -> int:
    """Microseconds, roughly, that an evaluation takes at most; ExpressionError if too many."""
    literals: list[str] = []
    return _cost(_bare(source, literals), literals)


def _bare(source: str, literals: list[str]) -> str:
    """An expression without its comments and with its strings emptied and set aside."""
    return _STRING_OR_COMMENT.sub(lambda found: _set_aside(found[0], literals), source)


def _set_aside(token: str, literals: list[str]) -> str:
    if token.startswith("//"):
        return " "
    literals.append(token)
    return "''"


def _read_fields(program: cel.Program, bare: str) -> Fields:
    """The fields that an expression reads; all of a variable that it uses in any other way."""
    for name in program.functions():
        if name.isidentifier() and name not in _FUNCTIONS:
            raise ExpressionError(f"the expression calls {name}(), which there is not")
    variables = _GETTERS.keys() & set(program.variables())
    if not variables:
        raise ExpressionError("the expression reads neither model nor workload")
    fields: set[tuple[str, str]] = set()
    for variable, field in _FIELD.findall(bare):
        if field in _GETTERS[variable]:
            fields.add((variable, field))
        elif variable != "model" or field not in EVIDENCE_FIELDS:
            raise ExpressionError(f"the expression reads {variable}.{field}, which there is not")
    for variable in variables:
        if re.search(rf"\b{variable}\b(?!\s*\.\s*[A-Za-z_])", bare):
            fields |= {(variable, field) for field in _GETTERS[variable]}
    return frozenset(fields)


def _cost(bare: str, literals: Sequence[str]) -> int:
    """Bound the cost of an expression without its comments and with its strings emptied."""
    comprehensions = len(_COMPREHENSION.findall(bare))
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
    steps: int = MAX_ITEMS ** _nesting(bare)
    cost = steps * (1 + len(bare) // 128 + _cost_of_patterns(bare, literals))
    if cost > MAX_COST:
        raise ExpressionError(
            "the expression could take too long; nest fewer comprehensions, shorten what they do,"
            " and use startsWith, endsWith or contains instead of matches()"
        )
    return FIXED_COST + cost


def _nesting(bare: str) -> int:
    """How many comprehensions lie within each other at most."""
    openings = {match.end() - 1 for match in _COMPREHENSION.finditer(bare)}
    stack: list[bool] = []
    deepest = 0
    for position, character in enumerate(bare):
        if character == "(":
            stack.append(position in openings)
            deepest = max(deepest, sum(stack))
        elif character == ")" and stack:
            stack.pop()
    return deepest


def _cost_of_patterns(bare: str, literals: Sequence[str]) -> int:
    """What compiling the patterns of ``matches`` takes: character classes times repetitions."""
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
