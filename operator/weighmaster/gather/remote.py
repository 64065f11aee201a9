"""Reading a remote file at an offset, for the readers of `weighmaster.core.content`."""

import asyncio
from typing import Generic, Protocol, TypeVar

from yarl import URL

from weighmaster.core.content.reading import Reader, Span
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.answers import hostile, succeeded
from weighmaster.gather.bodies import total_of
from weighmaster.gather.client import Answer, Request
from weighmaster.gather.credentials import Credential
from weighmaster.gather.settings import GatherSettings

Found = TypeVar("Found")

PARSED_IN_PLACE = 256 * 1024
"""Bytes; what takes a few milliseconds at most."""


class Readable(Protocol):
    """Something that can be read at an offset."""

    async def read(self, span: Span) -> bytes:
        """The bytes of a span; fewer only at the file's end. Raises GatherError."""
        ...


class _End(Generic[Found]):
    def __init__(self, found: Found) -> None:
        self.found = found


class Allowance:
    """Bytes that may still be read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> None:
        """Use some up. Raises GatherError when there are not as many."""
        if size > self._left:
            raise GatherError(UnavailableReason.TOO_LARGE, "too much would have to be read")
        self._left -= size


class Getter(Protocol):
    """Who sends requests: the client, or a registry that knows how to log in."""

    @property
    def settings(self) -> GatherSettings:
        """The caps that hold."""
        ...

    async def get(self, request: Request) -> Answer:
        """The answer to a request. Raises GatherError."""
        ...


class RemoteFile:
    """One file behind a URL, read by range requests (RFC 9110, section 14).

    A hub answers with a redirect to a signed URL; it is asked once, and the signed URL used after.
    """

    def __init__(
        self,
        client: Getter,
        url: URL,
        size: int,
        *,
        credential: Credential | None = None,
        bucket: str = "",
    ) -> None:
        self._client = client
        self._url = self._direct = url
        self._size = size
        self._credential = credential
        self._bucket = bucket

    async def read(self, span: Span) -> bytes:
        """The bytes of a span. Raises GatherError, hostile when the size is not what was listed."""
        answer = await self._client.get(self._request(self._direct, span))
        if answer.status in (401, 403) and self._direct != self._url:
            answer = await self._client.get(self._request(self._url, span))  # it has expired
        succeeded(answer, "a range of a file")
        total = total_of(answer.headers)
        if answer.status == 206 and total is not None and total != self._size:
            raise hostile(answer.url, "has another size for a file than was listed")
        if len(answer.body) < min(span.length, self._size - span.offset):
            raise hostile(answer.url, "sends less of a file than was listed")
        self._direct = answer.url
        return answer.body

    def _request(self, url: URL, span: Span) -> Request:
        return Request(
            url=url,
            limit=self._client.settings.caps.header,
            credential=self._credential if url.origin() == self._url.origin() else None,
            span=span,
            bucket=self._bucket if url.origin() == self._url.origin() else "",
        )


class Metered:
    """A file whose reading counts against an allowance that several files share."""

    def __init__(self, file: Readable, allowance: Allowance) -> None:
        self._file = file
        self._allowance = allowance

    async def read(self, span: Span) -> bytes:
        """The bytes of a span. Raises GatherError, too large once the allowance is used up."""
        self._allowance.take(span.length)
        return await self._file.read(span)


async def drive(reader: Reader[Found], file: Readable) -> Found:
    """What a reader finds in a remote file. Raises GatherError, and HeaderError as it does.

    Long headers are parsed in a thread: everything else in this process goes on meanwhile.
    """
    try:
        step: Span | _End[Found] = next(reader)
    except StopIteration as end:
        found: Found = end.value
        return found
    while isinstance(step, Span):
        content = await file.read(step)
        if len(content) > PARSED_IN_PLACE:
            step = await asyncio.to_thread(_advance, reader, content)
        else:
            step = _advance(reader, content)
    return step.found


def _advance(reader: Reader[Found], content: bytes) -> Span | _End[Found]:
    try:
        return reader.send(content)
    except StopIteration as end:  # which cannot be raised out of a thread
        return _End(end.value)


def is_unreadable(error: GatherError) -> bool:
    """Whether an error is about one file, which is then left unread, and not about the host."""
    return error.reason in (UnavailableReason.TOO_LARGE, UnavailableReason.NOT_FOUND)
