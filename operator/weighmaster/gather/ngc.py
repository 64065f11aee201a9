"""NVIDIA NGC model versions, by the API of its own client (ngcsdk 4.37).

The listing gives every file's SHA-256, and a version that is signed has its bundle behind an
address of its own rather than among the files. Files themselves are not fetched: what is in them
is known by name only, and the gaps say so. A version has no immutable name, so the digest of its
content manifest stands in for one.
"""

import base64
import binascii
import re
from typing import Any

from msgspec import structs
from yarl import URL

from weighmaster.core.evidence import (
    Evidence,
    Gap,
    GapReason,
    SignatureBundle,
    SignatureKind,
    UnavailableReason,
    content_digest,
)
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather.answers import decode_object, hostile, succeeded, text_of
from weighmaster.gather.client import HttpClient, Request
from weighmaster.gather.credentials import Credential, Credentials
from weighmaster.gather.names import safe_name
from weighmaster.gather.remote import RemoteFile
from weighmaster.gather.survey import Entry, survey
from weighmaster.gather.urls import absolute

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
SIGNATURE_NAME = "result.sigstore"
"""What NVIDIA's client calls the bundle when it saves it."""


class Ngc:
    """Evidence from NGC."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._endpoint = client.settings.endpoint("ngc")

    async def gather(
        self,
        reference: ModelReference,
        credentials: Credentials,
        known: Evidence | None,  # noqa: ARG002 - nothing here says that a version is unchanged
    ) -> Evidence:
        """Evidence about ``ngc://org/[team/]name:version``. Raises GatherError."""
        base = self._version_url(reference)
        credential = credentials.for_url(self._endpoint)
        version = (await self._get(base, credential)).get("modelVersion")
        if not isinstance(version, dict):
            raise hostile(self._endpoint, "describes no version")
        entries, gaps = await self._list(base, credential)
        caps = structs.replace(self._client.settings.caps, fetched_files=0, probed_files=0)
        found = await survey(entries, _Closed(), caps)
        signatures: tuple[SignatureBundle, ...] = ()
        if version.get("isSigned") is True:
            signatures = (await self._signature(base, credential),)
        digest = None if gaps else content_digest(found.files)
        return Evidence(
            reference=reference.canonical,
            resolved=f"{reference.canonical}@{digest}" if digest else reference.canonical,
            files=found.files,
            signatures=signatures,
            card=found.card,
            content=found.content,
            gaps=(*gaps, *found.gaps),
            manifest_digest=digest,
        )

    def _version_url(self, reference: ModelReference) -> URL:
        path, _, version = reference.canonical.removeprefix("ngc://").rpartition(":")
        parts = path.split("/")
        if len(parts) not in (2, 3) or not all(_PART.match(part) for part in (*parts, version)):
            raise GatherError(
                UnavailableReason.NOT_FOUND,
                f"{reference.canonical[:256]} is not ngc://org/[team/]name:version",
            )
        team = f"team/{parts[1]}/" if len(parts) == 3 else ""
        where = f"v2/org/{parts[0]}/{team}models/{parts[-1]}/versions/{version}"
        return URL(f"{str(self._endpoint).rstrip('/')}/{where}")

    async def _list(
        self, base: URL, credential: Credential | None
    ) -> tuple[list[Entry], tuple[Gap, ...]]:
        caps = self._client.settings.caps
        entries: dict[str, Entry] = {}
        pages = 1
        for page in range(caps.listing_pages):
            if page >= pages:
                return list(entries.values()), ()
            query = {"page-size": "1000", "page-number": str(page)}
            found = await self._get((base / "files").with_query(query), credential)
            items = found.get("modelFiles")
            for item in items if isinstance(items, list) else []:
                entry = _entry(item, self._endpoint)
                if entry.name in entries:
                    raise hostile(self._endpoint, f"lists {entry.name[:256]!r} twice")
                entries[entry.name] = entry
            information = found.get("paginationInfo")
            total = information.get("totalPages") if isinstance(information, dict) else 1
            pages = total if type(total) is int else 1
        detail = f"only {len(entries)} files listed"
        return list(entries.values()), (Gap(GapReason.LISTING_INCOMPLETE, detail),)

    async def _signature(self, base: URL, credential: Credential | None) -> SignatureBundle:
        """The bundle, from the presigned address that the API hands out, without credentials."""
        where = text_of(await self._get(base / "signature", credential), "url", 8192)
        url = absolute(where)
        settings = self._client.settings
        if url is None or (settings.is_internal(url) and not settings.is_internal(base)):
            raise hostile(self._endpoint, "says that a version is signed and gives no signature")
        answer = await self._client.get(Request(url=url, limit=settings.caps.signature))
        return SignatureBundle(
            kind=SignatureKind.BUNDLE,
            content=succeeded(answer, "the signature").body,
            source=SIGNATURE_NAME,
        )

    async def _get(self, url: URL, credential: Credential | None) -> dict[str, Any]:
        answer = await self._client.get(
            Request(
                url=url,
                limit=self._client.settings.caps.answer,
                accept="application/json",
                credential=credential,
            )
        )
        return decode_object(succeeded(answer, url.path[:256]), url.path[:256])


class _Closed:
    """A store that hands out nothing."""

    async def fetch(self, entry: Entry, limit: int) -> bytes:
        raise GatherError(UnavailableReason.TOO_LARGE, f"{entry.name} is over {limit} bytes")

    def open(self, entry: Entry) -> RemoteFile:
        raise GatherError(UnavailableReason.TOO_LARGE, f"{entry.name} is not read")


def _entry(item: Any, url: URL) -> Entry:
    if not isinstance(item, dict):
        raise hostile(url, "lists something that is no file")
    name, size = item.get("path"), item.get("sizeInBytes")
    if not isinstance(name, str) or not safe_name(name):
        raise hostile(url, "lists a file under an impossible name")
    if type(size) is not int or size < 0:
        raise hostile(url, f"lists {name!r} with an impossible size")
    try:
        digest = base64.b64decode(str(item.get("sha256_base64") or ""), validate=True)
    except (binascii.Error, ValueError):
        raise hostile(url, f"lists {name!r} with an impossible digest") from None
    return Entry(name, size, sha256=digest.hex() if len(digest) == 32 else None)
