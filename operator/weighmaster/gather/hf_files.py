"""The files of one commit on the Hugging Face hub (https://huggingface.co/docs/hub/api)."""

import re
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from yarl import URL

from weighmaster.core.evidence import Gap, GapReason, UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.answers import decode, hostile, succeeded
from weighmaster.gather.bodies import Sink
from weighmaster.gather.client import Answer, HttpClient, Request
from weighmaster.gather.credentials import Credential
from weighmaster.gather.names import safe_name
from weighmaster.gather.remote import RemoteFile
from weighmaster.gather.survey import Entry
from weighmaster.gather.urls import absolute

_BLOB = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NEXT = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel="?next"?')

API, RESOLVERS = "api", "resolvers"
"""Classes of requests that the hub limits separately (https://huggingface.co/docs/hub/rate-limits)."""


class Commit(Struct, frozen=True):
    """One content of a repository, on the hub at ``endpoint``."""

    endpoint: URL
    repository: str
    hash: str


class CommitFiles:
    """The files of a commit: their listing, and their bytes."""

    def __init__(self, client: HttpClient, commit: Commit, credential: Credential | None) -> None:
        self._client = client
        self._commit = commit
        self._credential = credential
        self._base = join(commit.endpoint, f"/{commit.repository}/resolve/{commit.hash}")

    async def list(self) -> tuple[list[Entry], tuple[Gap, ...]]:
        """All files, page by page, and a gap when there are more than we read.

        Raises GatherError.
        """
        caps = self._client.settings.caps
        commit, what = self._commit, f"the files of {self._commit.repository}"
        url = join(commit.endpoint, f"/api/models/{commit.repository}/tree/{commit.hash}")
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
                    credential=self._credential,
                    bucket=API,
                )
            )
            check_error_code(answer, what)
            succeeded(answer, what)
            budget -= len(answer.body)
            for entry in _entries(answer, what):
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

    async def fetch(self, entry: Entry, limit: int) -> bytes:
        """All bytes of a file, at most ``limit``. Raises GatherError."""
        answer = await self._client.get(
            Request(
                url=self._url(entry),
                limit=min(limit, entry.size),
                credential=self._credential,
                bucket=RESOLVERS,
            )
        )
        succeeded(answer, entry.name[:256])
        if answer.headers.get("X-Repo-Commit", self._commit.hash) != self._commit.hash:
            raise hostile(answer.url, "serves a file of another commit")
        return answer.body

    async def download(self, entry: Entry, sink: Sink) -> None:
        """The bytes of a file that a sink still wants. Raises GatherError, and what the sink does.

        Every attempt asks the hub again, since the URL that it redirects to expires.
        """
        answer = await self._client.get(
            Request(
                url=self._url(entry),
                limit=entry.size,
                credential=self._credential,
                bucket=RESOLVERS,
                sink=sink,
            )
        )
        check_error_code(answer, entry.name[:256])
        succeeded(answer, entry.name[:256])

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


def join(endpoint: URL, path: str) -> URL:
    """A path of the hub's, which may lie below a path of its own."""
    return URL(f"{str(endpoint).rstrip('/')}{path}", encoded=True)


def check_error_code(answer: Answer, what: str) -> None:
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


def _entries(answer: Answer, what: str) -> list[Entry]:
    items = decode(answer, what)
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
    if not isinstance(blob, str) or not _BLOB.match(blob):
        raise hostile(url, f"lists {name!r} without an id")
    return Entry(name, size, blob=blob)
