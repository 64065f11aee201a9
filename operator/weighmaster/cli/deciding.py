"""Deciding on files as admission would on newly created objects; shared by commands."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from msgspec import Struct, structs

from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.patch import Operation as Change
from weighmaster.core.values import Action
from weighmaster.errors import ManifestError
from weighmaster.manifests import Document, read_files
from weighmaster.pipeline import AdmissionRequest, Operation, Review, Stage, review
from weighmaster.policy_files import FileStore, is_unicode

BAD_INPUT = 2
"""Exit code when a document could not be read."""


def decision_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what to decide on and by what."""
    options = (
        click.option(
            "-f",
            "--file",
            "files",
            multiple=True,
            required=True,
            help="Manifests; - is standard input.",
        ),
        click.option(
            "-p",
            "--policies",
            multiple=True,
            required=True,
            type=click.Path(path_type=Path),
            help="Policies, publishers, exceptions, records and namespaces: files or folders.",
        ),
        click.option(
            "-n",
            "--namespace",
            default="default",
            show_default=True,
            help="For objects without one.",
        ),
        click.argument("more_files", nargs=-1),
    )
    for option in reversed(options):
        command = option(command)
    return command


class Checked(Struct, frozen=True):
    """The answer for one object of one file.

    ``document`` is the object as it is there, ``form`` what the mutating webhook makes of it by
    ``patch``; the answer is about that.
    """

    file: str
    kind: str
    namespace: str
    name: str
    answer: Review
    document: Mapping[str, Any]
    form: Mapping[str, Any]
    patch: tuple[Change, ...] = ()

    @property
    def action(self) -> Action:
        """The decision; a refusal that no policy is behind is a denial."""
        if self.answer.decision is not None:
            return self.answer.decision.action
        return Action.ALLOW if self.answer.response.allowed else Action.DENY


class Result(Struct, frozen=True):
    """The answers for some files, what they were decided by, and whether all could be read."""

    checked: list[Checked]
    snapshot: Snapshot
    broken: bool

    def raise_for_broken(self) -> None:
        """End the command with its exit code if a document could not be read."""
        if self.broken:
            raise SystemExit(BAD_INPUT)


def check_files(files: Sequence[str], policies: Iterable[Path], namespace: str) -> Result:
    """Decide on every object of some files; documents that cannot be read are told about."""
    documents = list(read_files(files))
    broken = [error for document in documents if (error := _error(document)) is not None]
    for error in broken:
        click.echo(f"weighmaster: {error}", err=True)
    values = [
        (document.file, each)
        for document in documents
        if _error(document) is None
        for each in _objects(document.value)
    ]
    around = [
        _placed(value, namespace) if value.get("kind") == "NetworkPolicy" else value
        for _, value in values
        if value.get("kind") in ("Namespace", "NetworkPolicy")
    ]
    snapshot = FileStore(policies, around, isolating=True).snapshot()
    return Result(list(_check(values, namespace, snapshot)), snapshot, bool(broken))


def _check(
    values: Iterable[tuple[str, Mapping[str, Any]]], namespace: str, snapshot: Snapshot
) -> Iterator[Checked]:
    now = datetime.now(UTC)
    for file, value in values:
        metadata = value.get("metadata")
        fields = metadata if isinstance(metadata, dict) else {}
        where = str(fields.get("namespace") or namespace)
        request = AdmissionRequest(
            stage=Stage.MUTATE,
            operation=Operation.CREATE,
            subresource="",
            namespace=where,
            name="",
            document=value,
        )
        name = str(fields.get("name") or fields.get("generateName") or "")
        mutated = answer = review(request, snapshot, now)
        form = value if mutated.document is None else mutated.document
        if mutated.response.allowed:
            made = structs.replace(request, stage=Stage.VALIDATE, document=form)
            answer = review(made, snapshot, now)
        yield Checked(
            file=file,
            kind=str(value.get("kind") or ""),
            namespace=where,
            name=name,
            answer=answer,
            document=value,
            form=form,
            patch=mutated.response.patch,
        )


def _placed(value: Mapping[str, Any], namespace: str) -> Mapping[str, Any]:
    """An object in the namespace that it would get."""
    metadata = value.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    return {**value, "metadata": {"namespace": namespace, **fields}}


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
