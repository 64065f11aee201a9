"""Credentials: from secrets, for one host each, and never shown."""

import base64
import json
from typing import Any

import msgspec
import pytest
from yarl import URL

from weighmaster.core.evaluate.records import read_reference
from weighmaster.errors import SettingsError
from weighmaster.gather.audience import Audience, audience_of
from weighmaster.gather.credentials import (
    Credential,
    Credentials,
    from_docker_config,
    from_secret,
    token,
)
from weighmaster.gather.settings import GatherSettings

HUB = URL("https://huggingface.co/api")


def secret(kind: str = "Opaque", **entries: Any) -> Credentials:
    return from_secret(entries, kind, {"hf": "huggingface.co", "ngc": "api.ngc.nvidia.com"})


@pytest.mark.parametrize("name", ["token", "HF_TOKEN"])
def test_a_token_is_for_its_host_only(name: str) -> None:
    credentials = secret("Opaque", **{name: b"hf_secret\n"})
    found = credentials.for_url(HUB)
    assert found is not None
    assert found.header == "Bearer hf_secret"
    for other in ("https://evil.co", "https://huggingface.co.evil.co", "https://huggingface.co:8"):
        assert credentials.for_url(URL(other)) is None


def test_the_secret_may_name_its_host() -> None:
    credentials = secret(token=b"t", host=b"Hub.internal:8443")
    assert credentials.for_url(URL("https://hub.internal:8443/x")) is not None
    assert credentials.for_url(HUB) is None


def test_user_and_password_make_a_basic_header() -> None:
    given = secret("kubernetes.io/basic-auth", username=b"u", password=b"p", host=b"r.io")
    found = given.for_registry("r.io", "a/b")
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


def test_each_of_several_tokens_is_for_its_own_host() -> None:
    credentials = secret(HF_TOKEN=b"a", NGC_API_KEY=b"b", token=b"c", host=b"hub.internal")
    found = {
        host: entry.secret
        for host in ("huggingface.co", "api.ngc.nvidia.com", "hub.internal")
        if (entry := credentials.for_registry(host, "")) is not None
    }
    assert found == {"huggingface.co": "a", "api.ngc.nvidia.com": "b", "hub.internal": "c"}


def test_a_docker_configuration_may_be_in_a_secret_of_either_type() -> None:
    content = json.dumps({"auths": {"r.io": {"username": "u", "password": "p"}}}).encode()
    for kind, name in (
        ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
        ("Opaque", "config.json"),
    ):
        assert secret(kind, **{name: content}).for_registry("r.io", "a") is not None


@pytest.mark.parametrize(
    ("kind", "entries", "problem"),
    [
        ("Opaque", {}, "has none of"),
        ("Opaque", {"other": b"x"}, "has none of"),
        ("Opaque", {"token": b" \n"}, "has none of"),
        ("Opaque", {"username": b"u", "password": b"p"}, "no entry host"),
        ("Opaque", {"username": b"u", "host": b"r.io"}, "has none of"),
        ("Opaque", {"token": b"a\r\nX-Evil: 1"}, "line break"),
        ("Opaque", {"token": b"t", "host": b"https://r.io/"}, "not HOST"),
        ("Opaque", {"token": b"t", "host": b"r.io@evil.io"}, "not HOST"),
        ("Opaque", {"token": b"x" * 70_000}, "larger than"),
        ("kubernetes.io/service-account-token", {"token": b"t"}, "of type"),
        ("kubernetes.io/tls", {"token": b"t"}, "of type"),
        ("", {"token": b"t"}, "of type"),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": b"{"}, "docker configuration"),
    ],
)
def test_a_secret_that_cannot_be_used_is_said_so_without_what_is_in_it(
    kind: str, entries: dict[str, bytes], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem) as raised:
        secret(kind, **entries)
    assert "x-evil" not in str(raised.value).lower()
    assert "evil.io" not in str(raised.value)


# Whom credentials are for.


@pytest.mark.parametrize(
    ("reference", "audience"),
    [
        ("hf://acme/m", Audience("hub.internal:8443")),
        ("ngc://nvidia/m:1", Audience("api.ngc.nvidia.com")),
        ("modelscope://acme/m", Audience("modelscope.cn")),
        ("oci://ghcr.io:443/acme/m:1", Audience("ghcr.io", "acme/m")),
        ("oci://acme/m", Audience("registry-1.docker.io", "acme/m")),
        ("image-embedded:r.io:5000/a/b:1", Audience("r.io:5000", "a/b")),
        ("ollama://llama3:8b", Audience("registry.ollama.ai", "library/llama3")),
        ("ollama://evil.example/a/b", Audience("evil.example", "a/b")),
        ("s3://bucket/m", None),
        ("nim:nvcr.io/nim/m:1", None),
        ("oci://r.io/UPPER", None),
    ],
)
def test_credentials_are_for_whoever_is_asked(reference: str, audience: Audience | None) -> None:
    settings = GatherSettings(endpoints={"hf": "https://hub.internal:8443"})
    assert audience_of(read_reference(reference), settings) == audience


def test_who_is_asked_is_said_as_people_know_it() -> None:
    assert str(Audience("registry-1.docker.io", "acme/m")) == "docker.io"
    assert str(Audience("ghcr.io", "acme/m")) == "ghcr.io"


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
