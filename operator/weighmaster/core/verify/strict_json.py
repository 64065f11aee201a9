"""JSON from a hostile source: bounded, and with one meaning only."""

import binascii
import json
from base64 import b64decode, b64encode
from typing import NoReturn

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import VerificationError

MAX_DEPTH = 32
"""Levels of nesting; a Sigstore bundle has 8."""


def malformed(message: str) -> VerificationError:
    """The error for something that is not well-formed."""
    return VerificationError(VerificationReason.MALFORMED, message)


def parse_object(raw: bytes, what: str, max_bytes: int, max_containers: int) -> dict[str, object]:
    """The JSON object in ``raw``; ``what`` names it in messages.

    Raises VerificationError where it is larger than ``max_bytes``, has more than
    ``max_containers`` objects and lists, is nested deeper than MAX_DEPTH, names a key twice (which
    readers resolve differently), or is not JSON by RFC 8259.
    """
    if len(raw) > max_bytes:
        raise VerificationError(
            VerificationReason.TOO_LARGE, f"{what} has {len(raw)} bytes; {max_bytes} is the limit"
        )
    if raw.count(b"{") + raw.count(b"[") > max_containers:
        raise VerificationError(
            VerificationReason.TOO_LARGE, f"{what} has more than {max_containers} parts"
        )
    try:
        value: object = json.loads(
            raw.decode(), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise malformed(f"{what} is not well-formed JSON with unique keys") from None
    if not isinstance(value, dict):
        raise malformed(f"{what} is not a JSON object")
    _check_depth(value, what)
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _check_depth(value: object, what: str) -> None:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (
                outer.values()
                if isinstance(outer, dict)
                else outer
                if isinstance(outer, list)
                else ()
            )
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise malformed(f"{what} is nested deeper than {MAX_DEPTH} levels")


def only_keys(value: dict[str, object], known: frozenset[str], what: str) -> None:
    """Refuse members that we do not know, since they may change what the others mean."""
    if not value.keys() <= known:
        raise VerificationError(
            VerificationReason.UNSUPPORTED, f"{what} has members that are not known"
        )


def object_at(value: dict[str, object], key: str, what: str) -> dict[str, object]:
    """The object under a key; raises VerificationError when there is none."""
    found = value.get(key)
    if not isinstance(found, dict):
        raise malformed(f"{what} has no object {key}")
    return found


def list_at(value: dict[str, object], key: str, what: str) -> list[object]:
    """The list under a key; raises VerificationError when there is none."""
    found = value.get(key)
    if not isinstance(found, list):
        raise malformed(f"{what} has no list {key}")
    return found


def text_at(value: dict[str, object], key: str, what: str) -> str:
    """The text under a key; raises VerificationError when there is none."""
    found = value.get(key)
    if not isinstance(found, str):
        raise malformed(f"{what} has no text {key}")
    return found


def bytes_at(value: dict[str, object], key: str, what: str) -> bytes:
    """The bytes under a key, from base64 (RFC 4648 section 4) in its one canonical form."""
    text = text_at(value, key, what)
    try:
        decoded = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise malformed(f"{what}: {key} is not base64") from None
    if not decoded or b64encode(decoded).decode() != text:
        raise malformed(f"{what}: {key} is empty or not base64 in its canonical form")
    return decoded
