"""CEL expressions over a model use (cel-spec), with the cost bounded before anything runs.

The library that runs them has no cost limit, so the bound is set from outside: an expression has
at most ``MAX_COMPREHENSIONS``, nested or not, and none of the lists and maps these can run over has
more than ``MAX_ITEMS`` members, which makes the worst case 32^3 steps. ``matches`` runs on a
linear-time engine.
"""

import re
from typing import Any

import cel

from weighmaster.core.evaluate.subject import Subject
from weighmaster.errors import ExpressionError

MAX_ITEMS = 32
MAX_COMPREHENSIONS = 3

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
_COMPREHENSION = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_FIELD = re.compile(r"\b(model|workload)\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class Expression:
    """A compiled expression; raises ExpressionError when it may not be used."""

    __slots__ = ("_program", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._program = cel.compile(source)
        except ValueError:
            raise ExpressionError("the expression is not valid CEL") from None
        _check_names(self._program, source)
        _check_cost(source)

    def evaluate(self, subject: Subject) -> bool:
        """Its value for a model use.

        Raises KeyError for evidence that is not there, and ExpressionError when it fails in any
        other way or is not a truth value.
        """
        try:
            result: object = self._program.execute(_activation(subject))
        except KeyError:
            raise
        except Exception:  # noqa: BLE001 - the library maps CEL errors to many builtin types
            raise ExpressionError("the expression failed") from None
        if not isinstance(result, bool):
            raise ExpressionError("the expression does not give true or false")
        return result


def _activation(subject: Subject) -> cel.Context:
    """The variables of a model use, converted once for all expressions."""
    if subject.activation is None:
        subject.activation = _variables(subject)
    return subject.activation


def _variables(subject: Subject) -> cel.Context:
    use, workload = subject.use, subject.workload
    reference, process = use.reference, use.process
    labels = dict(workload.label_sets[0]) if workload.label_sets else {}
    model: dict[str, Any] = {
        "reference": reference.canonical,
        "scheme": reference.scheme,
        "location": reference.location,
        "revision": reference.revision or "",
        "file": reference.file or "",
        "pinned": reference.pinned,
        "known": reference.known,
        "role": use.role.value,
        "runtime": process.runtime,
        "container": process.container or "",
        "path": use.path,
        "format": subject.format or "",
        "publishers": sorted(publisher.name for publisher in subject.publishers),
        "jurisdictions": sorted({p.jurisdiction for p in subject.publishers if p.jurisdiction}),
        "remoteCode": process.remote_code.value,
        "runtimeAdapters": process.runtime_adapters.value,
        "originOverrides": list(process.origin_overrides),
    }
    for collection in (labels, model["publishers"], model["originOverrides"]):
        if len(collection) > MAX_ITEMS:
            raise ExpressionError(
                f"there are more than {MAX_ITEMS} labels, publishers or overrides"
            )
    return cel.Context(
        {
            "model": model,
            "workload": {
                "group": workload.group,
                "kind": workload.kind,
                "namespace": workload.namespace,
                "name": workload.name,
                "labels": labels,
            },
        }
    )


def _check_names(program: cel.Program, source: str) -> None:
    for name in program.functions():
        if name.isidentifier() and name not in _FUNCTIONS:
            raise ExpressionError(f"the expression calls {name}(), which there is not")
    fields = {"model": {**MODEL_FIELDS, **EVIDENCE_FIELDS}, "workload": WORKLOAD_FIELDS}
    for variable, field in _FIELD.findall(_STRING.sub("''", source)):
        if field not in fields[variable]:
            raise ExpressionError(f"the expression reads {variable}.{field}, which there is not")
    if not fields.keys() & set(program.variables()):
        raise ExpressionError("the expression reads neither model nor workload")


def _check_cost(source: str) -> None:
    """Count in the raw text: what stands in a string is counted too, which is the safe side."""
    comprehensions = len(_COMPREHENSION.findall(source))
    if comprehensions > MAX_COMPREHENSIONS:
        raise ExpressionError(
            f"the expression has {comprehensions} comprehensions (all, exists, map, filter), and"
            f" {MAX_COMPREHENSIONS} is the limit; split it into several rules"
        )
    if comprehensions and source.count(",") > MAX_ITEMS + comprehensions:
        raise ExpressionError(
            f"the expression has comprehensions and more than {MAX_ITEMS} list members; use `in`"
            " instead of a comprehension, or split it into several rules"
        )
