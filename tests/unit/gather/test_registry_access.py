"""Log-ins of registries, and where credentials do not go."""

from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from tests.hub.artifacts import modelpack
from tests.hub.fake_registry import FakeRegistry
from tests.unit.gather.conftest import Start
from tests.unit.gather.registries import FILES, gather, refused, settings_for, user_at
from weighmaster.core import references
from weighmaster.core.evidence import (
    Evidence,
    Unavailable,
    UnavailableReason,
)
from weighmaster.errors import GatherError
from weighmaster.gather.client import HttpClient
from weighmaster.gather.credentials import NONE, Credential, Credentials
from weighmaster.gather.registry import Place, Registry
from weighmaster.gather.settings import GatherSettings

BEARER = 'Bearer realm="{url}/token",service="registry",scope="repository:evil/other:pull,push"'


USER = Credentials((Credential("127.0.0.1:0", "hunter2", "user"),))


async def test_a_token_is_asked_for_with_our_scope_only(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge, fake.basic = BEARER, "user:hunter2"
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake, "acme/model:v1", user_at(fake))
    (asked,) = fake.requests("/token")
    assert asked.query == {"service": "registry", "scope": "repository:acme/model:pull"}
    assert asked.headers["Authorization"].startswith("Basic ")


async def test_a_public_repository_gets_a_token_without_credentials(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge = BEARER
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake)
    assert "Authorization" not in fake.requests("/token")[0].headers


async def test_basic_authentication_works_where_it_is_asked_for(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge, fake.basic = 'Basic realm="registry"', "user:hunter2"
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake, "acme/model:v1", user_at(fake))
    assert (await refused(gatherer_for, fake)).reason is UnavailableReason.UNAUTHORIZED


async def test_an_identity_token_is_exchanged_in_a_form(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge = BEARER
    modelpack(fake.contents(), FILES)
    identity = Credential(fake.address, "refresh", identity=True)
    await gather(gatherer_for, fake, "acme/model:v1", Credentials((identity,)))
    (asked,) = fake.requests("/token")
    assert asked.query["refresh_token"] == "refresh"
    assert asked.query["scope"] == "repository:acme/model:pull"
    assert not [seen for seen in fake.seen if "refresh" in seen.headers.get("Authorization", "")]


@pytest.mark.parametrize(
    "realm", ["http://plain.example/token", "ftp://x/token", "", "https://169.254.169.254/token",
              "https://user:pw@hub.test/token"],
)  # fmt: skip
async def test_a_token_server_must_be_https_at_a_public_address(
    fake: FakeRegistry, gatherer_for: Start, realm: str
) -> None:
    fake.challenge = f'Bearer realm="{realm}",service="x"'
    modelpack(fake.contents(), FILES)
    result = await refused(gatherer_for, fake, "acme/model:v1", user_at(fake))
    assert result.reason in (
        UnavailableReason.HOSTILE_ANSWER, UnavailableReason.FORBIDDEN_ADDRESS,
    )  # fmt: skip


async def test_an_identity_token_does_not_follow_a_redirect(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge = BEARER
    modelpack(fake.contents(), FILES)

    async def moved(request: web.Request) -> web.StreamResponse | None:
        if request.path != "/token":
            return None
        return web.Response(status=307, headers={"Location": f"http://evil.test:{fake.port}/steal"})

    fake.misbehave = moved
    identity = Credential(fake.address, "refresh", identity=True)
    result = await refused(gatherer_for, fake, "acme/model:v1", Credentials((identity,)))
    assert result.reason is UnavailableReason.HOSTILE_ANSWER
    assert not fake.requests("/steal")


async def test_a_public_registry_cannot_name_an_internal_host_as_its_token_server() -> None:
    settings = GatherSettings(internal_hosts=frozenset({"vault.internal"}))
    public = Registry(HttpClient(settings), Place("registry.example", "a/b", "v1"), NONE)
    with pytest.raises(GatherError, match="internal host as its token server"):
        await public._log_in('Bearer realm="https://vault.internal/token"')


async def test_a_wrong_password_is_unauthorized_and_not_shown(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge, fake.basic = BEARER, "user:right"
    modelpack(fake.contents(), FILES)
    result = await refused(gatherer_for, fake, "acme/model:v1", user_at(fake))
    assert result.reason is UnavailableReason.UNAUTHORIZED
    assert "hunter2" not in result.message


async def test_credentials_of_one_registry_are_not_used_at_another(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake, "acme/model:v1", USER)
    assert not [seen for seen in fake.seen if "Authorization" in seen.headers]


async def test_blobs_are_followed_to_storage_without_credentials(
    fake: FakeRegistry, stack: AsyncExitStack, gatherer_for: Start
) -> None:
    storage = await stack.enter_async_context(FakeRegistry())
    modelpack(fake.contents(), FILES)
    storage.repositories["acme/model"] = fake.contents()
    fake.challenge = BEARER

    async def elsewhere(request: web.Request) -> web.StreamResponse | None:
        if "/blobs/" not in request.path:
            return None
        return web.Response(
            status=307, headers={"Location": f"http://cdn.test:{storage.port}{request.path}"}
        )

    fake.misbehave = elsewhere
    gatherer = await gatherer_for(settings_for(fake.port, storage.port))
    found = await gatherer.resolve(references.parse(f"oci://{fake.address}/acme/model:v1"))
    assert isinstance(found, Evidence), found
    assert storage.seen
    assert not [seen for seen in storage.seen if "Authorization" in seen.headers]


async def test_storage_cannot_ask_for_the_registrys_credentials(
    fake: FakeRegistry, stack: AsyncExitStack, gatherer_for: Start
) -> None:
    storage = await stack.enter_async_context(FakeRegistry())
    storage.challenge = 'Bearer realm="{url}/token",service="x"'
    modelpack(fake.contents(), FILES)

    async def elsewhere(request: web.Request) -> web.StreamResponse | None:
        target = f"http://{storage.address}{request.path}"
        return (
            web.Response(status=307, headers={"Location": target}) if "/blobs/" in target else None
        )

    fake.misbehave = elsewhere
    gatherer = await gatherer_for(settings_for(fake.port, storage.port))
    reference = references.parse(f"oci://{fake.address}/acme/model:v1")
    result = await gatherer.resolve(reference, user_at(fake))
    assert isinstance(result, Unavailable)
    assert storage.seen
    assert not storage.requests("/token")
