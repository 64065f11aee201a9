"""Words of others in messages of ours: printable, short, a few of many."""

from collections.abc import Collection

MAX_SHOWN = 160
"""Characters of somebody else's text that a message shows."""

MAX_NAMES = 3
"""Names that a message lists before it counts the rest."""


def shown(text: str) -> str:
    """Text from a hostile source in quotes, without control characters, cut to MAX_SHOWN."""
    cut = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
    return '"' + "".join(c if c.isprintable() and c != '"' else "?" for c in cut) + '"'


def listed(names: Collection[str]) -> str:
    """A few names in order, and how many more there are."""
    first = sorted(names)[:MAX_NAMES]
    rest = len(names) - len(first)
    return ", ".join(shown(name) for name in first) + (f" and {rest} more" if rest else "")
