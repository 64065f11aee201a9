"""Reading at an offset without any I/O: the protocol between readers and whoever has the bytes.

A reader is a generator. It yields a `Span` and is sent the bytes found there: as many as it asked
for, fewer only where the file ends. It returns what it found out, or raises `HeaderError`. So one
reader serves range requests, files and tests alike. How much it may ask for is in its `Window`.
"""

from collections.abc import Generator
from typing import TypeVar

from msgspec import Struct

from weighmaster.errors import HeaderError

Found = TypeVar("Found")

CHUNK = 64 * 1024
"""Bytes of a first look: most headers fit, and a second round trip costs more than 64 KiB."""

MAX_CHUNK = 4 * 1024 * 1024
"""Bytes of the largest look."""


class Span(Struct, frozen=True):
    """Bytes wanted: ``length`` of them from ``offset`` on."""

    offset: int
    length: int


Reader = Generator[Span, bytes, Found]


def run(reader: Reader[Found], content: bytes) -> Found:
    """What a reader finds in bytes at hand. Raises HeaderError as the reader does."""
    try:
        span = next(reader)
        while True:
            span = reader.send(content[span.offset : span.offset + span.length])
    except StopIteration as end:
        found: Found = end.value
        return found


class Window:
    """Sequential reading on top of spans: fetches chunks that double, skips without fetching.

    ``size`` is the file's size in bytes; nothing past it is asked for. ``limit`` is how many bytes
    may be asked for in all. ``head`` is what is there already of the file's beginning.
    """

    __slots__ = ("_at", "_buffer", "_chunk", "_limit", "_size", "_start")

    def __init__(self, size: int, *, limit: int, head: bytes = b"") -> None:
        self._size = size
        self._limit = limit
        self._chunk = CHUNK
        self._start = 0
        self._at = 0
        self._buffer = head[:size]

    @property
    def position(self) -> int:
        """Offset of the next byte."""
        return self._at

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return self._size - self._at

    def take(self, count: int) -> Reader[bytes]:
        """The next ``count`` bytes. Raises HeaderError past the file's end or the limit."""
        if count < 0 or count > self.remaining:
            raise HeaderError("the header says that it is longer than the file")
        end = self._at + count
        held = self._start + len(self._buffer)
        if end > held:
            kept = self._buffer[self._at - self._start :] if self._at < held else b""
            first = self._at + len(kept)
            more = yield from self._fetch(first, end - first)
            self._start, self._buffer = self._at, kept + more
        begin = self._at - self._start
        self._at = end
        return self._buffer[begin : begin + count]

    def _fetch(self, first: int, needed: int) -> Reader[bytes]:
        wanted = min(max(needed, self._chunk), self._size - first, max(needed, self._limit))
        if wanted > self._limit:
            raise HeaderError("the header is longer than our limit", incomplete=True)
        self._limit -= wanted
        self._chunk = min(self._chunk * 2, MAX_CHUNK)
        found = yield Span(first, wanted)
        if len(found) < needed:
            raise HeaderError("the file ends before its header does")
        return found[:wanted]

    def skip(self, count: int) -> None:
        """Move on without fetching. Raises HeaderError past the file's end."""
        if count < 0 or count > self.remaining:
            raise HeaderError("the header says that it is longer than the file")
        self._at += count
