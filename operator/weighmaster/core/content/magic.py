"""What a file is by its content: magic bytes, and for zip archives the names inside.

A name proves nothing: a pickle is a pickle under any name (NOTES-signing section 5). Nothing here
runs, unpickles or inflates anything.
"""

import re
import struct

from msgspec import Struct

from weighmaster.core.content.gguf import GgufFacts, read_gguf
from weighmaster.core.content.reading import CHUNK, Reader, Span
from weighmaster.core.content.safetensors import (
    SafetensorsFacts,
    looks_like_safetensors,
    read_safetensors,
)
from weighmaster.errors import HeaderError

MALFORMED = "malformed"
"""The format of a file that begins as one format and breaks its rules."""

MAX_ENTRIES = 65_536
MAX_DIRECTORY = 4 * 1024 * 1024
"""Names and bytes of a zip archive's directory that are looked at."""

_TAIL = 22 + 65_535
"""Bytes: a zip archive's end record with the longest comment."""

_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "keras"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x1f\x8b", "compressed"),
    (b"\x28\xb5\x2f\xfd", "compressed"),
    (b"BZh", "compressed"),
    (b"\xfd7zXZ\x00", "compressed"),
    (b"\x04\x22\x4d\x18", "compressed"),
    (b"\x78\x9c", "compressed"),
    (b"lmgg", "ggml"),
    (b"fmgg", "ggml"),
    (b"tjgg", "ggml"),
)
"""``compressed`` may well hold a pickle (joblib): it is not opened here."""

_TEXT_PICKLE = re.compile(
    rb"\(?c[A-Za-z_][\w.]{0,127}\n[A-Za-z_][\w.]{0,127}\n(?:[()\]}]|p\d+\n|q[\x00-\x1f])"
    rb"|[(\]}]?[(ld]p\d+\n"
)
"""Protocols 0 and 1 have no magic: a global by name and what is done with it, or a container put
into the memo. (A vocabulary may well begin with lines such as ``cat`` and ``dog``.)"""

_ONNX = re.compile(
    rb"\x08[\x01-\x1e](?:\x12[\x00-\x40][\x20-\x7e]|\x3a[\x80-\xff]|\x42[\x00-\x7f]\x0a)"
)
"""A ModelProto has no magic: field 1 is a small version, then the producer's name, the graph or
the operator sets (onnx.proto)."""

_NUMPY_OBJECT = re.compile(rb"""\|O|['"]O\d*['"]""")


class Examined(Struct, frozen=True):
    """A file's format by content, None when no magic says.

    ``problem`` says what rule its header breaks, or why it was not read to its end
    (``incomplete``).
    """

    format: str | None
    problem: str | None = None
    incomplete: bool = False
    safetensors: SafetensorsFacts | None = None
    gguf: GgufFacts | None = None


def examine(size: int, *, limit: int) -> Reader[Examined]:
    """Look into a file of ``size`` bytes, asking for at most about ``limit`` bytes.

    Never raises HeaderError: what breaks a format's rules is a result.
    """
    if size <= 0:
        return Examined(None)
    head = yield Span(0, min(size, CHUNK))
    try:
        return (yield from _examine(head, size, limit))
    except HeaderError as error:
        if error.incomplete:
            return Examined(_by_magic(head, size), str(error), incomplete=True)
        return Examined(MALFORMED, str(error))


def _examine(head: bytes, size: int, limit: int) -> Reader[Examined]:
    found = _by_magic(head, size)
    if found == "gguf":
        gguf = yield from read_gguf(size, limit=limit, head=head)
        return Examined("gguf", gguf=gguf)
    if found == "safetensors":
        facts = yield from read_safetensors(size, limit=limit, head=head)
        return Examined("safetensors", safetensors=facts)
    if found == "zip":
        return Examined((yield from _zip(size)))
    return Examined(found)


def _by_magic(head: bytes, size: int) -> str | None:
    if head.startswith(b"GGUF"):
        return "gguf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head.startswith(b"\x93NUMPY"):
        return "pickle" if _NUMPY_OBJECT.search(head, 0, 4096) else "numpy"
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[257:262] == b"ustar":
        return "tar"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if looks_like_safetensors(head, size):
        return "safetensors"
    if _ONNX.match(head):
        return "onnx"
    return "pickle" if _TEXT_PICKLE.match(head) else None


def _zip(size: int) -> Reader[str]:
    """What kind of archive it is, by the names in its directory (PKWARE APPNOTE 4.3.12, 4.3.16)."""
    length = min(size, _TAIL)
    tail = yield Span(size - length, length)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise HeaderError("the zip archive has no end")
    count, extent, offset = struct.unpack("<HII", tail[at + 10 : at + 20])
    if 0xFFFFFFFF in (extent, offset) or count == 0xFFFF:  # zip64: PyTorch writes it over 4 GiB
        offset, extent = yield from _zip64(tail, at, size)
    if extent > MAX_DIRECTORY:
        raise HeaderError("the zip archive's directory is longer than our limit", incomplete=True)
    if offset + extent > size:
        raise HeaderError("the zip archive's directory lies outside of it")
    directory = yield Span(offset, extent)
    return _kind_of_archive(_names(directory))


def _zip64(tail: bytes, at: int, size: int) -> Reader[tuple[int, int]]:
    if at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
        raise HeaderError("the zip archive has no end")
    (where,) = struct.unpack("<Q", tail[at - 12 : at - 4])
    if where + 56 > size:
        raise HeaderError("the zip archive's directory lies outside of it")
    record = yield Span(where, 56)
    if record[:4] != b"PK\x06\x06" or len(record) < 56:
        raise HeaderError("the zip archive has no end")
    extent, offset = struct.unpack("<QQ", record[40:56])
    return offset, extent


def _names(directory: bytes) -> list[str]:
    names: list[str] = []
    at = 0
    while directory[at : at + 4] == b"PK\x01\x02" and len(directory) - at >= 46:
        name, extra, comment = struct.unpack("<HHH", directory[at + 28 : at + 34])
        names.append(directory[at + 46 : at + 46 + name].decode("utf-8", "replace"))
        if len(names) > MAX_ENTRIES:
            raise HeaderError("the zip archive has more entries than our limit", incomplete=True)
        at += 46 + name + extra + comment
    if not names and directory:
        raise HeaderError("the zip archive's directory is malformed")
    return names


def _kind_of_archive(names: list[str]) -> str:
    lowered = [name.lower() for name in names]
    if any(name.endswith((".pkl", ".pickle")) for name in lowered):
        return "torchscript" if any("/code/" in name for name in lowered) else "pickle"
    if any(name.startswith("mar-inf/") for name in lowered):
        return "mar"
    if "model.weights.h5" in lowered or {"config.json", "metadata.json"} <= set(lowered):
        return "keras"
    if names and all(name.endswith(".npy") for name in lowered):
        return "numpy"
    return "zip"
