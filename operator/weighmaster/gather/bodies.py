"""What becomes of the body of an answer: read whole within a cap, or poured into a sink."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from yarl import URL

from weighmaster.core.content.reading import Span
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.credentials import authority_of

PART_BYTES = 1024 * 1024
"""Bytes that a sink is given at a time, but for the last."""

MAX_ERROR_BYTES = 64 * 1024
"""Of an error's text, which is of no interest."""


class Sink(Protocol):
    """Takes a file, from wherever it is to the file's end."""

    @property
    def span(self) -> Span:
        """What is still wanted; at least a byte."""
        ...

    async def take(self, part: bytes) -> None:
        """Take the next bytes. Must not raise OSError, which would be taken for the network's."""
        ...


async def pour(response: aiohttp.ClientResponse, sink: Sink, patience: float) -> None:
    """Give a sink what it wants, of an answer to a request for that span.

    ``patience`` is in seconds for each PART_BYTES. Raises GatherError when the file has another
    size than the sink expects; TimeoutError, OSError and aiohttp.ClientError when the rest may come
    another time.
    """
    _check_coding(response)
    wanted = sink.span
    skip = wanted.offset if _is_whole(response, wanted) else 0
    left = skip + wanted.length
    total = total_of(response.headers) if response.status == 206 else None
    if response.content_length not in (None, left) or total not in (
        None,
        wanted.offset + wanted.length,
    ):
        raise hostile_answer(response.url, "has another size for a file than was listed")
    while left:
        async with asyncio.timeout(patience):
            part = await _next_part(response.content, min(left, PART_BYTES))
        if not part:
            raise ConnectionError("the answer ended early")
        left -= len(part)
        if left < 0:
            raise hostile_answer(response.url, "sends more of a file than was listed")
        part, skip = part[skip:], max(0, skip - len(part))
        if part:
            await sink.take(part)


async def _next_part(content: aiohttp.StreamReader, enough: int) -> bytes:
    """Some bytes, ``enough`` or more unless the answer ends; none at its end."""
    parts: list[bytes] = []
    size = 0
    while size < enough and (chunk := await content.readany()):
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts)


async def read(response: aiohttp.ClientResponse, limit: int, span: Span | None) -> bytes:
    """The body (or a span of it), no longer than allowed.

    Raises GatherError for a longer or compressed one.
    """
    _check_coding(response)
    skip = 0
    if response.status >= 400:
        limit, span = MAX_ERROR_BYTES, None
    elif span is not None:
        limit, skip = _span_limits(response, span, limit)
    declared = response.content_length
    if span is None and response.status < 400 and declared is not None and declared > limit:
        raise too_large(response.url, limit)
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            if span is None and response.status < 400:
                raise too_large(response.url, limit)
            break
    return b"".join(parts)[skip:limit]


def _span_limits(response: aiohttp.ClientResponse, span: Span, limit: int) -> tuple[int, int]:
    """Bytes to read, and how many of them to drop, for an answer to a range request."""
    if _is_whole(response, span):
        if span.offset + span.length > limit:
            raise too_large(response.url, limit)
        return span.offset + span.length, span.offset
    return span.length, 0


def _is_whole(response: aiohttp.ClientResponse, span: Span) -> bool:
    """Whether the server ignores ranges and sends everything (RFC 9110, section 14.2 allows it).

    Raises GatherError when it is neither that nor the span.
    """
    if response.status == 200:
        return True
    expected = f"bytes {span.offset}-"
    if response.status != 206 or not response.headers.get("Content-Range", "").startswith(expected):
        raise hostile_answer(response.url, "answers another range than was asked for")
    return False


def _check_coding(response: aiohttp.ClientResponse) -> None:
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding not in ("", "identity"):
        raise hostile_answer(response.url, "compresses although it was asked not to")


def total_of(headers: Mapping[str, str]) -> int | None:
    """The whole size that a 206 states in Content-Range; None when it does not."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isascii() and total.isdigit() and len(total) < 20 else None


def hostile_answer(url: URL, what: str) -> GatherError:
    """An answer that breaks the protocol."""
    return GatherError(UnavailableReason.HOSTILE_ANSWER, f"{authority_of(url)} {what}")


def too_large(url: URL, limit: int) -> GatherError:
    """An answer that is longer than what is read."""
    return GatherError(
        UnavailableReason.TOO_LARGE,
        f"{authority_of(url)} sends more than the {limit} bytes that are read",
        status=200,
    )
