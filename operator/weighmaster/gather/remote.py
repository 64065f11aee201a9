"""Reading a remote file at an offset, for the readers of `weighmaster.core.content`."""

from typing import Protocol, TypeVar

from yarl import URL

from weighmaster.core.content.reading import Reader, Span
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.answers import hostile, succeeded
from weighmaster.gather.client import Answer, Request, total_of
from weighmaster.gather.credentials import Credential
from weighmaster.gather.settings import GatherSettings

Found = TypeVar("Found")


class Readable(Protocol):
    """Something that can be read at an offset."""

    async def read(self, span: Span) -> bytes:
        """The bytes of a span; fewer only at the file's end. Raises GatherError."""
        ...


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
        total = total_of(answer)
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


async def drive(reader: Reader[Found], file: Readable) -> Found:
    """What a reader finds in a remote file. Raises GatherError, and HeaderError as it does."""
    try:
        span = next(reader)
        while True:
            span = reader.send(await file.read(span))
    except StopIteration as end:
        found: Found = end.value
        return found


def is_unreadable(error: GatherError) -> bool:
    """Whether an error is about one file, which is then left unread, and not about the host."""
    return error.reason in (UnavailableReason.TOO_LARGE, UnavailableReason.NOT_FOUND)
