"""The Hugging Face hub and mirrors of it (https://huggingface.co/docs/hub/api).

The revision is resolved to a commit first, and everything after that is asked for by commit, so
that all facts are about one content whatever is pushed meanwhile.
"""

import re
from urllib.parse import quote

from msgspec import Struct, structs

from weighmaster.core import references
from weighmaster.core.evidence import (
    UNPLACED,
    Evidence,
    Gap,
    UnavailableReason,
    content_digest,
)
from weighmaster.core.globs import fold
from weighmaster.core.revisions import Standing, standing_by_name
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather.answers import decode_object, hostile, succeeded
from weighmaster.gather.client import Answer, HttpClient, Request
from weighmaster.gather.credentials import Credential, Credentials
from weighmaster.gather.hf_files import API, Commit, CommitFiles, check_error_code, join
from weighmaster.gather.hf_history import History
from weighmaster.gather.survey import survey

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?\Z", re.ASCII)


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
        commit = Commit(self._endpoint, head.repository, head.commit)
        files = CommitFiles(self._client, commit, credential)
        entries, gaps = await files.list()
        found = await survey(entries, files, self._client.settings.caps)
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
            url=join(self._endpoint, f"/api/models/{head.repository}"),
            limit=self._client.settings.caps.answer,
            accept="application/json",
            credential=credential,
            bucket=API,
        )
        return await History(self._client, template).standing(revision, head.commit)

    async def _resolve(
        self, asked: str, revision: str, credential: Credential | None, known: Evidence | None
    ) -> _Head:
        url = join(self._endpoint, f"/api/models/{asked}/revision/{quote(revision, safe='')}")
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
        check_error_code(answer, what)
        succeeded(answer, what)
        if answer.status == 304 and known is not None and validator is not None:
            held = references.parse(known.resolved)
            name = held.location.removeprefix("hf://")
            return _Head(name, held.revision or "", known.gated, validator)
        return _head(answer, revision, what)


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
