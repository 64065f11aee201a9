"""The HTTP client: where it goes, and what it takes along."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from tests.hub.server import Hub
from tests.unit.gather.conftest import FakeTime, settings_for
from tests.unit.gather.requesting import SECRET, failure, get, redirect
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.client import HttpClient
from weighmaster.gather.credentials import Credential
from weighmaster.gather.settings import GatherSettings


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
