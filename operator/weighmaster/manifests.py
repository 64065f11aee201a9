"""Reading manifest files: many documents, broken ones among them.

A file is split at its document separators first, so that a broken document takes no other along.
Duplicate keys are reported; what they may mean is kept as far as possible (lists joined, mappings
merged, the last scalar), because readers disagree on which value counts.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from weighmaster.core.detect.context import Context
from weighmaster.core.detect.yamltree import YamlProblem, load
from weighmaster.errors import ManifestError

MAX_FILE = 32 * 1024 * 1024
"""Bytes of one file."""

MAX_DOCUMENT = 3 * 1024 * 1024
"""Characters of one document: the API server takes no more."""

SUFFIXES = frozenset({".yaml", ".yml", ".json"})

_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_END = re.compile(r"^\.\.\.[ \t\r]*$", re.MULTILINE)
_SLIPS = (
    ("tab at the end of a line", re.compile(r"(?m)(?<=\S)[ ]*\t[ \t]*$"), ""),
    (
        "placeholder that is not quoted",
        re.compile(
            r"(?m)^([ ]{0,80}(?:- )?[\w.-]{1,80}:[ ]|[ ]{0,80}- )"
            r"(\{[\w .-]{1,60}\}[^\s\"'#][^\n\"#]*)$"
        ),
        r'\1"\2"',
    ),
)
"""Slips that other readers forgive, and what was meant."""


class Document(Struct):
    """One document of a file: its value, or the error that hides it.

    ``index`` counts from 0 over the documents of the file, empty ones included, as
    ``yaml.load_all`` would; ``line`` is where it starts, from 1.
    """

    file: str
    index: int
    line: int
    value: Any = None
    error: ManifestError | None = None
    warnings: list[str] = []


def read_text(text: str, file: str) -> Iterator[Document]:
    """The documents in ``text``."""
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    stripped = text.lstrip()
    if stripped[:1] in ("{", "["):
        whole = _json(stripped)
        if whole is not None:
            yield Document(file=file, index=0, line=1, value=whole)
            return
    for index, (line, part) in enumerate(_split(text)):
        yield _document(part, file, index, line)


def _json(text: str) -> Any:
    if len(text) > MAX_DOCUMENT or text.count("[") + text.count("{") > 100_000:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _split(text: str) -> Iterator[tuple[int, str]]:
    """Parts between separators, each with the line it starts on.

    A line ``---`` inside a block scalar is indented, so the start of a line is proof enough.
    """
    positions = [match.start() for match in _SEPARATOR.finditer(text)]
    starts = [0, *positions] if not positions or text[: positions[0]].strip() else positions
    if len(starts) > 1 and starts[0] == 0 and positions and not _content(text[: positions[0]]):
        starts = positions
    line, before = 1, 0
    for number, start in enumerate(starts):
        line += text.count("\n", before, start)
        before = start
        end = starts[number + 1] if number + 1 < len(starts) else len(text)
        part = text[start:end]
        if not part.strip() and number:
            continue
        yield line, part


def _content(text: str) -> bool:
    """Whether anything but comments and directives stands in ``text``."""
    return any(line.strip() and not line.startswith(("#", "%")) for line in text.splitlines())


def _document(part: str, file: str, index: int, line: int) -> Document:
    document = Document(file=file, index=index, line=line, warnings=[])
    if len(part) > MAX_DOCUMENT:
        size = MAX_DOCUMENT // (1024 * 1024)
        document.error = ManifestError(file, index, line, f"document of more than {size} MiB")
        return document
    try:
        value, duplicates = load(part)
    except YamlProblem as problem:
        value, duplicates, slip = _mended(part)
        if value is None:
            document.error = ManifestError(
                file, index, line + problem.line - 1, f"not valid YAML: {problem.message}"
            )
            return document
        document.warnings.append(f"{file}:{line + problem.line - 1}: {slip}")
    document.value = value
    document.warnings += [
        f"{file}:{line + at - 1}: key {key[:80]!r} occurs twice" for key, at in duplicates[:20]
    ]
    return document


def _mended(part: str) -> tuple[Any, list[tuple[str, int]], str]:
    """What can be read all the same: slips that authors of examples make."""
    for slip, pattern, replacement in _SLIPS:
        mended = pattern.sub(replacement, part)
        if mended != part:
            try:
                return *load(mended), slip
            except YamlProblem:
                continue
    return None, [], ""


def read_files(paths: Iterable[str]) -> Iterator[Document]:
    """The documents of files, of all manifests below directories, and of ``-`` (standard input)."""
    for path in paths:
        if path == "-":
            yield from _bytes(sys.stdin.buffer.read(MAX_FILE + 1), "-")
            continue
        place = Path(path)
        if not place.is_dir():
            yield from _file(place, path)
            continue
        for found in sorted(place.rglob("*")):
            if found.suffix in SUFFIXES and found.is_file():
                yield from _file(found, str(found))


def _file(place: Path, name: str) -> Iterator[Document]:
    try:
        with place.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        problem = ManifestError(name, 0, 1, reason)
        yield Document(file=name, index=0, line=1, error=problem)
        return
    yield from _bytes(content, name)


def _bytes(content: bytes, name: str) -> Iterator[Document]:
    if len(content) > MAX_FILE:
        size = MAX_FILE // (1024 * 1024)
        problem = ManifestError(name, 0, 1, f"file of more than {size} MiB")
        yield Document(file=name, index=0, line=1, error=problem)
        return
    try:
        text = content.decode(
            "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        )
    except UnicodeDecodeError:
        problem = ManifestError(name, 0, 1, "neither UTF-8 nor UTF-16 text")
        yield Document(file=name, index=0, line=1, error=problem)
        return
    yield from read_text(text, name)


def context_of(documents: Iterable[Document]) -> Context:
    """What the documents of one apply say about each other: the data of their ConfigMaps."""
    config_maps: dict[tuple[str, str], dict[str, str]] = {}
    for document in documents:
        value = document.value
        for each in _flat(value):
            if each.get("kind") != "ConfigMap" or not isinstance(each.get("data"), dict):
                continue
            metadata = each.get("metadata")
            metadata = metadata if isinstance(metadata, dict) else {}
            namespace, name = metadata.get("namespace"), metadata.get("name")
            data = {
                key: inner if isinstance(inner, str) else str(inner)
                for key, inner in each["data"].items()
            }
            key = (namespace if isinstance(namespace, str) else "", str(name))
            config_maps[key] = {**config_maps.get(key, {}), **data}
            config_maps.setdefault(("", str(name)), data)
    return Context(config_maps=config_maps)


def _flat(value: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(value, dict):
        return
    yield value
    items = value.get("items")
    if str(value.get("kind")).endswith("List") and isinstance(items, list):
        for item in items[:1000]:
            if isinstance(item, dict):
                yield item
