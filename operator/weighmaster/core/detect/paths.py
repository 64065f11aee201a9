"""Field paths, kept as linked keys and only spelt out when a use is found."""

from functools import lru_cache
from typing import TypeAlias

Path: TypeAlias = "tuple[Path, str | int] | None"
"""A key below a parent path; ``None`` is the document itself."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def render(path: Path) -> str:
    """Spell ``path`` as people write it: ``spec.containers[0].args[3]``."""
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(
            _spell(key) if isinstance(key, int) or len(key) < 200 else f"[{key[:200]!r}...]"
        )
    parts.reverse()
    spelt = "".join(parts)
    return spelt[1:] if spelt[:1] == "." else spelt


@lru_cache(maxsize=4096)
def _spell(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if _PLAIN.issuperset(key):
        return f".{key}"
    return f"[{key!r}]"


def below(path: Path, *keys: str | int) -> Path:
    """The path of ``keys`` under ``path``."""
    for key in keys:
        path = (path, key)
    return path
