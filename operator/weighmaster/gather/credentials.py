"""Credentials for hubs and registries: each for one host, and never shown."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from yarl import URL

from weighmaster.errors import SettingsError

DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""Names of one registry."""

MAX_SECRET = 65_536
"""Bytes of all entries of a Secret."""


class Credential(Struct, frozen=True):
    """What opens one host (``host`` or ``host:port``), or one path of it.

    Without ``username``, ``secret`` is a bearer token. ``identity`` marks a token that is exchanged
    at the registry's token server (OAuth 2 refresh token).
    """

    host: str
    secret: str
    username: str = ""
    path: str = ""
    identity: bool = False

    def __repr__(self) -> str:
        """Without anything secret: it may end up in a traceback or a log."""
        return f"Credential(host={self.host!r})"

    __str__ = __repr__

    @property
    def header(self) -> str:
        """The value of an Authorization header (RFC 6750, RFC 7617)."""
        if not self.username:
            return f"Bearer {self.secret}"
        pair = f"{self.username}:{self.secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class Credentials(Struct, frozen=True):
    """All credentials that may be used for one reference."""

    entries: tuple[Credential, ...] = ()

    def __repr__(self) -> str:
        return f"Credentials({len(self.entries)})"

    def for_url(self, url: URL) -> Credential | None:
        """What to send to a hub at this URL."""
        return self.for_registry(authority_of(url), "")

    def for_registry(self, name: str, repository: str) -> Credential | None:
        """What to use for a repository of a registry: the entry with the longest matching path."""
        names = DOCKER_HUB if name in DOCKER_HUB else frozenset({name.removesuffix(":443")})
        found = [
            entry
            for entry in self.entries
            if entry.host.removesuffix(":443") in names and _below(repository, entry.path)
        ]
        return max(found, key=lambda entry: len(entry.path), default=None)

    @property
    def fingerprint(self) -> bytes:
        """Tells two sets of credentials apart, for caches; the secrets are not in it."""
        encoded = msgspec.json.encode(self.entries)
        return hashlib.sha256(b"weighmaster credentials" + encoded).digest()


NONE = Credentials()


def token(host: str, secret: str) -> Credentials:
    """A bearer token for one host."""
    return Credentials((Credential(host, secret),))


SECRET_TYPES = frozenset({
    "Opaque", "kubernetes.io/basic-auth", "kubernetes.io/dockerconfigjson",
})  # fmt: skip
"""Types of Secrets that may hold credentials: no service account's token, no TLS key."""

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")


def from_secret(
    entries: Mapping[str, bytes], kind: str, endpoints: Mapping[str, str]
) -> Credentials:
    """Credentials from the entries of a Kubernetes Secret of a type (``kind``).

    ``.dockerconfigjson`` (or ``config.json``) holds those of registries. ``HF_TOKEN`` and
    ``NGC_API_KEY`` are for the hubs of these names, ``token`` and ``username`` with ``password``
    for the host that ``host`` names; a ``token`` without one is for Hugging Face. ``endpoints``
    has the hosts of ``hf`` and ``ngc``. Whoever names a Secret in a ModelRecord can so not choose
    who is given what is in it. Raises SettingsError when it cannot be used.
    """
    if kind not in SECRET_TYPES:
        raise SettingsError(f"it is of type {kind[:64]}, not {', '.join(sorted(SECRET_TYPES))}")
    if sum(map(len, entries.values())) > MAX_SECRET:
        raise SettingsError(f"it is larger than {MAX_SECRET} bytes")
    for name in (".dockerconfigjson", "config.json"):
        if name in entries:
            return from_docker_config(entries[name])
    texts = {name: value.decode("utf-8", "replace").strip() for name, value in entries.items()}
    where = texts.get("host", "").lower()
    if where and _HOST.fullmatch(where) is None:
        raise SettingsError("its entry host is not HOST or HOST:PORT")
    found = []
    for name, host in (("HF_TOKEN", endpoints["hf"]), ("NGC_API_KEY", endpoints["ngc"])):
        if texts.get(name):
            found.append(Credential(host, _printable(texts[name])))
    if texts.get("token"):
        found.append(Credential(where or endpoints["hf"], _printable(texts["token"])))
    elif texts.get("username") and texts.get("password"):
        if not where:
            raise SettingsError("it has no entry host that says whom user and password are for")
        secret, user = _printable(texts["password"]), _printable(texts["username"])
        found.append(Credential(where, secret, user))
    if not found:
        raise SettingsError(
            "it has none of .dockerconfigjson, HF_TOKEN, NGC_API_KEY, token, or username and"
            " password with host"
        )
    return Credentials(tuple(found))


def from_docker_config(content: bytes) -> Credentials:
    """Credentials from a docker configuration file (``auths``; no helpers are run).

    Raises SettingsError when it is not one.
    """
    try:
        auths = msgspec.json.decode(content)["auths"]
        found = [_docker_entry(str(key), entry) for key, entry in auths.items()]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise SettingsError("its docker configuration cannot be read") from None
    return Credentials(tuple(entry for entry in found if entry is not None))


def _docker_entry(key: str, entry: dict[str, Any]) -> Credential | None:
    host, _, path = key.removeprefix("https://").removeprefix("http://").partition("/")
    path = "" if path.strip("/") in ("v1", "v2") else path.strip("/")
    host = host.lower()
    if entry.get("identitytoken"):
        return Credential(host, _printable(str(entry["identitytoken"])), "", path, identity=True)
    if entry.get("registrytoken"):
        return Credential(host, _printable(str(entry["registrytoken"])), "", path)
    if entry.get("username") and entry.get("password"):
        user, secret = str(entry["username"]), str(entry["password"])
        return Credential(host, _printable(secret), _printable(user), path)
    if not entry.get("auth"):
        return None
    try:
        pair = base64.b64decode(str(entry["auth"]), validate=True).decode().rstrip("\x00")
    except (binascii.Error, UnicodeDecodeError):
        raise SettingsError("an auth of its docker configuration is wrong") from None
    user, _, secret = pair.partition(":")
    return Credential(host, _printable(secret), _printable(user), path)


def _printable(text: str) -> str:
    """A secret that is fit for a header; a line break in one would add headers."""
    if not text.isprintable():
        raise SettingsError("an entry holds a line break or control character")
    return text


def authority_of(url: URL) -> str:
    """The host of a URL, with its port unless that is the scheme's own."""
    host = (url.host or "").lower()
    return host if url.is_default_port() else f"{host}:{url.port}"


def _below(repository: str, path: str) -> bool:
    return not path or repository == path or repository.startswith(f"{path}/")
