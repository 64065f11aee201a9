"""One repository of an OCI registry (OCI distribution-spec 1.1), read only.

Whatever is named by a digest is hashed here and compared; a registry's word for it counts nothing.
"""

import hashlib
import re
from typing import Any

from msgspec import Struct, structs
from yarl import URL

from weighmaster.core.content.artifacts import DIGEST, INDEX_TYPES, MANIFEST_TYPES, Descriptor
from weighmaster.core.evidence import UnavailableReason
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather.answers import decode_object, hostile, succeeded, text_of
from weighmaster.gather.client import Answer, HttpClient, Request
from weighmaster.gather.credentials import DOCKER_HUB, Credential, Credentials
from weighmaster.gather.remote import RemoteFile
from weighmaster.gather.settings import MIB, GatherSettings
from weighmaster.gather.urls import absolute

MAX_MANIFEST = 4 * MIB
"""Bytes; the distribution-spec asks registries for as much, and most allow no more."""

_ACCEPT = ", ".join(sorted(MANIFEST_TYPES | INDEX_TYPES))
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?\Z|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?\Z")
_CHALLENGE = re.compile(r'([A-Za-z]+)\s*=\s*"([^"]*)"')


class Place(Struct, frozen=True):
    """Where an artifact is: registry, repository, and the digest or tag asked for."""

    registry: str
    repository: str
    reference: str

    @property
    def digest(self) -> str | None:
        """The digest, when that is what was asked for."""
        return self.reference if DIGEST.match(self.reference) else None


def place_of(reference: ModelReference) -> Place:
    """Where a reference leads, with the defaults that Docker has: its hub, ``latest``.

    A tag beside a digest counts nothing, as for every container runtime. Raises GatherError for
    names that no registry can have.
    """
    whole = reference.canonical.partition("#")[0] if reference.file else reference.canonical
    name = re.sub(r"\A[a-z-]+:(//)?", "", whole)
    name, _, digest = name.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    registry, slash, repository = head.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, repository = "docker.io", head
    registry = registry.lower().removesuffix(":443")
    if registry in DOCKER_HUB:
        registry = "registry-1.docker.io"
        repository = repository if "/" in repository else f"library/{repository}"
    place = Place(registry, repository, digest or tag or "latest")
    parts = repository.split("/")
    valid = len(repository) <= 255 and all(_NAME.match(part) for part in parts)
    known = DIGEST.match(place.reference) or (_TAG.match(place.reference) and not digest)
    if not (valid and known and _HOST.match(registry)):
        raise GatherError(
            UnavailableReason.NOT_FOUND, f"{reference.canonical[:256]} is no name of an artifact"
        )
    return place


class Manifest(Struct, frozen=True):
    """A manifest or index: the digest of its bytes, its media type, its content decoded."""

    digest: str
    media_type: str
    content: dict[str, Any]
    validator: str | None = None

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests rather than layers."""
        return self.media_type in INDEX_TYPES


class Registry:
    """Access to one repository."""

    def __init__(
        self,
        client: HttpClient,
        place: Place,
        credentials: Credentials,
        *,
        base: URL | None = None,
    ) -> None:
        self._client = client
        self._place = place
        self._base = base or client.settings.registry(place.registry)
        self._given = credentials.for_registry(place.registry, place.repository)
        self._current = self._given if self._given and not self._given.username else None
        if self._given is not None and self._given.identity:
            self._current = None

    @property
    def settings(self) -> GatherSettings:
        """The client's settings."""
        return self._client.settings

    async def get(self, request: Request) -> Answer:
        """The answer to a request within this registry, after logging in where it asks for that."""
        request = structs.replace(request, credential=self._for(request.url))
        answer = await self._client.get(request)
        # A 401 of the storage that a blob was redirected to is not the registry's to answer for:
        # it could name a token server of its own, and be given the registry's credentials.
        if answer.status != 401 or answer.url.origin() != self._base.origin():
            return answer
        self._current = await self._log_in(answer.headers.get("WWW-Authenticate", ""))
        if self._current is None:
            return answer
        return await self._client.get(structs.replace(request, credential=self._current))

    async def manifest(self, reference: str, validator: str | None = None) -> Manifest | None:
        """A manifest by tag or digest; None when it is still what ``validator`` names.

        Raises GatherError: hostile when its bytes do not have the digest asked for.
        """
        what = f"{self._place.repository}@{reference}"[:256]
        answer = await self.get(
            Request(
                url=self._url("manifests", reference),
                limit=MAX_MANIFEST,
                accept=_ACCEPT,
                validator=validator,
            )
        )
        succeeded(answer, what)
        if answer.status == 304:
            return None
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        stated = answer.headers.get("Docker-Content-Digest", digest)
        if reference.startswith("sha256:") and digest != reference:
            raise hostile(answer.url, f"serves other bytes for {what}")
        if stated.startswith("sha256:") and stated != digest:
            raise hostile(answer.url, f"states another digest for {what} than its bytes have")
        content = decode_object(answer, what)
        etag = answer.headers.get("ETag", "")
        return Manifest(
            digest,
            _media_type(answer, content, what),
            content,
            etag if 0 < len(etag) <= 256 and etag.isprintable() else None,
        )

    async def find(self, reference: str) -> Manifest | None:
        """A manifest by tag, None when there is none. Raises GatherError for other failures."""
        try:
            return await self.manifest(reference)
        except GatherError as error:
            if error.reason == UnavailableReason.NOT_FOUND:
                return None
            raise

    async def blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """A blob, compared with its digest. Raises GatherError."""
        if descriptor.size > limit:
            raise GatherError(
                UnavailableReason.TOO_LARGE, f"{descriptor.digest} is over {limit} bytes"
            )
        answer = await self.get(
            Request(url=self._url("blobs", descriptor.digest), limit=descriptor.size)
        )
        succeeded(answer, descriptor.digest)
        if f"sha256:{hashlib.sha256(answer.body).hexdigest()}" != descriptor.digest:
            raise hostile(answer.url, f"serves other bytes for {descriptor.digest}")
        return answer.body

    def open(self, descriptor: Descriptor) -> RemoteFile:
        """A blob to read at offsets; nothing vouches for a part of it."""
        return RemoteFile(self, self._url("blobs", descriptor.digest), descriptor.size)

    async def referrers(self, digest: str) -> Answer:
        """The answer of the referrers API; status 404 where the registry has none."""
        return await self.get(
            Request(url=self._url("referrers", digest), limit=MAX_MANIFEST, accept=_ACCEPT)
        )

    def _url(self, kind: str, reference: str) -> URL:
        return self._base.with_path(f"/v2/{self._place.repository}/{kind}/{reference}")

    def _for(self, url: URL) -> Credential | None:
        return self._current if url.origin() == self._base.origin() else None

    async def _log_in(self, challenge: str) -> Credential | None:
        """What to send after a 401; None when there is nothing more to try.

        The scope is ours, not the registry's: reading this repository.
        """
        scheme = challenge[:8192].strip().partition(" ")[0].lower()
        given = self._given
        if scheme == "basic":
            return given if given and given.username and self._current is None else None
        if scheme != "bearer":
            return None
        values = {key.lower(): value for key, value in _CHALLENGE.findall(challenge[:8192])}
        realm = absolute(values.get("realm"))
        if realm is None or realm.scheme not in ("https", "http"):
            raise hostile(self._base, "names no token server")
        if self.settings.is_internal(realm) and not self.settings.is_internal(self._base):
            raise hostile(self._base, "names an internal host as its token server")
        return await self._token(realm, values.get("service"), given)

    async def _token(self, realm: URL, service: str | None, given: Credential | None) -> Credential:
        """A token by the Docker token protocol, or OAuth 2 for an identity token."""
        scope = f"repository:{self._place.repository}:pull"
        asked = {"scope": scope, **({"service": service} if service else {})}
        form = None
        if given is not None and given.identity:
            form = {
                **asked,
                "grant_type": "refresh_token",
                "client_id": "weighmaster",
                "refresh_token": given.secret,
            }
        request = Request(
            url=realm if form else realm.extend_query(asked),
            limit=MIB,
            accept="application/json",
            credential=given if given is not None and given.username and form is None else None,
            form=form,
        )
        answer = succeeded(await self._client.get(request), f"a token for {scope}")
        found = decode_object(answer, "a token")
        token = text_of(found, "token", 65536) or text_of(found, "access_token", 65536)
        if token is None or not token.isprintable() or not token.isascii():
            raise hostile(realm, "gives no token")
        return Credential(self._place.registry, token)


def _media_type(answer: Answer, content: dict[str, Any], what: str) -> str:
    """The media type, which body and header must agree on (image-spec, CVE-2021-41190)."""
    header = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    inside = text_of(content, "mediaType")
    known = MANIFEST_TYPES | INDEX_TYPES
    if "layers" in content and "manifests" in content:
        raise hostile(answer.url, f"serves {what} as both an index and a manifest")
    if inside and header in known and inside != header:
        raise hostile(answer.url, f"gives {what} two media types")
    media_type = inside or (header if header in known else None)
    if media_type is None:
        media_type = max(INDEX_TYPES if "manifests" in content else MANIFEST_TYPES)
    if media_type not in known or (media_type in INDEX_TYPES) != ("manifests" in content):
        raise hostile(answer.url, f"serves {what} as something else than a manifest")
    return media_type
