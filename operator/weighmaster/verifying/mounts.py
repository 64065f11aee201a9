"""Volumes as a server will see them, for looking at them from another container.

The server has the same volume at another path, and another file system around it. So a path counts
only if it leads to the same file in both: links are followed here and not by the kernel, and none
may be absolute, climb out of the volume, or pass where the server has another mount.
"""

import errno
from collections import deque
from pathlib import Path

from msgspec import Struct

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError

MAX_LINKS = 40
"""Links on the way to one file, as in Linux (path_resolution(7))."""


class Mount(Struct, frozen=True):
    """A volume that is mounted at ``top``.

    ``hidden`` are paths in it over which the server has other mounts.
    """

    top: Path
    hidden: tuple[str, ...] = ()

    def resolve(self, path: str, name: str) -> Path:
        """Where a path in the volume leads, without links; ``name`` is for messages.

        Raises VerificationError: UnsafeTree, MissingFiles, Unreadable.
        """
        waiting = deque(path.split("/"))
        found: list[str] = []
        links = 0
        while waiting:
            part = waiting.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                if not found:
                    raise _unsafe(name, "leads out of the volume")
                found.pop()
                continue
            found.append(part)
            self._refuse_hidden("/".join(found), name)
            target = self._target("/".join(found), name)
            if target is None:
                continue
            links += 1
            if links > MAX_LINKS:
                raise _unsafe(name, "is a link that leads to itself, or through too many others")
            if target.startswith("/"):
                raise _unsafe(
                    name, "is an absolute link, which leads elsewhere in the server's container"
                )
            found.pop()
            waiting.extendleft(reversed(target.split("/")))
        return self.top.joinpath(*found)

    def _refuse_hidden(self, path: str, name: str) -> None:
        if any(path == hidden or path.startswith(f"{hidden}/") for hidden in self.hidden):
            raise _unsafe(name, "lies where the server has another mount, and sees other files")

    def _target(self, path: str, name: str) -> str | None:
        """What a link says; None for what is no link."""
        try:
            return str((self.top / path).readlink())
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise VerificationError(
                    VerificationReason.MISSING_FILES,
                    f"{shown(name)} is not there, or leads nowhere",
                    (name,),
                ) from None
            raise VerificationError(
                VerificationReason.UNREADABLE, f"{shown(name)} cannot be read", (name,)
            ) from None


def _unsafe(name: str, what: str) -> VerificationError:
    return VerificationError(VerificationReason.UNSAFE_TREE, f"{shown(name)} {what}", (name,))
