"""A container without a runtime: a process with mounts of its own, another user, no privileges."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

USER = 65532
"""The numeric USER of the image."""

_ROOT = Path(__file__).parents[2]
_RUN = Path("/run")
_TEMPORARY = Path("/tmp")


@dataclass(frozen=True)
class Mounts:
    """What a container sees: folders of this machine by their place below /run, and a /tmp."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    temporary: bool = False


def start(
    arguments: Sequence[str], mounts: Mounts, environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Run the image's entry point with these arguments, in a container; output goes to ``log``."""
    entry_point = (sys.executable, "-m", "weighmaster")
    drop = ("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")
    command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", *drop, *entry_point, *arguments]
    script = "\n".join([*_mounting(mounts), f"exec {shlex.join(command)}"])
    with log.open("ab") as output:
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script],
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": "/", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _mounting(mounts: Mounts) -> list[str]:
    """Commands that make the container's view; in the end the root is read-only."""
    held = [Path(sys.base_prefix), _ROOT]
    lines = ["mount -t tmpfs -o mode=755 tmpfs /run"]
    for place, source in mounts.folders.items():
        target = _below_run(place)
        lines += [
            f"mkdir -p {shlex.quote(str(target))}",
            f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))}",
        ]
    covers = {path: _cover(path, mounts) for path in held}
    kept = {path: _RUN / f".held-{number}" for number, path in enumerate(held)}
    for path, keep in kept.items():
        if covers[path] is not None:
            lines += [f"mkdir {keep}", f"mount --bind {shlex.quote(str(path))} {keep}"]
    for cover in dict.fromkeys(cover for cover in covers.values() if cover is not None):
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(cover))}")
    if mounts.temporary:
        # Hides what this machine has in its own, the project's tests among it.
        lines.append(f"mount -t tmpfs -o mode=1777 tmpfs {_TEMPORARY}")
    for path, keep in kept.items():
        if covers[path] is not None:
            where = shlex.quote(str(path))
            lines += [f"mkdir -p {where}", f"mount --bind {keep} {where}"]
    return [*lines, "mount -o remount,bind,ro /"]


def _cover(path: Path, mounts: Mounts) -> Path | None:
    """The folder above a path that an empty one has to take the place of, if any.

    One that nobody but its owner could go into, or the container's own /tmp, which would hide it.
    """
    if mounts.temporary and _TEMPORARY in path.parents:
        return _TEMPORARY
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & 1), None)


def _below_run(place: str) -> Path:
    path = Path("/", place)
    if path.parts[:3] == ("/", "var", "run"):
        path = _RUN.joinpath(*path.parts[3:])
    if path.parts[:2] != ("/", "run"):
        raise AssertionError(f"{place} would have to be made on a read-only root; mount below /run")
    return path
