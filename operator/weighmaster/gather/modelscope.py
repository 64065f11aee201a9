"""ModelScope (https://modelscope.cn), by the API its own client uses.

Its listing gives the SHA-256 of every file, and is cut off at 3,000 entries without saying so.
"""

import re
from typing import Any

from msgspec import structs
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
from weighmaster.core.revisions import Standing, standing_by_name
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather.answers import decode_object, hostile, succeeded
from weighmaster.gather.client import HttpClient, Request
from weighmaster.gather.credentials import Credential, Credentials
from weighmaster.gather.names import safe_name
from weighmaster.gather.remote import RemoteFile
from weighmaster.gather.survey import Entry, survey

SILENT_LIMIT = 3000
"""Entries after which a listing ends, complete or not."""

HISTORY_PAGE = 100
"""Commits that are asked for at one time."""

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class ModelScope:
    """Evidence from ModelScope."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._endpoint = client.settings.endpoint("modelscope")

    async def gather(
        self, reference: ModelReference, credentials: Credentials, known: Evidence | None
    ) -> Evidence:
        """Evidence about a repository at a revision; ``master`` when none is given.

        Raises GatherError.
        """
        name = reference.location.removeprefix("modelscope://")
        if not references.is_repository_name(name):
            raise GatherError(UnavailableReason.NOT_FOUND, f"{name[:200]} is no repository name")
        credential = credentials.for_url(self._endpoint)
        commit = await self._resolve(name, reference.revision or "master", credential)
        resolved = references.modelscope(name, commit, reference.file).canonical
        standing = await self._standing(name, reference.revision, commit, credential)
        if known is not None and known.resolved == resolved:
            kept = [gap for gap in known.gaps if gap.reason not in UNPLACED]
            return structs.replace(known, gaps=(*kept, *standing))
        answer = await self._get(
            name, "/repo/files", {"Revision": commit, "Recursive": "True"}, credential
        )
        items = answer.get("Files")
        if not isinstance(items, list):
            raise hostile(self._endpoint, f"lists no files of {name}")
        gaps: tuple[Gap, ...] = ()
        if len(items) >= SILENT_LIMIT:
            detail = f"the hub lists {SILENT_LIMIT} entries at most, and these are {len(items)}"
            gaps = (Gap(GapReason.LISTING_INCOMPLETE, detail),)
        entries = [entry for item in items if (entry := _entry(item, self._endpoint)) is not None]
        if len({entry.name for entry in entries}) != len(entries):
            raise hostile(self._endpoint, f"lists a file of {name} twice")
        store = _Store(self._client, self._url(name, "/repo"), commit, credential)
        found = await survey(entries, store, self._client.settings.caps)
        return Evidence(
            reference=reference.canonical,
            resolved=resolved,
            files=found.files,
            signatures=found.signatures,
            card=found.card,
            content=found.content,
            gaps=(*gaps, *found.gaps, *standing),
            manifest_digest=None if gaps else content_digest(found.files),
        )

    async def _resolve(self, name: str, revision: str, credential: Credential | None) -> str:
        found = await self._get(
            name, "/commits", {"Ref": revision, "PageNumber": "1", "PageSize": "1"}, credential
        )
        commits = found.get("Commit")
        first = commits[0] if isinstance(commits, list) and commits else None
        commit = first.get("Id") if isinstance(first, dict) else None
        if not isinstance(commit, str) or not _COMMIT.match(commit):
            raise hostile(self._endpoint, f"names no commit for {name}@{revision}"[:300])
        if _COMMIT.match(revision.lower()) and commit != revision:
            raise GatherError(
                UnavailableReason.AMBIGUOUS_REVISION,
                f"{name}@{revision} looks like a commit, but the hub resolves it to {commit}",
            )
        return commit

    async def _standing(
        self, name: str, revision: str | None, commit: str, credential: Credential | None
    ) -> tuple[Gap, ...]:
        """A gap unless the content is of the repository's own ``master``, or of a branch or tag."""
        by_name = standing_by_name(revision)
        if by_name is Standing.OWN:
            return ()
        pages = self._client.settings.caps.history_pages
        for page in range(1, pages + 1):
            query = {"Ref": "master", "PageNumber": str(page), "PageSize": str(HISTORY_PAGE)}
            found = (await self._get(name, "/commits", query, credential)).get("Commit") or []
            if not isinstance(found, list):
                raise hostile(self._endpoint, f"lists commits of {name} in no list")
            if any(isinstance(each, dict) and each.get("Id") == commit for each in found):
                return ()
            if len(found) < HISTORY_PAGE:
                return (Gap(GapReason.COMMIT_NOT_ON_BRANCH, commit),)
        return (Gap(GapReason.HISTORY_UNKNOWN, commit),)

    async def _get(
        self, name: str, path: str, query: dict[str, str], credential: Credential | None
    ) -> dict[str, Any]:
        answer = await self._client.get(
            Request(
                url=self._url(name, path).with_query(query),
                limit=self._client.settings.caps.answer,
                accept="application/json",
                credential=credential,
            )
        )
        succeeded(answer, name)
        found = decode_object(answer, name)
        inner = found.get("Data")
        if found.get("Code") != 200 or not isinstance(inner, dict):
            raise GatherError(UnavailableReason.NOT_FOUND, f"{name}: the hub does not give it")
        return inner

    def _url(self, name: str, path: str) -> URL:
        return URL(f"{str(self._endpoint).rstrip('/')}/api/v1/models/{name}{path}")


class _Store:
    """Files of one commit."""

    def __init__(
        self, client: HttpClient, base: URL, commit: str, credential: Credential | None
    ) -> None:
        self._client = client
        self._base = base
        self._commit = commit
        self._credential = credential

    async def fetch(self, entry: Entry, limit: int) -> bytes:
        """All bytes of a file."""
        request = Request(
            url=self._url(entry), limit=min(limit, entry.size), credential=self._credential
        )
        return succeeded(await self._client.get(request), entry.name[:256]).body

    def open(self, entry: Entry) -> RemoteFile:
        """A file to read at offsets."""
        return RemoteFile(self._client, self._url(entry), entry.size, credential=self._credential)

    def _url(self, entry: Entry) -> URL:
        return self._base.with_query(Revision=self._commit, FilePath=entry.name)


def _entry(item: Any, url: URL) -> Entry | None:
    if not isinstance(item, dict):
        raise hostile(url, "lists something that is no file")
    if item.get("Type") == "tree":
        return None
    name, size, sha256 = item.get("Path"), item.get("Size"), item.get("Sha256")
    if not isinstance(name, str) or not safe_name(name):
        raise hostile(url, "lists a file under an impossible name")
    if type(size) is not int or size < 0:
        raise hostile(url, f"lists {name!r} with an impossible size")
    if not isinstance(sha256, str) or not _SHA256.match(sha256):
        return Entry(name, size)
    return Entry(name, size, sha256=sha256)
