"""Whether a commit is of the repository's own history, or only somebody's proposal.

A hub hands out the commit of a pull request under the repository's name to whoever asks for its
hash, and anybody may open one. So ``hf://acme/model@<hash>`` is no word of acme's until the hash is
found on a branch or tag.
"""

from typing import Any

from msgspec import Struct, structs

from weighmaster.core.evidence import Gap, GapReason
from weighmaster.gather.answers import decode, hostile, succeeded
from weighmaster.gather.client import Answer, Request
from weighmaster.gather.remote import Getter

UNSUPPORTED = frozenset({400, 401, 403, 404, 405, 501})
"""Answers of mirrors that do not have this part of the hub's API, or not for us."""


class History:
    """The branches, tags and commits of one repository, by requests made from a template."""

    def __init__(self, getter: Getter, template: Request) -> None:
        """``template`` is a request whose URL is the repository's in the hub's API."""
        self._getter = getter
        self._template = template

    async def standing(self, revision: str, commit: str) -> tuple[bool, tuple[Gap, ...]]:
        """Whether a revision is known to be a proposal, and a gap unless it is the owner's.

        ``commit`` is what it resolved to. Looks at the names and heads of branches and tags, then
        through the recent history of ``main``. Raises GatherError for an outage or a hostile
        answer.
        """
        heads = await self._heads()
        if heads is not None and (revision in heads.names or commit in heads.own):
            return False, ()
        on_main = await self._is_on_main(commit)
        if on_main:
            return False, ()
        if heads is not None and commit in heads.proposals:
            return True, ()
        known = heads is not None and on_main is False
        reason = GapReason.COMMIT_NOT_ON_BRANCH if known else GapReason.HISTORY_UNKNOWN
        return False, (Gap(reason, commit),)

    async def _heads(self) -> "_Heads | None":
        """What branches, tags and pull requests there are; None where the hub does not say."""
        answer = await self._get("refs", include_prs="1")
        if answer is None:
            return None
        found = decode(answer, "its references")
        if not isinstance(found, dict):
            raise hostile(answer.url, "lists references in no object")
        own = [*_objects(found.get("branches")), *_objects(found.get("tags"))]
        return _Heads(
            names=frozenset(str(each.get("name")) for each in own),
            own=frozenset(str(each.get("targetCommit")) for each in own),
            proposals=frozenset(
                str(each.get("targetCommit")) for each in _objects(found.get("pullRequests"))
            ),
        )

    async def _is_on_main(self, commit: str) -> bool | None:
        """Whether a commit is in the history of ``main``; None where that cannot be found out."""
        for page in range(self._getter.settings.caps.history_pages):
            answer = await self._get("commits/main", p=str(page), limit="100")
            if answer is None:
                return None
            found = decode(answer, "its commits")
            if not isinstance(found, list):
                raise hostile(answer.url, "lists commits in no list")
            if any(each.get("id") == commit for each in _objects(found)):
                return True
            if 'rel="next"' not in answer.headers.get("Link", ""):
                return False
        return None

    async def _get(self, path: str, **query: str) -> Answer | None:
        """The answer below the repository's URL; None where the hub does not have it."""
        base = self._template.url
        url = base.with_path(f"{base.raw_path}/{path}", encoded=True).with_query(query)
        answer = await self._getter.get(structs.replace(self._template, url=url))
        if answer.status in UNSUPPORTED:
            return None
        return succeeded(answer, path)


class _Heads(Struct, frozen=True):
    """Names and commits of branches and tags, and commits of pull requests."""

    names: frozenset[str]
    own: frozenset[str]
    proposals: frozenset[str]


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
