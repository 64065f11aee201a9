"""Where models lie on the volume: hidden while they come, and under their name once they hold."""

import os
import shutil
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

HIDDEN = ".weighmaster"
"""Folder of the volume with what is not verified yet. No model's folder begins with a dot."""


class Place:
    """The two places of one model on a volume. All methods raise OSError as they come upon it.

    The volume is ours alone, but what an earlier container has left there is not trusted.
    """

    def __init__(self, volume: Path, folder: str) -> None:
        self._volume = volume
        self._served = volume / folder
        self.hidden = volume / HIDDEN / folder

    def take_back(self) -> bool:
        """Hide the model again if it is served already; whether it was."""
        self._make_folders(self._served.parent)
        self._make_folders(self.hidden.parent)
        if not os.path.lexists(self._served):
            return False
        if self._served.is_symlink() or not self._served.is_dir():
            self._served.unlink()
            return False
        if os.path.lexists(self.hidden):
            _remove(self.hidden)
        self._served.rename(self.hidden)
        return True

    def clean(self, names: Collection[str]) -> int:
        """Drop everything but plain files of these names; the bytes that are left."""
        self._make_folders(self.hidden)
        wanted = frozenset(names)
        left = 0
        for where, folders, files in os.walk(self.hidden, topdown=False):
            for each in (*files, *folders):
                path = Path(where, each)
                status = path.lstat()
                if stat.S_ISDIR(status.st_mode):
                    with suppress(OSError):  # it is not empty
                        path.rmdir()
                elif stat.S_ISREG(status.st_mode) and self._name(path) in wanted:
                    left += status.st_size
                else:
                    path.unlink()
        return left

    def names(self) -> frozenset[str]:
        """What is there by now, whatever it is; folders are not counted."""
        return frozenset(
            self._name(Path(where, each))
            for where, folders, files in os.walk(self.hidden)
            for each in (*files, *(name for name in folders if Path(where, name).is_symlink()))
        )

    def room(self) -> int:
        """Bytes that the volume has left for us, by the file system; a sizeLimit is not in it."""
        status = os.statvfs(self._volume)
        return status.f_bavail * status.f_frsize

    def serve(self) -> None:
        """Give the model its name, in one step, when everything is on the disk."""
        for where, _, _ in os.walk(self.hidden):
            _sync(Path(where))
        self.hidden.rename(self._served)
        _sync(self._served.parent)

    def _make_folders(self, folder: Path) -> None:
        """Make a folder of the volume, and replace whatever is there in its place."""
        path = self._volume
        for part in folder.relative_to(self._volume).parts:
            path = path / part
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                path.unlink()
            path.mkdir(mode=0o755, exist_ok=True)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.hidden))


def forget_hidden(volume: Path) -> None:
    """Remove the folder of what is not verified: all of it is, or is not wanted any more."""
    _remove(volume / HIDDEN)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
