"""``values.yaml`` with a comment per value, its JSON schema, and a table of the values."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml
from msgspec import Struct, inspect

from weighmaster.chart.values import ChartValues

Json = dict[str, Any]

_WIDTH = 100

_HEADER = """\
# Generated from operator/weighmaster/chart by `make generate`; do not edit.
# Values of the chart. A name that is not here is refused: see values.schema.json.
"""


def values_schema() -> str:
    """``values.schema.json``: every typo and every value out of bounds is refused by Helm."""
    (root,), definitions = msgspec.json.schema_components(
        [ChartValues], ref_template="#/$defs/{name}"
    )
    name = root["$ref"].rsplit("/", 1)[1]
    schema: Json = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **definitions.pop(name),
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(_without(schema, ("title", "default")), indent=2) + "\n"


def _without(schema: Any, names: tuple[str, ...]) -> Any:
    """The schema without annotations that are told elsewhere; properties of these names stay."""
    if isinstance(schema, list):
        return [_without(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without(each, names) for name, each in value.items()}
        if key in ("properties", "$defs")
        else _without(value, names)
        for key, value in schema.items()
        if key not in names
    }


def values_yaml() -> str:
    """``values.yaml``, with comments as helm-docs reads them."""
    return _HEADER + "".join(_lines(ChartValues(), ""))


def values_table() -> str:
    """All values with default and meaning, in Markdown."""
    rows = [
        f"| `{path}` | `{_flow(value)}` | {description} |"
        for path, value, description in _rows(ChartValues(), "")
    ]
    return "| value | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _lines(values: Struct, indent: str) -> Iterator[str]:
    for name, value, description in _members(values):
        if not indent:
            yield "\n"
        text = f"-- {description}" if description else ""
        comment = textwrap.wrap(text, _WIDTH - len(indent) - 2)
        yield from (f"{indent}# {line}\n" for line in comment)
        if _is_section(value):
            yield f"{indent}{name}:\n"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_flow(value)}\n"


def _rows(values: Struct, path: str) -> Iterator[tuple[str, Any, str]]:
    for name, value, description in _members(values):
        here = f"{path}.{name}" if path else name
        if _is_section(value):
            yield from _rows(value, here)
        else:
            yield here, value, description


def _members(values: Struct) -> Iterator[tuple[str, Any, str]]:
    """Name, default and description of each member."""
    info = inspect.type_info(type(values))
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{type(values)} is no struct")
    for member in info.fields:
        extra = member.type.extra_json_schema if isinstance(member.type, inspect.Metadata) else None
        yield (
            member.encode_name,
            getattr(values, member.name),
            str((extra or {}).get("description", "")),
        )


def _is_section(value: object) -> bool:
    """Whether its members are values of their own, with a meaning to tell."""
    return isinstance(value, Struct) and any(text for _, _, text in _members(value))


def _flow(value: object) -> str:
    """A value on one line of YAML; what is unset is left out."""
    plain = msgspec.to_builtins(value)
    if isinstance(value, Struct):
        plain = {key: each for key, each in plain.items() if each is not None}
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return text.removesuffix("...\n").strip()
