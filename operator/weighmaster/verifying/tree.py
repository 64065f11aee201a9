"""Walking a model's tree, which may be hostile.

Names are joined from directory entries, never resolved. Links are followed one step at a time by
the kernel but only to plain files; what is no plain file is an error, not something to skip.
"""

import os
import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from msgspec import Struct

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError

MAX_FILES = 100_000
MAX_DEPTH = 64


class Links(Enum):
    """What to do with symbolic links to files; links to folders are always refused."""

    INSIDE = "inside"
    """Follow those that stay in the tree."""

    ANYWHERE = "anywhere"
    """Follow all, such as those of a Hugging Face cache, which lead to its blobs."""


class TreeFile(Struct, frozen=True):
    """A file in a tree: its name relative to it, where it is, its size in bytes."""

    name: str
    path: Path
    size: int
    symlink: bool


def walk(root: Path, links: Links = Links.INSIDE) -> list[TreeFile]:
    """All files under a folder, or the one file that ``root`` is, in order of name.

    Raises VerificationError: UnsafeTree for links that leave the tree or lead to folders, devices,
    pipes, sockets and names that are not UTF-8; TooLarge; Unreadable.
    """
    try:
        real = root.resolve(strict=True)
        if not real.is_dir():
            return [_file(real, _name("", root.name), real.stat(), symlink=False)]
        found = list(_walk(real, real, "", links))
    except OSError:
        raise VerificationError(
            VerificationReason.UNREADABLE, f"the tree {shown(str(root))} cannot be read"
        ) from None
    return sorted(found, key=lambda file: file.name)


def _walk(top: Path, real_top: Path, prefix: str, links: Links) -> Iterator[TreeFile]:
    pending = [(top, prefix, 0)]
    count = 0
    while pending:
        directory, prefix, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise VerificationError(
                VerificationReason.TOO_LARGE, f"the tree is deeper than {MAX_DEPTH} folders"
            )
        with os.scandir(directory) as entries:
            for entry in entries:
                count += 1
                if count > MAX_FILES:
                    raise VerificationError(
                        VerificationReason.TOO_LARGE, f"the tree has more than {MAX_FILES} entries"
                    )
                name = _name(prefix, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    pending.append((Path(entry.path), f"{name}/", depth + 1))
                elif entry.is_symlink():
                    yield _linked(Path(entry.path), name, real_top, links)
                else:
                    status = entry.stat(follow_symlinks=False)
                    yield _file(Path(entry.path), name, status, symlink=False)


def _name(prefix: str, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise _unsafe(f"a file in {shown(prefix or '.')} has a name that is not UTF-8") from None
    return prefix + name


def _linked(path: Path, name: str, real_top: Path, links: Links) -> TreeFile:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise _unsafe(f"{shown(name)} is a link that leads nowhere") from None
    status = target.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _unsafe(f"{shown(name)} is a link to a folder")
    if links is Links.INSIDE and not target.is_relative_to(real_top):
        raise _unsafe(f"{shown(name)} is a link that leaves the tree")
    return _file(target, name, status, symlink=True)


def _file(path: Path, name: str, status: os.stat_result, *, symlink: bool) -> TreeFile:
    if not stat.S_ISREG(status.st_mode):
        raise _unsafe(f"{shown(name)} is not a plain file")
    return TreeFile(name, path, status.st_size, symlink)


def _unsafe(message: str) -> VerificationError:
    return VerificationError(VerificationReason.UNSAFE_TREE, message)
