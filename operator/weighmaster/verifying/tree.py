"""Walking a model's tree, which may be hostile.

Names are joined from directory entries, never resolved. Links are followed one step at a time by
the kernel but only to plain files; what is no plain file is an error, not something to skip.
"""

import os
import stat
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from msgspec import Struct

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError
from weighmaster.verifying.mounts import Mount

MAX_FILES = 100_000
MAX_DEPTH = 64


class Links(Enum):
    """What to do with symbolic links to files; links to folders are always refused."""

    INSIDE = "inside"
    """Follow those that stay in the tree."""

    ANYWHERE = "anywhere"
    """Follow all, such as those of a Hugging Face cache, which lead to its blobs."""


LOST_AND_FOUND = "lost+found"
"""Folder at the top of a volume that only root may look into (mke2fs)."""


class Stamp(Struct, frozen=True):
    """What a file's content cannot change without: its size and times of change, in nanoseconds.

    No inode number: file systems in user space may give a file another one at every look.
    """

    size: int
    modified: int
    changed: int


class TreeFile(Struct, frozen=True):
    """A file in a tree: its name relative to it, where it is, how it was when it was seen."""

    name: str
    path: Path
    stamp: Stamp
    symlink: bool

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.stamp.size


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file by its status."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def walk(root: Path, links: Links = Links.INSIDE) -> list[TreeFile]:
    """All files under a folder, or the one file that ``root`` is, in order of name.

    Raises VerificationError: UnsafeTree for links that leave the tree or lead to folders, devices,
    pipes, sockets and names that are not UTF-8; TooLarge; Unreadable.
    """

    def target(path: Path, name: str) -> Path:
        try:
            found = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise _unsafe(name, "is a link that leads nowhere") from None
        leaves = links is Links.INSIDE and not found.is_relative_to(real)
        if leaves and not found.is_dir():  # which is refused for that
            raise _unsafe(name, "is a link that leaves the tree")
        return found

    try:
        real = root.resolve(strict=True)
    except (OSError, RuntimeError):
        raise _unreadable(str(root)) from None
    return _files(real, root.name, target)


def walk_mounted(mount: Mount, path: str) -> list[TreeFile]:
    """All files under a folder of a volume, or the one file that ``path`` names, as ``walk`` does.

    Links may lead anywhere in the volume, such as those of a hub's cache to its blobs. A folder
    ``lost+found`` at the top of a volume is left out where it may not be entered: what is not
    readable by us, root alone can read, and no loader looks for files of a model there.
    """

    def target(link: Path, name: str) -> Path:
        return mount.resolve(str(link.relative_to(mount.top)), name)

    root = mount.resolve(path, path or ".")
    return _files(root, root.name, target, leave_out=mount.top / LOST_AND_FOUND)


Target = Callable[[Path, str], Path]
"""Gives where a link leads; raises VerificationError."""


def _files(root: Path, name: str, target: Target, leave_out: Path | None = None) -> list[TreeFile]:
    try:
        if not root.is_dir():
            return [_file(root, _name("", name), root.stat(), symlink=False)]
        found = list(_walk(root, target, leave_out))
    except OSError as error:
        raise _unreadable(error.filename or name) from None
    return sorted(found, key=lambda file: file.name)


def _walk(top: Path, target: Target, leave_out: Path | None) -> Iterator[TreeFile]:
    pending = [(top, "", 0)]
    count = 0
    while pending:
        directory, prefix, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise VerificationError(
                VerificationReason.TOO_LARGE, f"the tree is deeper than {MAX_DEPTH} folders"
            )
        if directory == leave_out and not os.access(directory, os.R_OK | os.X_OK):
            continue
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
                    yield _linked(target(Path(entry.path), name), name)
                else:
                    status = entry.stat(follow_symlinks=False)
                    yield _file(Path(entry.path), name, status, symlink=False)


def _name(prefix: str, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise VerificationError(
            VerificationReason.UNSAFE_TREE,
            f"a file in {shown(prefix or '.')} has a name that is not UTF-8",
        ) from None
    return prefix + name


def _linked(target: Path, name: str) -> TreeFile:
    status = target.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _unsafe(name, "is a link to a folder")
    return _file(target, name, status, symlink=True)


def _file(path: Path, name: str, status: os.stat_result, *, symlink: bool) -> TreeFile:
    if not stat.S_ISREG(status.st_mode):
        raise _unsafe(name, "is not a plain file")
    return TreeFile(name, path, stamp(status), symlink)


def _unsafe(name: str, what: str) -> VerificationError:
    return VerificationError(VerificationReason.UNSAFE_TREE, f"{shown(name)} {what}", (name,))


def _unreadable(name: str) -> VerificationError:
    return VerificationError(
        VerificationReason.UNREADABLE, f"{shown(name)} cannot be read", (name,)
    )
