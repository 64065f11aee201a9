"""Field paths, kept as linked keys and only spelt out when a use is found."""

from typing import TypeAlias

Path: TypeAlias = "tuple[Path, str | int] | None"
"""A key below a parent path; ``None`` is the document itself."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def render(path: Path) -> str:
    """Spell ``path`` as people write it: ``spec.containers[0].args[3]``."""
    keys: list[str | int] = []
    while path is not None:
        path, key = path
        keys.append(key)
    parts: list[str] = []
    for key in reversed(keys):
        if isinstance(key, int):
            parts.append(f"[{key}]")
        elif _PLAIN.issuperset(key):
            parts.append(f".{key}" if parts else key)
        else:
            parts.append(f"[{key!r}]" if len(key) < 200 else f"[{key[:200]!r}...]")
    return "".join(parts)


def below(path: Path, *keys: str | int) -> Path:
    """The path of ``keys`` under ``path``."""
    for key in keys:
        path = (path, key)
    return path
