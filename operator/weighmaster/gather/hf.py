"""The Hugging Face hub and mirrors of it (https://huggingface.co/docs/hub/api).

The revision is resolved to a commit first, and everything after that is asked for by commit, so
that all facts are about one content whatever is pushed meanwhile.
"""

import re
from typing import Any
from urllib.parse import quote

from msgspec import Struct, structs
from yarl import URL

from weighmaster.core import references
from weighmaster.core.evidence import (
    UNPLACED,
    Evidence,
    Gap,
    GapReason,
    UnavailableReason,
    content_digest,
)
from weighmaster.core.globs import fold
from weighmaster.core.revisions import Standing, standing_by_name
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather.answers import decode, decode_object, hostile, succeeded
from weighmaster.gather.client import Answer, HttpClient, Request
from weighmaster.gather.credentials import Credential, Credentials
from weighmaster.gather.hf_history import History
from weighmaster.gather.names import safe_name
from weighmaster.gather.remote import RemoteFile
from weighmaster.gather.survey import Entry, survey
from weighmaster.gather.urls import absolute

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?\Z", re.ASCII)
_NEXT = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel="?next"?')

API, RESOLVERS = "api", "resolvers"
"""Classes of requests that the hub limits separately (https://huggingface.co/docs/hub/rate-limits)."""


class _Head(Struct, frozen=True):
    """What a revision resolved to."""

    repository: str
    commit: str
    gated: bool
    validator: str | None


class HuggingFace:
    """Evidence from the hub."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._endpoint = client.settings.endpoint("hf")

    async def gather(
        self, reference: ModelReference, credentials: Credentials, known: Evidence | None
    ) -> Evidence:
        """Evidence about a repository at a revision; ``main`` when none is given.

        ``known`` is earlier evidence, returned again when the revision has not moved. Raises
        GatherError.
        """
        asked = reference.location.removeprefix("hf://")
        if not _REPOSITORY.match(asked):
            raise GatherError(UnavailableReason.NOT_FOUND, f"{asked[:200]} is no repository name")
        credential = credentials.for_url(self._endpoint)
        head = await self._resolve(asked, reference.revision or "main", credential, known)
        resolved = references.hugging_face(head.repository, head.commit, reference.file)
        proposed, standing = await self._standing(reference, head, credential)
        if known is not None and known.resolved == resolved.canonical:
            kept = [gap for gap in known.gaps if gap.reason not in UNPLACED]
            return structs.replace(
                known,
                validator=head.validator,
                gated=head.gated,
                proposed=proposed,
                gaps=(*kept, *standing),
            )
        entries, gaps = await self._list(head, credential)
        store = _Store(self._client, self._endpoint, head, credential)
        found = await survey(entries, store, self._client.settings.caps)
        return Evidence(
            reference=reference.canonical,
            resolved=resolved.canonical,
            files=found.files,
            signatures=found.signatures,
            card=found.card,
            content=found.content,
            gaps=(*gaps, *found.gaps, *standing),
            renamed=fold(f"hf://{head.repository}") != fold(reference.location),
            proposed=proposed,
            gated=head.gated,
            manifest_digest=None if gaps else content_digest(found.files),
            validator=head.validator,
        )

    async def _standing(
        self, reference: ModelReference, head: _Head, credential: Credential | None
    ) -> tuple[bool, tuple[Gap, ...]]:
        """Whether the content is only proposed; for a commit, its history has to say."""
        revision = reference.revision or "main"
        by_name = standing_by_name(revision)
        if by_name is not Standing.UNKNOWN:
            return by_name is Standing.PROPOSED, ()
        template = Request(
            url=_join(self._endpoint, f"/api/models/{head.repository}"),
            limit=self._client.settings.caps.answer,
            accept="application/json",
            credential=credential,
            bucket=API,
        )
        return await History(self._client, template).standing(revision, head.commit)

    async def _resolve(
        self, asked: str, revision: str, credential: Credential | None, known: Evidence | None
    ) -> _Head:
        url = _join(self._endpoint, f"/api/models/{asked}/revision/{quote(revision, safe='')}")
        url = url.extend_query([("expand", name) for name in ("sha", "gated", "private")])
        validator = known.validator if known is not None else None
        answer = await self._client.get(
            Request(
                url=url,
                limit=self._client.settings.caps.answer,
                accept="application/json",
                credential=credential,
                validator=validator,
                bucket=API,
            )
        )
        what = f"{asked}@{revision}"[:256]
        _check_error_code(answer, what)
        succeeded(answer, what)
        if answer.status == 304 and known is not None and validator is not None:
            held = references.parse(known.resolved)
            name = held.location.removeprefix("hf://")
            return _Head(name, held.revision or "", known.gated, validator)
        return _head(answer, revision, what)

    async def _list(
        self, head: _Head, credential: Credential | None
    ) -> tuple[list[Entry], tuple[Gap, ...]]:
        """All files of the commit, page by page, and a gap when there are more than we read."""
        caps = self._client.settings.caps
        url = _join(self._endpoint, f"/api/models/{head.repository}/tree/{head.commit}")
        page: URL | None = url.with_query(recursive="true", expand="false")
        entries: dict[str, Entry] = {}
        budget = caps.answer
        for _ in range(caps.listing_pages):
            if page is None or budget <= 0 or len(entries) > caps.files:
                break
            answer = await self._client.get(
                Request(
                    url=page,
                    limit=budget,
                    accept="application/json",
                    credential=credential,
                    bucket=API,
                )
            )
            succeeded(answer, f"the files of {head.repository}")
            budget -= len(answer.body)
            for entry in _entries(answer, head.repository):
                if entry.name in entries:
                    raise hostile(answer.url, f"lists {entry.name[:256]!r} twice")
                entries[entry.name] = entry
            page = _next_page(answer)
        found = list(entries.values())
        if page is None and len(found) <= caps.files:
            return found, ()
        return found[: caps.files], (
            Gap(GapReason.LISTING_INCOMPLETE, f"only {min(len(found), caps.files)} files listed"),
        )


def _head(answer: Answer, revision: str, what: str) -> _Head:
    """What the hub says a revision is. Raises GatherError when that cannot be."""
    found = decode_object(answer, what)
    commit, repository = found.get("sha"), found.get("id")
    if not isinstance(commit, str) or not _COMMIT.match(commit):
        raise hostile(answer.url, f"names no commit for {what}")
    if not isinstance(repository, str) or not _REPOSITORY.match(repository):
        raise hostile(answer.url, f"names no repository for {what}")
    if _COMMIT.match(revision.lower()) and commit != revision:
        raise GatherError(
            UnavailableReason.AMBIGUOUS_REVISION,
            f"{what} looks like a commit, but the hub resolves it to {commit}",
        )
    etag = answer.headers.get("ETag", "")
    validator = etag if 0 < len(etag) <= 256 and etag.isprintable() else None
    return _Head(repository, commit, bool(found.get("gated")), validator)


class _Store:
    """Files of one commit."""

    def __init__(
        self, client: HttpClient, endpoint: URL, head: _Head, credential: Credential | None
    ) -> None:
        self._client = client
        self._base = _join(endpoint, f"/{head.repository}/resolve/{head.commit}")
        self._commit = head.commit
        self._credential = credential

    async def fetch(self, entry: Entry, limit: int) -> bytes:
        """All bytes of a file."""
        answer = await self._client.get(
            Request(
                url=self._url(entry),
                limit=min(limit, entry.size),
                credential=self._credential,
                bucket=RESOLVERS,
            )
        )
        succeeded(answer, entry.name[:256])
        if answer.headers.get("X-Repo-Commit", self._commit) != self._commit:
            raise hostile(answer.url, "serves a file of another commit")
        return answer.body

    def open(self, entry: Entry) -> RemoteFile:
        """A file to read at offsets."""
        return RemoteFile(
            self._client,
            self._url(entry),
            entry.size,
            credential=self._credential,
            bucket=RESOLVERS,
        )

    def _url(self, entry: Entry) -> URL:
        return URL(f"{self._base}/{quote(entry.name)}", encoded=True)


def _join(endpoint: URL, path: str) -> URL:
    return URL(f"{str(endpoint).rstrip('/')}{path}", encoded=True)


def _check_error_code(answer: Answer, what: str) -> None:
    """Raise what the hub's X-Error-Code means, which is more than its status says."""
    code = answer.headers.get("X-Error-Code", "")
    if answer.status >= 400 and code in ("RepoNotFound", "RevisionNotFound", "EntryNotFound"):
        # Without credentials the hub answers 401 for what does not exist as for what is private.
        if answer.status == 401:
            return
        raise GatherError(
            UnavailableReason.NOT_FOUND, f"{what} does not exist", status=answer.status
        )
    if answer.status >= 400 and code == "GatedRepo":
        raise GatherError(
            UnavailableReason.UNAUTHORIZED,
            f"{what} is gated, and the credentials given do not open it",
            status=answer.status,
        )


def _next_page(answer: Answer) -> URL | None:
    """The next page by the Link header (RFC 8288), which must be of the same listing."""
    link = answer.headers.get("Link", "")[:8192]
    if not link or (match := _NEXT.search(link)) is None:
        return None
    page = absolute(match[1], answer.url)
    if page is None:
        raise hostile(answer.url, "names a next page that is no URL")
    if page.origin() != answer.url.origin() or page.path != answer.url.path:
        raise hostile(answer.url, "continues its listing somewhere else")
    if page == answer.url:
        raise hostile(answer.url, "continues its listing where it began")
    return page


def _entries(answer: Answer, repository: str) -> list[Entry]:
    items = decode(answer, f"the files of {repository}")
    if not isinstance(items, list):
        raise hostile(answer.url, "lists files in no list")
    found: list[Entry] = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise hostile(answer.url, "lists something that is no file")
        if item["type"] != "directory":
            found.append(_entry(item, answer.url))
    return found


def _entry(item: dict[str, Any], url: URL) -> Entry:
    name, size, blob, lfs = item.get("path"), item.get("size"), item.get("oid"), item.get("lfs")
    if not isinstance(name, str) or not safe_name(name):
        raise hostile(url, "lists a file under an impossible name")
    if type(size) is not int or size < 0:
        raise hostile(url, f"lists {name!r} with an impossible size")
    if isinstance(lfs, dict):
        sha256 = str(lfs.get("oid") or lfs.get("sha256") or "")
        if not _SHA256.match(sha256) or lfs.get("size", size) != size:
            raise hostile(url, f"lists {name!r} with an impossible digest or two sizes")
        return Entry(name, size, sha256=sha256)
    if not isinstance(blob, str) or not _COMMIT.match(blob):
        raise hostile(url, f"lists {name!r} without an id")
    return Entry(name, size, blob=blob)
