"""Reading JSON values of any shape without ever raising."""

from typing import Any

Json = Any
"""A value as a JSON or YAML parser returns it; nothing about its shape is known."""

NOTHING: dict[str, Json] = {}


def mapping(value: Json) -> dict[str, Json]:
    """``value`` if it is a mapping, else an empty one."""
    return value if type(value) is dict else NOTHING


def items(value: Json) -> list[Json]:
    """``value`` if it is a list, else an empty one."""
    return value if type(value) is list else []


def text(value: Json) -> str:
    """A scalar as the text a container would see; an empty string for anything else.

    An unquoted ``{PLACEHOLDER}`` is a YAML mapping of one key without a value: authors mean text.
    """
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) in (int, float):
        try:
            return str(value)
        except ValueError:  # an integer of more digits than Python prints
            return ""
    if type(value) is dict and len(value) == 1:
        key, inner = next(iter(value.items()))
        if inner is None and type(key) is str:
            return f"{{{key}}}"
    return ""


def at(value: Json, *keys: str) -> Json:
    """The value below ``keys``, or ``None`` where any of them is missing."""
    for key in keys:
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value
