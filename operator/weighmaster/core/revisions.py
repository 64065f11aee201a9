"""Revisions of a hub's repository: which of them only the repository's owner can have made.

Hubs serve what anybody proposes (a pull request) under the repository's own name: by its ref, and
by the hash of its commit. So only a branch or tag, known by its name, is the owner's word by
itself; what may be a commit is that once its history has been looked at.
"""

import re
from enum import StrEnum

PROPOSAL_SCHEMES = frozenset({"hf", "modelscope"})
"""Schemes whose hubs serve what was only proposed."""


class Standing(StrEnum):
    """Whose word the content at a revision is."""

    OWN = "own"
    """Of whoever may write to the repository."""
    PROPOSED = "proposed"
    """Of anybody: a pull request's, or a commit that is on no branch or tag."""
    UNKNOWN = "unknown"
    """Nobody has found out yet."""


_PROPOSAL = re.compile(r"(?:refs/)?pr/\d|refs/pr/", re.IGNORECASE)
"""How hubs name pull requests (huggingface_hub: ``refs/pr/1``)."""

_NAME = re.compile(
    r"(?:refs/(?:heads|tags)/)?(?!refs(?:/|\Z)|convert/)[A-Za-z0-9_][A-Za-z0-9._/-]*\Z"
)
"""Branches and tags. Everything else may be an expression of git's (``main~1``, ``x^0``)."""

_COMMIT = re.compile(r"(?:.*-g)?[0-9a-f]{4,64}\Z", re.IGNORECASE | re.DOTALL)
"""What git takes for a commit: a hash, its beginning, or what ``git describe`` writes."""


def standing_by_name(revision: str | None) -> Standing:
    """What the name of a revision alone says; None is the hub's default branch."""
    if revision is None:
        return Standing.OWN
    if _PROPOSAL.match(revision):
        return Standing.PROPOSED
    if _COMMIT.match(revision) or not _NAME.match(revision):
        return Standing.UNKNOWN
    return Standing.OWN
