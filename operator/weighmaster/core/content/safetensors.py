"""The header of a safetensors file.

Eight bytes (little-endian N), then N bytes of JSON that begin with ``{``: tensors with dtype,
shape and offsets into the rest of the file, and ``__metadata__``, a map of strings. The rules are
those of the format's README and of the safetensors 0.8 library (NOTES-signing section 5): known
dtypes, data without holes, overlaps or a remainder. Beyond the library, names must be unique,
because which of two counts depends on the parser.
"""

import json
from typing import Any, TypeGuard

from msgspec import Struct

from weighmaster.core.content.reading import Reader, Window
from weighmaster.errors import HeaderError

MAX_HEADER = 100_000_000
"""Bytes; the format's own limit, inclusive."""

MAX_METADATA = 32
"""Entries of ``__metadata__`` that are kept, each clipped to 256 characters."""

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


class SafetensorsFacts(Struct, frozen=True):
    """Number of tensors, elements by dtype in order of dtype, metadata (clipped)."""

    tensors: int
    dtypes: tuple[tuple[str, int], ...]
    metadata: tuple[tuple[str, str], ...]


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether the first bytes can be the beginning of a safetensors file of ``size`` bytes."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length <= min(MAX_HEADER, size - 8)


def read_safetensors(size: int, *, limit: int, head: bytes = b"") -> Reader[SafetensorsFacts]:
    """Read the header of a file of ``size`` bytes, asking for at most ``limit`` bytes.

    Raises HeaderError when it breaks the rules above, or (``incomplete``) is over the limit.
    """
    window = Window(size, limit=limit, head=head)
    length = int.from_bytes((yield from window.take(8)), "little")
    if not 2 <= length <= MAX_HEADER:
        raise HeaderError("the safetensors header's length is impossible")
    text = yield from window.take(length)
    if not text.startswith(b"{"):
        raise HeaderError("the safetensors header does not begin with {")
    entries = _decode(text)
    metadata = _metadata(entries.pop("__metadata__", {}))
    spans: list[tuple[int, int]] = []
    elements: dict[str, int] = {}
    for entry in entries.values():
        dtype, count, begin, end = _tensor(entry)
        spans.append((begin, end))
        elements[dtype] = elements.get(dtype, 0) + count
    _check_coverage(spans, window.remaining)
    return SafetensorsFacts(len(spans), tuple(sorted(elements.items())), metadata)


def _decode(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except HeaderError:
        raise
    except (ValueError, RecursionError):
        raise HeaderError("the safetensors header is not JSON") from None
    if not isinstance(entries, dict):
        raise HeaderError("the safetensors header is not a JSON object")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HeaderError("the safetensors header has a name twice")
    return found


def _no_constant(_: str) -> None:
    raise HeaderError("the safetensors header holds a number that JSON has not")


def _metadata(found: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise HeaderError("the safetensors metadata is not a map of strings")
    return tuple((key[:256], value[:256]) for key, value in sorted(found.items())[:MAX_METADATA])


def _tensor(entry: Any) -> tuple[str, int, int, int]:
    """Dtype, number of elements, begin and end of one tensor."""
    if not isinstance(entry, dict):
        raise HeaderError("a tensor of the safetensors header is not an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise HeaderError("a tensor has an unknown dtype")
    if not _naturals(shape) or len(shape) > 64:
        raise HeaderError("a tensor has an impossible shape")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise HeaderError("a tensor has impossible offsets")
    count = 1
    for extent in shape:
        count *= extent
        if count >= 2**63:
            raise HeaderError("a tensor is impossibly large")
    if count * _BITS[dtype] != (offsets[1] - offsets[0]) * 8:
        raise HeaderError("a tensor's size is not what its shape says")
    return dtype, count, offsets[0], offsets[1]


def _naturals(found: Any) -> TypeGuard[list[int]]:
    return isinstance(found, list) and all(type(n) is int and 0 <= n < 2**63 for n in found)


def _check_coverage(spans: list[tuple[int, int]], size: int) -> None:
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise HeaderError("the tensors overlap, or leave bytes between them")
        at = end
    if at != size:
        raise HeaderError("the tensors do not fill the file")
