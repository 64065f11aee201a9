"""CEL expressions over a model use, with the cost bounded before anything runs.

None of the lists and maps that comprehensions can run over has more than ``MAX_ITEMS`` members,
which makes the worst case 32^3 steps.
"""

import re
from collections.abc import Callable

import cel

from weighmaster.core.evaluate.cel_source import (
    MAX_COMPREHENSIONS,
    MAX_ITEMS,
    compile_source,
    cost_of_patterns,
    read_source,
    too_costly,
    truth,
)
from weighmaster.core.evaluate.subject import Subject
from weighmaster.errors import ExpressionError

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

_FIELD = re.compile(r"\b(model|workload)\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)")


class Expression:
    """A compiled expression; raises ExpressionError when it may not be used."""

    __slots__ = ("_fields", "_program")

    def __init__(self, source: str) -> None:
        self._program = compile_source(source)
        self._fields = _read_fields(self._program, read_source(source).bare)
        estimate_cost(source)

    def evaluate(self, subject: Subject) -> bool:
        """Its value for a model use.

        Raises KeyError for evidence that is not there, and ExpressionError when it fails in any
        other way or is not a truth value.
        """
        return truth(self._program, _activation(subject, self._fields), EVIDENCE_FIELDS)


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
    text = read_source(source)
    cost = MAX_ITEMS**text.nesting * (1 + len(text.bare) // 128 + cost_of_patterns(text))
    if cost > MAX_COST:
        raise too_costly()
    return FIXED_COST + int(cost)


def _read_fields(program: cel.Program, bare: str) -> Fields:
    """The fields that an expression reads; all of a variable that it uses in any other way."""
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
