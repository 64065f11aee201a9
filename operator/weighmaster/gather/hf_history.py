"""Whether a commit is of the repository's own history, or only somebody's proposal.

A hub hands out the commit of a pull request under the repository's name to whoever asks for its
hash, and anybody may open one. So ``hf://acme/model@<hash>`` is no word of acme's until the hash is
found on a branch or tag.
"""

from typing import Any

from msgspec import structs

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

    async def standing(self, commit: str) -> tuple[bool, tuple[Gap, ...]]:
        """Whether a commit is known to be a proposal, and a gap when it is not known at all.

        Looks at the heads of branches and tags, then through the recent history of ``main``.
        Raises GatherError for an outage or a hostile answer.
        """
        heads = await self._heads()
        if heads is not None:
            own, proposals = heads
            if commit in own:
                return False, ()
            if await self._is_on_main(commit):
                return False, ()
            if commit in proposals:
                return True, ()
        elif await self._is_on_main(commit):
            return False, ()
        return False, (Gap(GapReason.COMMIT_NOT_ON_BRANCH, commit),)

    async def _heads(self) -> tuple[set[str], set[str]] | None:
        """Heads of branches and tags, and of pull requests; None where the hub does not say."""
        answer = await self._get("refs", include_prs="1")
        if answer is None:
            return None
        found = decode(answer, "its references")
        if not isinstance(found, dict):
            raise hostile(answer.url, "lists references in no object")
        own = _targets(found.get("branches")) | _targets(found.get("tags"))
        return own, _targets(found.get("pullRequests"))

    async def _is_on_main(self, commit: str) -> bool:
        for page in range(self._getter.settings.caps.history_pages):
            answer = await self._get("commits/main", p=str(page), limit="100")
            found = decode(answer, "its commits") if answer is not None else []
            if not isinstance(found, list) or not found:
                return False
            if any(isinstance(item, dict) and item.get("id") == commit for item in found):
                return True
            if answer is None or 'rel="next"' not in answer.headers.get("Link", ""):
                return False
        return False

    async def _get(self, path: str, **query: str) -> Answer | None:
        """The answer below the repository's URL; None where the hub does not have it."""
        base = self._template.url
        url = base.with_path(f"{base.raw_path}/{path}", encoded=True).with_query(query)
        answer = await self._getter.get(structs.replace(self._template, url=url))
        if answer.status in UNSUPPORTED:
            return None
        return succeeded(answer, path)


def _targets(items: Any) -> set[str]:
    if not isinstance(items, list):
        return set()
    return {str(item.get("targetCommit")) for item in items if isinstance(item, dict)}
