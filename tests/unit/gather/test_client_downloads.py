"""The HTTP client pouring a file into a sink: cut, resumed, ignored ranges, other sizes."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from tests.hub.server import Hub, ranged
from tests.unit.gather.conftest import FakeTime, settings_for
from weighmaster.core.content.reading import Span
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.bodies import PART_BYTES
from weighmaster.gather.client import HttpClient, Request
from weighmaster.gather.settings import Timeouts

CONTENT = bytes(range(256)) * 20_000
"""Some more than four parts."""


class Bucket:
    """A sink that keeps what it is given, having some already."""

    def __init__(self, kept: bytes = b"", size: int = len(CONTENT)) -> None:
        self.kept = kept
        self._size = size
        self.largest = 0

    @property
    def span(self) -> Span:
        return Span(len(self.kept), self._size - len(self.kept))

    async def take(self, part: bytes) -> None:
        self.largest = max(self.largest, len(part))
        self.kept += part


async def download(client: HttpClient, hub: Hub, bucket: Bucket) -> None:
    await client.get(Request(url=URL(f"{hub.url}/x"), limit=0, sink=bucket))


class Cut:
    """A server that hangs up after so many bytes of each answer."""

    def __init__(self, after: int, times: int = 1_000_000) -> None:
        self.after = after
        self.times = times

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        whole = ranged(request, CONTENT, {})
        body = bytes(whole.body)  # type: ignore[arg-type]
        if not self.times:
            return whole
        self.times -= 1
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: self.after])
        assert request.transport is not None
        request.transport.close()
        return response


async def serve(request: web.Request) -> web.StreamResponse:
    return ranged(request, CONTENT, {})


async def test_a_file_arrives_whole_and_in_parts(hub: Hub, client_for: Any) -> None:
    hub.misbehave = serve
    bucket = Bucket()
    await download(await client_for(settings_for(hub)), hub, bucket)
    assert bucket.kept == CONTENT
    assert bucket.largest < 2 * PART_BYTES


async def test_only_what_is_missing_is_asked_for(hub: Hub, client_for: Any) -> None:
    hub.misbehave = serve
    bucket = Bucket(CONTENT[:1_000_000])
    await download(await client_for(settings_for(hub)), hub, bucket)
    assert bucket.kept == CONTENT
    (seen,) = hub.seen
    assert seen.headers["Range"] == f"bytes=1000000-{len(CONTENT) - 1}"


async def test_a_cut_answer_is_continued_where_it_ended(hub: Hub, client_for: Any) -> None:
    hub.misbehave = Cut(2 * PART_BYTES, times=1)
    bucket = Bucket()
    await download(await client_for(settings_for(hub)), hub, bucket)
    assert bucket.kept == CONTENT
    first, second = (int(seen.headers["Range"][6:].partition("-")[0]) for seen in hub.seen)
    assert first == 0
    assert PART_BYTES <= second <= 2 * PART_BYTES


async def test_attempts_that_bring_something_do_not_count(
    hub: Hub, client_for: Any, time: FakeTime
) -> None:
    hub.misbehave = Cut(PART_BYTES + 300_000)
    bucket = Bucket()
    await download(await client_for(settings_for(hub, attempts=1)), hub, bucket)
    assert bucket.kept == CONTENT
    assert time.slept, "there was no pause between the attempts"


async def test_attempts_that_bring_nothing_come_to_an_end(hub: Hub, client_for: Any) -> None:
    hub.misbehave = Cut(0)
    with pytest.raises(GatherError) as caught:
        await download(await client_for(settings_for(hub, attempts=3)), hub, Bucket())
    assert caught.value.reason == UnavailableReason.UNREACHABLE
    assert len(hub.seen) == 3


async def test_a_server_that_ignores_ranges_is_read_from_the_beginning(
    hub: Hub, client_for: Any
) -> None:
    async def whole(request: web.Request) -> web.StreamResponse:
        return web.Response(body=CONTENT)

    hub.misbehave = whole
    bucket = Bucket(CONTENT[:3_000_001])
    await download(await client_for(settings_for(hub)), hub, bucket)
    assert bucket.kept == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
async def test_another_size_than_was_listed_is_hostile(
    hub: Hub, client_for: Any, size: int
) -> None:
    hub.misbehave = serve
    bucket = Bucket(size=size)
    with pytest.raises(GatherError, match="another size") as caught:
        await download(await client_for(settings_for(hub)), hub, bucket)
    assert caught.value.reason == UnavailableReason.HOSTILE_ANSWER
    assert bucket.kept == b""


async def test_an_endless_answer_is_not_taken_beyond_the_size(hub: Hub, client_for: Any) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(100_000))

    hub.misbehave = endless
    bucket = Bucket(size=1_050_001)
    with pytest.raises(GatherError, match="more of a file"):
        await download(await client_for(settings_for(hub)), hub, bucket)
    assert len(bucket.kept) <= 1_050_001


async def test_another_range_than_was_asked_for_is_hostile(hub: Hub, client_for: Any) -> None:
    async def shifted(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Range": f"bytes 1-{len(CONTENT)}/{len(CONTENT) + 1}"}
        return web.Response(status=206, body=CONTENT, headers=headers)

    hub.misbehave = shifted
    with pytest.raises(GatherError, match="another range"):
        await download(await client_for(settings_for(hub)), hub, Bucket())


async def test_a_compressed_answer_is_refused(hub: Hub, client_for: Any) -> None:
    async def compressed(request: web.Request) -> web.StreamResponse:
        return web.Response(body=CONTENT, headers={"Content-Encoding": "gzip"})

    hub.misbehave = compressed
    with pytest.raises(GatherError, match="compresses"):
        await download(await client_for(settings_for(hub)), hub, Bucket())


async def test_a_server_that_crawls_is_left_and_asked_again(hub: Hub, client_for: Any) -> None:
    """Each byte comes in time, so that a limit for the time between bytes would never end it."""
    slow = True

    async def crawl(request: web.Request) -> web.StreamResponse:
        nonlocal slow
        whole = ranged(request, CONTENT, {})
        if not slow:
            return whole
        slow = False
        response = web.StreamResponse(status=206, headers=whole.headers)
        response.content_length = len(CONTENT)
        await response.prepare(request)
        for each in range(100):
            await response.write(CONTENT[each : each + 1])
            await asyncio.sleep(0.05)
        return response

    hub.misbehave = crawl
    bucket = Bucket()
    patient = Timeouts(connect=5, read=0.5, request=10, gather=30)
    await download(await client_for(settings_for(hub, timeouts=patient)), hub, bucket)
    assert bucket.kept == CONTENT
    assert len(hub.seen) == 2


async def test_a_long_download_is_not_ended_by_the_limit_for_requests(
    hub: Hub, client_for: Any
) -> None:
    async def steady(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for at in range(0, len(CONTENT), 700_000):
            await response.write(CONTENT[at : at + 700_000])
            await asyncio.sleep(0.1)
        return response

    hub.misbehave = steady
    bucket = Bucket()
    short = Timeouts(connect=5, read=5, request=0.3, gather=30)
    await download(await client_for(settings_for(hub, timeouts=short)), hub, bucket)
    assert bucket.kept == CONTENT
    assert len(hub.seen) == 1
