"""The HTTP client: redirects, addresses, credentials, sizes, times, retries."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from tests.certificates import write_certificate
from tests.hub.server import Hub
from tests.unit.gather.conftest import FakeTime, lookup, settings_for
from weighmaster.core.content.reading import Span
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.addresses import Lookup
from weighmaster.gather.client import Answer, HttpClient, Request
from weighmaster.gather.credentials import Credential
from weighmaster.gather.settings import GatherSettings, Timeouts

SECRET = Credential("hub.test", "hunter2")


@pytest.fixture
def client_for(stack: AsyncExitStack, time: FakeTime) -> Any:
    async def start(settings: GatherSettings, names: Lookup = lookup) -> HttpClient:
        client = HttpClient(settings, clock=time.clock, lookup=names, jitter=lambda: 1.0)
        return await stack.enter_async_context(client)

    return start


def redirect(location: str, status: int = 302) -> Any:
    """A misbehaviour: ``/go`` redirects there, anything else says hello."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/go":
            return web.Response(status=status, headers={"Location": location})
        return web.Response(text="hello")

    return answer


async def get(client: HttpClient, url: str, **changes: Any) -> Answer:
    return await client.get(Request(**{"url": URL(url), "limit": 1000, **changes}))


async def failure(client: HttpClient, url: str, **changes: Any) -> GatherError:
    with pytest.raises(GatherError) as caught:
        await get(client, url, **changes)
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_host_keeps_credentials(
    hub: Hub, client_for: Any, status: int
) -> None:
    hub.misbehave = redirect("/there", status)
    client = await client_for(settings_for(hub))
    answer = await get(client, f"http://hub.test:{hub.port}/go", credential=SECRET)
    assert answer.body == b"hello"
    assert [seen.headers.get("Authorization") for seen in hub.seen] == ["Bearer hunter2"] * 2


async def test_credentials_never_follow_to_another_host(hub: Hub, client_for: Any) -> None:
    hub.misbehave = redirect(f"http://cdn.test:{hub.port}/there")
    client = await client_for(settings_for(hub))
    await get(client, f"http://hub.test:{hub.port}/go", credential=SECRET)
    assert [seen.headers.get("Authorization") for seen in hub.seen] == ["Bearer hunter2", None]


async def test_credentials_never_follow_to_another_port(
    hub: Hub, stack: AsyncExitStack, client_for: Any
) -> None:
    other = await stack.enter_async_context(Hub(misbehave=redirect("")))
    hub.misbehave = redirect(f"http://hub.test:{other.port}/there")
    client = await client_for(settings_for(hub, other))
    await get(client, f"http://hub.test:{hub.port}/go", credential=SECRET)
    assert other.seen[0].headers.get("Authorization") is None


async def test_credentials_do_not_come_back_after_a_detour(hub: Hub, client_for: Any) -> None:
    async def detour(request: web.Request) -> web.StreamResponse:
        host = "cdn.test" if request.host.startswith("hub.test") else "hub.test"
        if request.path == "/b2":
            return web.Response(text="hello")
        path = "/b2" if request.path == "/b1" else "/b1"
        return web.Response(status=302, headers={"Location": f"http://{host}:{hub.port}{path}"})

    hub.misbehave = detour
    client = await client_for(settings_for(hub))
    await get(client, f"http://hub.test:{hub.port}/a", credential=SECRET)
    assert [seen.headers.get("Authorization") for seen in hub.seen] == [
        "Bearer hunter2", None, None,
    ]  # fmt: skip


async def test_no_more_than_five_redirects_are_followed(hub: Hub, client_for: Any) -> None:
    hub.misbehave = redirect("/go")
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/go")
    assert error.reason == UnavailableReason.HOSTILE_ANSWER
    assert len(hub.seen) == 6


@pytest.mark.parametrize(
    "location",
    [
        "http://plain.example/x", "ftp://hub.test/x", "file:///etc/passwd", "javascript:1",
        "https://user:pw@hub.test/x", "https://", "http://[::1", "",
    ],
)  # fmt: skip
async def test_a_redirect_to_anything_but_https_is_refused(
    hub: Hub, client_for: Any, location: str
) -> None:
    hub.misbehave = redirect(location)
    client = await client_for(settings_for(hub, attempts=1, redirects=1))
    error = await failure(client, f"{hub.url}/go")
    assert error.reason == UnavailableReason.HOSTILE_ANSWER


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x", "https://[::1]/x", "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/x", "https://2130706433/x", "https://10.0.0.1:6443/api",
        "https://metadata.test/computeMetadata", "https://0x7f.1/",
    ],
)  # fmt: skip
async def test_no_private_address_is_connected_to(client_for: Any, url: str) -> None:
    async def names(host: str, port: int) -> list[str]:
        return ["169.254.169.254" if host == "metadata.test" else "127.0.0.1"]

    client = await client_for(GatherSettings(), names)
    error = await failure(client, url)
    assert error.reason == UnavailableReason.FORBIDDEN_ADDRESS


async def test_a_redirect_to_a_private_address_is_refused(hub: Hub, client_for: Any) -> None:
    hub.misbehave = redirect("https://169.254.169.254/latest/meta-data/")
    client = await client_for(settings_for(hub))
    error = await failure(client, f"{hub.url}/go")
    assert error.reason == UnavailableReason.FORBIDDEN_ADDRESS


async def test_a_name_that_turns_private_between_two_requests_is_refused(
    hub: Hub, stack: AsyncExitStack, time: FakeTime
) -> None:
    """DNS rebinding: the address is checked each time it is looked up, and used as checked."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def names(host: str, port: int) -> list[str]:
        return answers.pop(0)

    hub.misbehave = redirect(f"https://rebound.test:{hub.port}/there")
    settings = settings_for(hub, attempts=1)
    client = await stack.enter_async_context(HttpClient(settings, clock=time.clock, lookup=names))
    error = await failure(client, f"http://hub.test:{hub.port}/go")
    assert error.reason == UnavailableReason.FORBIDDEN_ADDRESS
    assert not answers


async def test_a_public_host_cannot_send_us_to_an_internal_one(
    hub: Hub, stack: AsyncExitStack, client_for: Any
) -> None:
    inner = await stack.enter_async_context(Hub(misbehave=redirect("")))
    hub.misbehave = redirect(f"http://inner.test:{inner.port}/secrets")
    settings = settings_for(
        plain_http_hosts=frozenset({f"hub.test:{hub.port}", f"inner.test:{inner.port}"}),
        internal_hosts=frozenset({f"inner.test:{inner.port}"}),
    )
    client = await client_for(settings)
    # Its address cannot be loopback and public at once: the check of the URL comes first anyway.
    with pytest.raises(GatherError, match="from outside to an internal host"):
        await client._check(
            URL(f"http://inner.test:{inner.port}/x"), URL(f"http://hub.test:{hub.port}/")
        )
    assert not inner.seen


async def test_plain_http_is_refused_where_it_is_not_configured(client_for: Any) -> None:
    client = await client_for(GatherSettings())
    error = await failure(client, "http://hub.example/x")
    assert error.reason == UnavailableReason.HOSTILE_ANSWER


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


async def test_no_message_and_no_log_holds_a_token(
    hub: Hub, client_for: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="hunter2")

    hub.misbehave = broken
    client = await client_for(settings_for(hub))
    error = await failure(
        client, f"{hub.url}/x?signature=s3cret", credential=Credential(hub.address, "hunter2")
    )
    printed = capsys.readouterr()
    for text in (str(error), repr(error), printed.out, printed.err):
        assert "hunter2" not in text
        assert "s3cret" not in text
