"""``weighmaster detect``: the models that manifests would load."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from weighmaster.core.detect import detect as detect_models
from weighmaster.core.detect.volumes import STORED
from weighmaster.core.values import ModelUse, Setting
from weighmaster.manifests import Document, context_of, read_files

EXIT_UNREADABLE = 2


@click.command()
@click.option(
    "--output", "-o", type=click.Choice(["table", "jsonl"]), default="table", show_default=True,
    help="A table for people, or one JSON object a document.",
)  # fmt: skip
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
def detect(output: str, files: tuple[str, ...]) -> None:
    """Print the models that the manifests in FILES would load.

    FILES are YAML or JSON files, directories, or - for standard input. ConfigMaps in the same
    file are used to resolve names. Exit status 2 if some document could not be read.
    """
    broken = False
    rows: list[dict[str, Any]] = []
    for document, uses in detections(read_files(files)):
        for warning in document.warnings:
            click.echo(f"warning: {warning}", err=True)
        if document.error is not None:
            broken = True
            click.echo(f"error: {document.error}", err=True)
            continue
        if not isinstance(document.value, dict):
            continue
        row = as_row(document, uses)
        if output == "jsonl":
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            rows.append(row)
    if output == "table":
        print_table(rows)
    if broken:
        sys.exit(EXIT_UNREADABLE)


def detections(
    documents: Iterable[Document],
) -> Iterator[tuple[Document, tuple[ModelUse, ...]]]:
    """Each document with its model uses; files are applied one by one."""
    for _, group in groupby(documents, key=lambda document: document.file):
        together = list(group)
        context = context_of(together)
        for document in together:
            yield document, detect_models(document.value, context)


def as_row(document: Document, uses: tuple[ModelUse, ...]) -> dict[str, Any]:
    """One line of JSON output."""
    value = document.value
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return {
        "file": document.file,
        "document": document.index,
        "kind": value.get("kind"),
        "namespace": metadata.get("namespace"),
        "name": metadata.get("name"),
        "serving": bool(uses),
        "remoteCode": any(use.process.remote_code is not Setting.OFF for use in uses),
        "models": [_model(use) for use in uses if use.reason != STORED],
        "stores": [_model(use) for use in uses if use.reason == STORED],
    }


def _model(use: ModelUse) -> dict[str, Any]:
    process = use.process
    return {
        "reference": use.reference.canonical,
        "role": use.role.value,
        "path": use.path,
        "runtime": process.runtime,
        "container": process.container,
        "reason": use.reason,
        "known": use.reference.known,
        "pinned": use.reference.pinned,
        "remoteCode": process.remote_code.value,
        "runtimeAdapters": process.runtime_adapters.value,
        "originOverrides": list(process.origin_overrides),
        "loadFormat": process.load_format,
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """The uses as a table on standard output."""
    table = Table(box=None, pad_edge=False)
    for heading in ("WORKLOAD", "MODEL", "ROLE", "RUNTIME", "FIELD"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        for model in row["models"]:
            remote = "" if model["remoteCode"] == "off" else " (remote code)"
            cells = (
                f"{row['kind']}/{row['name']}", model["reference"], model["role"],
                f"{model['runtime']}{remote}", model["path"],
            )  # fmt: skip
            table.add_row(*[Text(cell) for cell in cells])
    serving = sum(1 for row in rows if row["serving"])
    console = Console()
    if serving:
        console.print(table)
    console.print(f"{serving} of {len(rows)} documents load models", highlight=False)
