"""Credentials: from secrets, for one host each, and never shown."""

import base64
import json

import msgspec
import pytest
from yarl import URL

from weighmaster.errors import SettingsError
from weighmaster.gather.credentials import (
    Credential,
    Credentials,
    from_docker_config,
    from_secret,
    token,
)
from weighmaster.gather.settings import GatherSettings

HUB = URL("https://huggingface.co/api")


def test_a_token_is_for_its_host_only() -> None:
    credentials = from_secret({"token": b"hf_secret\n"}, "huggingface.co")
    found = credentials.for_url(HUB)
    assert found is not None
    assert found.header == "Bearer hf_secret"
    for other in ("https://evil.co", "https://huggingface.co.evil.co", "https://huggingface.co:8"):
        assert credentials.for_url(URL(other)) is None


def test_the_secret_may_name_its_host() -> None:
    credentials = from_secret({"token": b"t", "host": b"hub.internal:8443"}, "huggingface.co")
    assert credentials.for_url(URL("https://hub.internal:8443/x")) is not None
    assert credentials.for_url(HUB) is None


def test_user_and_password_make_a_basic_header() -> None:
    found = from_secret({"username": b"u", "password": b"p"}, "r.io").for_registry("r.io", "a/b")
    assert found is not None
    assert found.header == "Basic " + base64.b64encode(b"u:p").decode()


def docker(**auths: dict[str, str]) -> Credentials:
    return from_docker_config(json.dumps({"auths": auths}).encode())


def test_a_docker_configuration_gives_credentials_by_registry() -> None:
    pair = base64.b64encode(b"user:pass:word").decode()
    credentials = docker(**{
        "https://index.docker.io/v1/": {"auth": pair},
        "ghcr.io": {"username": "a", "password": "b"},
        "registry.internal:5000": {"registrytoken": "t"},
        "azure.io": {"auth": pair, "identitytoken": "refresh"},
        "empty.io": {},
    })  # fmt: skip
    hub = credentials.for_registry("docker.io", "library/x")
    assert hub is not None
    assert (hub.username, hub.secret) == ("user", "pass:word")
    assert credentials.for_registry("registry-1.docker.io", "library/x") == hub
    bearer = credentials.for_registry("registry.internal:5000", "x")
    assert bearer is not None
    assert bearer.header == "Bearer t"
    identity = credentials.for_registry("azure.io", "x")
    assert identity is not None
    assert identity.identity
    assert credentials.for_registry("empty.io", "x") is None
    assert credentials.for_registry("ghcr.io.evil", "x") is None


def test_the_entry_of_the_longest_path_wins_and_paths_end_at_a_slash() -> None:
    credentials = docker(**{
        "r.io": {"username": "all", "password": "p"},
        "r.io/team": {"username": "team", "password": "p"},
    })  # fmt: skip
    names = {
        repository: found.username
        for repository in ("team/model", "team-evil/model", "other")
        if (found := credentials.for_registry("r.io", repository)) is not None
    }
    assert names == {"team/model": "team", "team-evil/model": "all", "other": "all"}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"auths": []}', b'{"auths": {"a": 1}}', b'{"auths":{"a":{"auth":"%"}}}'],
)
def test_a_docker_configuration_that_cannot_be_read_is_said_so(content: bytes) -> None:
    with pytest.raises(SettingsError, match="docker configuration"):
        from_docker_config(content)


def test_an_empty_secret_is_said_so() -> None:
    with pytest.raises(SettingsError, match="neither a token nor"):
        from_secret({}, "r.io")


def test_a_secret_with_a_line_break_cannot_add_headers() -> None:
    with pytest.raises(SettingsError, match="line break"):
        from_secret({"token": b"a\r\nX-Evil: 1"}, "r.io")


def test_nothing_secret_is_shown() -> None:
    credential = Credential("r.io", "hunter2", "user")
    credentials = Credentials((credential,))
    for text in (repr(credential), str(credential), repr(credentials), str(credentials)):
        assert "hunter2" not in text
    assert b"hunter2" not in credentials.fingerprint
    assert "hunter2" not in repr(msgspec.structs.asdict(credentials))


def test_two_sets_of_credentials_have_two_fingerprints() -> None:
    assert token("a", "x").fingerprint != token("a", "y").fingerprint
    assert token("a", "x").fingerprint != token("b", "x").fingerprint
    assert token("a", "x").fingerprint == token("a", "x").fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"endpoints": {"hf": "http://hub.example"}}, "must be https"),
        ({"endpoints": {"hf": "https://user:pw@hub.example"}}, "without user"),
        ({"registries": {"r.io": "ftp://x"}}, "must be https"),
        ({"proxy": "socks5://x"}, "proxy"),
        ({"attempts": 0}, "attempts"),
        ({"redirects": 99}, "redirects"),
    ],
)
def test_a_setting_that_cannot_work_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        msgspec.convert(changes, GatherSettings)
