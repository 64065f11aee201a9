"""The client sends what the API server expects, and reads its answers with care."""

import pytest
from aiohttp import web

from tests.unit.cluster.api_server import ApiServer, lines, status
from weighmaster.cluster import client as client_module
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.connection import Connection
from weighmaster.errors import ClusterError, ResourceExpiredError

pytestmark = pytest.mark.network


async def test_token_is_sent_and_read_again_when_it_is_old(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["first", "second"])
    async with ApiClient(lambda: Connection(api.url, None, next(tokens))) as client:
        await client.list("/things")
        await client.list("/things")
        monkeypatch.setattr(client_module, "TOKEN_LIFETIME", -1.0)
        await client.list("/things")
    sent = [request.headers["Authorization"] for request in api.requests]
    assert sent == ["Bearer first", "Bearer first", "Bearer second"]


async def test_login_without_a_token_happens_once(api: ApiServer) -> None:
    logins = []

    def login() -> Connection:
        logins.append(1)
        return Connection(api.url, None, None)

    async with ApiClient(login) as client:
        await client.list("/things")
        await client.list("/things")
    assert len(logins) == 1
    assert "Authorization" not in api.requests[0].headers


async def test_metadata_is_asked_for_alone(api: ApiServer, client: ApiClient) -> None:
    await client.list("/things", metadata_only=True)
    assert "PartialObjectMetadataList" in api.requests[0].headers["Accept"]


async def test_status_is_merged_at_the_subresource(api: ApiServer, client: ApiClient) -> None:
    await client.patch_status("/things/a", {"conditions": []})
    assert api.patches == [("/things/a/status", {"status": {"conditions": []}})]


async def test_trying_to_create_is_a_dry_run_and_tells_what_the_server_says(
    api: ApiServer, client: ApiClient
) -> None:
    assert await client.try_create("/things", {"a": 1}) == (201, {"a": 1})
    assert api.requests[0].query == {"dryRun": "All"}
    api.post_faults.append(status(403))
    refused = (403, {"code": 403, "message": "hf_secret"})
    assert await client.try_create("/things", {}) == refused
    api.post_faults.append(lines("no JSON"))
    with pytest.raises(ClusterError, match=r"^POST /things failed"):
        await client.try_create("/things", {})


async def test_error_tells_the_request_and_nothing_the_server_said(
    api: ApiServer, client: ApiClient
) -> None:
    api.list_faults.append(status(403))
    with pytest.raises(ClusterError, match=r"^GET /things gave 403$") as caught:
        await client.list("/things")
    assert caught.value.status == 403


async def test_expired_version_is_an_error_of_its_own(api: ApiServer, client: ApiClient) -> None:
    api.list_faults.append(status(410))
    with pytest.raises(ResourceExpiredError):
        await client.list("/things")


async def test_redirect_is_not_followed_with_the_token(api: ApiServer, client: ApiClient) -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{api.url}/evil"})

    api.list_faults.append(elsewhere)
    with pytest.raises(ClusterError):
        await client.list("/things")
    assert len(api.requests) == 1


async def test_answer_that_is_no_json_is_an_error(api: ApiServer, client: ApiClient) -> None:
    api.list_faults.append(lines("hf_secret"))
    with pytest.raises(ClusterError) as caught:
        await client.list("/things")
    assert "hf_secret" not in str(caught.value)


async def test_server_that_is_not_there_is_an_error() -> None:
    async with ApiClient(lambda: Connection("http://127.0.0.1:1", None, None)) as client:
        with pytest.raises(ClusterError) as caught:
            await client.list("/things")
    assert caught.value.status == 0


async def test_client_that_is_not_open_is_an_error() -> None:
    client = ApiClient(lambda: Connection("http://127.0.0.1:1", None, None))
    with pytest.raises(ClusterError, match="not open"):
        await client.list("/things")
