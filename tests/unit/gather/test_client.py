"""The HTTP client: sizes, times, retries, proxies."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.certificates import write_certificate
from tests.hub.server import Hub
from tests.unit.gather.conftest import FakeTime, settings_for
from tests.unit.gather.requesting import failure, get, redirect
from weighmaster.core.content.reading import Span
from weighmaster.core.evidence import UnavailableReason
from weighmaster.gather.settings import GatherSettings, Timeouts


async def test_a_declared_body_over_the_limit_is_not_read(hub: Hub, client_for: Any) -> None:
    async def big(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 100_000)

    hub.misbehave = big
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/x", limit=1000)
    assert error.reason == UnavailableReason.TOO_LARGE


async def test_an_endless_body_is_cut_at_the_limit(hub: Hub, client_for: Any) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 2**30:
            sent += 65536
            await response.write(bytes(65536))
        return response

    hub.misbehave = endless
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/x", limit=100_000)
    assert error.reason == UnavailableReason.TOO_LARGE
    assert sent < 2**25


async def test_an_endless_error_page_is_cut_without_an_error(hub: Hub, client_for: Any) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404, body=b"x" * 1_000_000)

    hub.misbehave = endless
    client = await client_for(settings_for(hub))
    answer = await get(client, f"{hub.url}/x")
    assert answer.status == 404
    assert len(answer.body) <= 64 * 1024


async def test_a_slow_body_runs_into_the_time_limit(hub: Hub, client_for: Any) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x")
            await asyncio.sleep(0.05)
        return response

    hub.misbehave = slow
    settings = settings_for(hub, attempts=1, timeouts=Timeouts(request=0.3, read=0.2))
    client = await client_for(settings)
    error = await failure(client, f"{hub.url}/x")
    assert error.reason == UnavailableReason.UNREACHABLE


async def test_a_truncated_body_is_an_outage(hub: Hub, client_for: Any) -> None:
    async def truncated(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    hub.misbehave = truncated
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/x")
    assert error.reason == UnavailableReason.UNREACHABLE
    assert len(hub.seen) == 3


async def test_a_compressed_body_is_refused_not_inflated(hub: Hub, client_for: Any) -> None:
    async def compressed(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    hub.misbehave = compressed
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/x")
    assert error.reason == UnavailableReason.HOSTILE_ANSWER
    assert hub.seen[0].headers["Accept-Encoding"] == "identity"


async def test_a_429_is_waited_out_as_long_as_it_says(
    hub: Hub, client_for: Any, time: FakeTime
) -> None:
    async def limited(request: web.Request) -> web.StreamResponse:
        if len(hub.seen) == 1:
            return web.Response(status=429, headers={"Retry-After": "9"})
        return web.Response(text="hello")

    hub.misbehave = limited
    client = await client_for(settings_for(hub))
    assert (await get(client, f"{hub.url}/x")).body == b"hello"
    assert time.slept == [9]


async def test_a_429_beyond_patience_is_said_with_its_time(
    hub: Hub, client_for: Any, time: FakeTime
) -> None:
    async def limited(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"RateLimit": '"api";r=0;t=250'})

    hub.misbehave = limited
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/x")
    assert error.reason == UnavailableReason.RATE_LIMITED
    assert error.retry_after == 250
    assert len(hub.seen) == 1
    assert (await failure(client, f"{hub.url}/y")).reason == UnavailableReason.RATE_LIMITED
    assert len(hub.seen) == 1


async def test_classes_of_requests_are_limited_apart(hub: Hub, client_for: Any) -> None:
    async def limited(request: web.Request) -> web.StreamResponse:
        if request.path == "/api":
            return web.Response(status=429, headers={"Retry-After": "900"})
        return web.Response(text="hello")

    hub.misbehave = limited
    client = await client_for(settings_for(hub))
    await failure(client, f"{hub.url}/api", bucket="api")
    assert (await get(client, f"{hub.url}/x", bucket="resolvers")).body == b"hello"


async def test_a_server_error_is_tried_again_and_then_an_outage(
    hub: Hub, client_for: Any, time: FakeTime
) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        return web.Response(status=502)

    hub.misbehave = broken
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/x")
    assert error.reason == UnavailableReason.UNREACHABLE
    assert error.status == 502
    assert len(hub.seen) == 3
    assert time.slept == [0.5, 1]


async def test_a_host_that_is_not_there_is_an_outage(client_for: Any) -> None:
    client = await client_for(GatherSettings())
    error = await failure(client, "https://gone.example/x")
    assert error.reason == UnavailableReason.UNREACHABLE


async def test_no_more_requests_run_at_one_host_than_configured(hub: Hub, client_for: Any) -> None:
    running = most = 0

    async def counting(request: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return web.Response(text="hello")

    hub.misbehave = counting
    client = await client_for(settings_for(hub, concurrency_per_host=3))
    await asyncio.gather(*(get(client, f"{hub.url}/{n}") for n in range(30)))
    assert most == 3


async def test_a_range_is_answered_with_that_range_and_no_other(hub: Hub, client_for: Any) -> None:
    async def other(request: web.Request) -> web.StreamResponse:
        return web.Response(status=206, body=b"xx", headers={"Content-Range": "bytes 0-1/100"})

    hub.misbehave = other
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/x", span=Span(10, 2))
    assert error.reason == UnavailableReason.HOSTILE_ANSWER
    assert hub.seen[0].headers["Range"] == "bytes=10-11"


async def test_a_server_without_ranges_is_read_up_to_the_end_of_the_span(
    hub: Hub, client_for: Any
) -> None:
    async def whole(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(range(200)))

    hub.misbehave = whole
    client = await client_for(settings_for(hub))
    answer = await get(client, f"{hub.url}/x", span=Span(10, 3), limit=100)
    assert answer.body == bytes([10, 11, 12])
    error = await failure(client, f"{hub.url}/x", span=Span(150, 3), limit=100)
    assert error.reason == UnavailableReason.TOO_LARGE


async def test_a_custom_root_is_trusted_and_without_it_the_host_is_not(
    tmp_path: Path, stack: AsyncExitStack, client_for: Any
) -> None:
    write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    hub = await stack.enter_async_context(Hub(tls=context, misbehave=redirect("")))
    settings = settings_for(hub, plain_http_hosts=frozenset(), attempts=1)
    strict = await client_for(settings)
    assert (await failure(strict, f"{hub.url}/x")).reason == UnavailableReason.UNREACHABLE
    trusting = await client_for(
        settings_for(hub, plain_http_hosts=frozenset(), ca_file=tmp_path / "tls.crt")
    )
    assert (await get(trusting, f"{hub.url}/x")).body == b"hello"


async def test_a_proxy_gets_the_requests_but_for_excepted_hosts(
    hub: Hub, stack: AsyncExitStack, client_for: Any
) -> None:
    proxy = await stack.enter_async_context(Hub(misbehave=redirect("")))
    settings = GatherSettings(
        plain_http_hosts=frozenset({"hub.test", "direct.test", f"127.0.0.1:{hub.port}"}),
        internal_hosts=frozenset({f"127.0.0.1:{hub.port}"}),
        proxy=f"http://127.0.0.1:{proxy.port}",
    )

    async def names(host: str, port: int) -> list[str]:
        if host == "rebound.test":
            return ["10.0.0.1"]
        raise OSError("behind a proxy no name resolves")

    client = await client_for(settings, names)
    assert (await get(client, "http://hub.test/x")).body == b"hello"
    assert proxy.seen[0].headers["Host"] == "hub.test"
    hub.misbehave = redirect("")
    await get(client, f"{hub.url}/x")
    assert len(proxy.seen) == 1
    error = await failure(client, "https://rebound.test/x")
    assert error.reason == UnavailableReason.FORBIDDEN_ADDRESS
    error = await failure(client, "https://169.254.169.254/x")
    assert error.reason == UnavailableReason.FORBIDDEN_ADDRESS


async def test_proxies_of_the_environment_are_ignored(
    hub: Hub, client_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://evil.test:1")
    hub.misbehave = redirect("")
    client = await client_for(settings_for(hub))
    assert (await get(client, f"{hub.url}/x")).body == b"hello"
