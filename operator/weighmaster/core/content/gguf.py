"""The header of a GGUF file, version 2 or 3, little-endian.

``GGUF``, version, tensor count, number of key-value pairs, then the pairs (the format's
documentation in ggml, ``docs/gguf.md``). Everything in it is the author's claim. Counts and
lengths are checked against the size of the file before anything is done by them, since each
tensor, pair and string takes bytes; so no count makes this reader work longer than the file is.
"""

import struct
from typing import Any

from msgspec import Struct

from weighmaster.core.content.reading import Reader, Window
from weighmaster.errors import HeaderError

MAX_PAIRS = 65_536
MAX_KEY = 65_535
"""Bytes of a key; the format's own limit."""

MAX_VALUE = 8 * 1024
"""Bytes of a string value that is kept; longer ones are passed over."""

MAX_STRINGS = 4096
"""Elements of an array of strings that are walked through. A vocabulary is longer and takes
megabytes; what is of interest comes before it, so the reading ends there."""

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?",
    10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip


class GgufFacts(Struct, frozen=True):
    """Version, number of tensors, and the ``general.`` keys with text or a number as text.

    ``complete`` is false when pairs were left unread: after a vocabulary, or at the limit.
    """

    version: int
    tensors: int
    general: tuple[tuple[str, str], ...]
    complete: bool

    def get(self, key: str) -> str | None:
        """The value of ``general.<key>``."""
        return dict(self.general).get(key)


def read_gguf(size: int, *, limit: int, head: bytes = b"") -> Reader[GgufFacts]:
    """Read the header of a file of ``size`` bytes, asking for at most ``limit`` bytes.

    Raises HeaderError when it is malformed.
    """
    window = Window(size, limit=limit, head=head)
    magic, version, tensors, pairs = struct.unpack("<4sIQQ", (yield from window.take(24)))
    if magic != b"GGUF":
        raise HeaderError("the file does not begin with GGUF")
    if version not in (2, 3):
        raise HeaderError("the GGUF version is not 2 or 3")
    # A tensor takes 24 bytes at least, a pair 13.
    if pairs > MAX_PAIRS or tensors * 24 + pairs * 13 > size:
        raise HeaderError("the GGUF header counts more than the file can hold")
    general: dict[str, str] = {}
    complete = True
    for _ in range(pairs):
        try:
            if not (yield from _pair(window, general)):
                complete = False
                break
        except HeaderError as error:
            if not error.incomplete:
                raise
            complete = False
            break
    return GgufFacts(version, tensors, tuple(sorted(general.items())), complete)


def _pair(window: Window, general: dict[str, str]) -> Reader[bool]:
    """Read one pair; false when the reading ends at it."""
    raw = yield from _string(window, MAX_KEY)
    if raw is None:
        raise HeaderError("a GGUF key is too long")
    key = raw.decode("utf-8", "replace")
    (kind,) = struct.unpack("<I", (yield from window.take(4)))
    if kind == _ARRAY:
        return (yield from _pass_array(window))
    value: Any
    if kind == _STRING:
        text = yield from _string(window, MAX_VALUE)
        value = None if text is None else text.decode("utf-8", "replace")
    elif kind in _SCALARS:
        code = _SCALARS[kind]
        (value,) = struct.unpack(code, (yield from window.take(struct.calcsize(code))))
    else:
        raise HeaderError("a GGUF value has an unknown type")
    if key.startswith("general.") and value is not None and len(general) < 256:
        name = key.removeprefix("general.")
        if name in general:
            raise HeaderError("the GGUF header has a key twice")
        general[name] = str(value)
    return True


def _string(window: Window, longest: int) -> Reader[bytes | None]:
    """The next string; passed over and None when longer than ``longest``."""
    (length,) = struct.unpack("<Q", (yield from window.take(8)))
    if length > longest:
        window.skip(length)
        return None
    return (yield from window.take(length))


def _pass_array(window: Window) -> Reader[bool]:
    """Pass over an array; false when it holds more strings than are worth walking through."""
    kind, count = struct.unpack("<IQ", (yield from window.take(12)))
    if kind in _SCALARS:
        window.skip(count * struct.calcsize(_SCALARS[kind]))
        return True
    if kind == _ARRAY:
        return False  # the format allows it, no model has it, and nesting is where readers hang
    if kind != _STRING:
        raise HeaderError("a GGUF array has an unknown type")
    if count * 8 > window.remaining:
        raise HeaderError("a GGUF array is longer than the file")
    if count > MAX_STRINGS:
        return False
    for _ in range(count):
        (length,) = struct.unpack("<Q", (yield from window.take(8)))
        window.skip(length)
    return True
