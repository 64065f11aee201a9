"""``weighmaster check``: the decisions that admission would make, offline."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.console import Console

from weighmaster.cli.table import Row, decisions_table
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import Action
from weighmaster.errors import ManifestError
from weighmaster.manifests import Document, read_files
from weighmaster.pipeline import AdmissionRequest, Operation, Review, Stage, review
from weighmaster.policy_files import FileStore, is_unicode

VIOLATIONS, BAD_INPUT = 1, 2
"""Exit codes."""

_ACTIONS = {action.label.lower(): action for action in Action if action is not Action.ALLOW}


class Checked(Struct, frozen=True):
    """The answer for one object of one file."""

    file: str
    kind: str
    namespace: str
    name: str
    answer: Review

    @property
    def action(self) -> Action:
        """The decision; a refusal that no policy is behind is a denial."""
        if self.answer.decision is not None:
            return self.answer.decision.action
        return Action.ALLOW if self.answer.response.allowed else Action.DENY


@click.command()
@click.option(
    "-f", "--file", "files", multiple=True, required=True, help="Manifests; - is standard input."
)
@click.option(
    "-p",
    "--policies",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Policies, publishers, exceptions and namespaces: files or folders.",
)
@click.option(
    "-n", "--namespace", default="default", show_default=True, help="For objects without one."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.option(
    "--fail-on",
    type=click.Choice(list(_ACTIONS)),
    default="sandbox",
    show_default=True,
    help="Exit with 1 from this decision upwards; sandbox and deny are what admission refuses.",
)
@click.argument("more_files", nargs=-1)
def check(
    files: tuple[str, ...],
    policies: tuple[Path, ...],
    namespace: str,
    output: str,
    fail_on: str,
    more_files: tuple[str, ...],
) -> None:
    """Decide on manifests by policies, offline.

    The decisions are those of admission for newly created objects. As there, a value that comes
    from a ConfigMap counts as unknown, since it can change later; and a namespace whose labels are
    not given (as a Namespace object among the files) matches every namespaceSelector.

    Exit codes: 0 clean, 1 violations, 2 bad input.
    """
    documents = list(read_files([*files, *more_files]))
    broken = [error for document in documents if (error := _error(document)) is not None]
    for error in broken:
        click.echo(f"weighmaster: {error}", err=True)
    values = [
        (document.file, each)
        for document in documents
        if _error(document) is None
        for each in _objects(document.value)
    ]
    namespaces = [value for _, value in values if value.get("kind") == "Namespace"]
    snapshot = FileStore(policies, namespaces).snapshot()
    checked = list(_check(values, namespace, snapshot))
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode([_row(each) for each in checked])))
    else:
        _print_table(checked)
    if broken:
        raise SystemExit(BAD_INPUT)
    if any(each.action >= _ACTIONS[fail_on] for each in checked):
        raise SystemExit(VIOLATIONS)


def _check(
    values: Iterable[tuple[str, Mapping[str, Any]]], namespace: str, snapshot: Snapshot
) -> Iterator[Checked]:
    now = datetime.now(UTC)
    for file, value in values:
        metadata = value.get("metadata")
        fields = metadata if isinstance(metadata, dict) else {}
        where = str(fields.get("namespace") or namespace)
        request = AdmissionRequest(
            stage=Stage.VALIDATE,
            operation=Operation.CREATE,
            subresource="",
            namespace=where,
            name="",
            document=value,
        )
        name = str(fields.get("name") or fields.get("generateName") or "")
        answer = review(request, snapshot, now)
        yield Checked(file, str(value.get("kind") or ""), where, name, answer)


def _error(document: Document) -> ManifestError | None:
    if document.error is None and not is_unicode(document.value):
        return ManifestError(
            document.file, document.index, document.line, "half a surrogate pair is no text"
        )
    return document.error


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, dict):
        return
    items = value.get("items")
    if str(value.get("kind")).endswith("List") and isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict))
    else:
        yield value


def _row(checked: Checked) -> dict[str, Any]:
    decision, response = checked.answer.decision, checked.answer.response
    return {
        "file": checked.file,
        "kind": checked.kind,
        "namespace": checked.namespace,
        "name": checked.name,
        "decision": checked.action.label,
        "allowed": response.allowed,
        "decisionId": decision.id if decision else None,
        "message": response.message,
        "warnings": response.warnings,
        "models": [
            {"reference": use.reference.canonical, "role": use.role, "path": use.path}
            for use in (decision.uses if decision else ())
        ],
        "findings": [
            {
                "policy": str(finding.policy),
                "rule": finding.rule,
                "reference": finding.use.reference.canonical,
                "outcome": finding.outcome,
                "reason": finding.reason,
                "message": finding.message,
            }
            for finding in (decision.findings if decision else ())
        ],
    }


def _print_table(checked: Iterable[Checked]) -> None:
    console = Console()
    serving = [each for each in checked if each.answer.decision or not each.answer.response.allowed]
    if not serving:
        console.print("No object in these files serves or fetches a model.")
        return
    console.print(
        decisions_table(
            Row(f"{each.kind}/{each.name}", each.answer, each.action) for each in serving
        )
    )
    refused = sum(not each.answer.response.allowed for each in serving)
    console.print(f"{len(serving)} objects with models, {refused} refused.")
