"""Names of files in answers of hubs and registries."""

import re

_BAD = re.compile(r"[\x00-\x1f\x7f\\]")

MAX_NAME = 1024
"""Characters."""


def safe_name(name: str) -> bool:
    """Whether a name is one relative path with one meaning.

    No empty, ``.`` or ``..`` segments, no backslash or control character, not absolute.
    """
    return (
        0 < len(name) <= MAX_NAME
        and not _BAD.search(name)
        and all(part not in ("", ".", "..") for part in name.split("/"))
    )
