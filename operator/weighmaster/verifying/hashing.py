"""Hashing files as fast as the processors allow, in flat memory.

SHA-256 is serial, so one file is one core's work; the largest come first so that none is left to
the end alone. hashlib lets go of the GIL, so threads suffice. ``readinto`` a buffer that is used
again beats ``mmap`` (which maps page by page) and reading into new objects (NOTES-signing 4).
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event, local
from typing import Protocol

from msgspec import Struct

from weighmaster.core.verify.compare import File
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError
from weighmaster.verifying.tree import TreeFile, stamp

BUFFER_BYTES = 1024 * 1024
MAX_THREADS = 64

Progress = Callable[[int, int], None]
"""Called from several threads with the bytes hashed since the last call, and those in all."""


class Hashing(Struct, frozen=True):
    """How to hash: by how many threads (as many as ``processors()`` by default), telling whom."""

    threads: int | None = None
    progress: Progress = lambda _count, _total: None


AS_FAST_AS_POSSIBLE = Hashing()


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


def algorithms() -> frozenset[str]:
    """The hash algorithms that files can be hashed with here, by their OMS names.

    BLAKE3 needs the extra ``weighmaster[blake3]``: no hub lists it, so admission never does.
    """
    try:
        import blake3  # noqa: F401, PLC0415 - an optional package
    except ImportError:
        return frozenset({"sha256", "blake2b"})
    return frozenset({"sha256", "blake2b", "blake3"})


def _new(algorithm: str) -> _Hash:
    if algorithm == "blake3":
        from blake3 import blake3  # noqa: PLC0415 - an optional package

        return blake3()
    return hashlib.new(algorithm, usedforsecurity=True)


def processors() -> int:
    """How many processors this process may use: affinity, and the cgroup's CPU quota."""
    # macOS has no affinity, and `kubectl weighmaster verify` runs there too.
    affinity = getattr(os, "sched_getaffinity", None)
    available = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(available, quota or available, MAX_THREADS))


def _cgroup_quota() -> int | None:
    """CPUs of the cgroup's quota, rounded up; None where there is none (v2, else v1)."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = Path("/sys/fs/cgroup/cpu")
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not limit.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return -(-int(limit) // int(period))


def hash_files(
    files: Iterable[TreeFile],
    algorithm: str = "sha256",
    hashing: Hashing = AS_FAST_AS_POSSIBLE,
) -> Mapping[str, File]:
    """The files of a tree with their digests, by name.

    Raises VerificationError: Unreadable, ChangedWhileReading; the first of any file ends all.
    """
    ordered = sorted(files, key=lambda file: -file.size)
    total = sum(file.size for file in ordered)
    buffers, stop = local(), Event()

    def report(count: int) -> None:
        hashing.progress(count, total)

    def digest(file: TreeFile) -> tuple[str, File]:
        if not hasattr(buffers, "view"):
            buffers.view = memoryview(bytearray(BUFFER_BYTES))
        hexdigest = _hash_file(file, algorithm, buffers.view, report, stop)
        return file.name, File(hexdigest, file.size, algorithm, file.symlink)

    workers = max(1, min(hashing.threads or processors(), len(ordered) or 1))
    with ThreadPoolExecutor(workers, thread_name_prefix="hash") as pool:
        futures = [pool.submit(digest, file) for file in ordered]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return dict(future.result() for future in futures)


def _hash_file(
    file: TreeFile, algorithm: str, buffer: memoryview, report: Callable[[int], None], stop: Event
) -> str:
    """The digest of one file, hex; it must be the plain file that was seen, before and after."""
    hasher = _new(algorithm)
    try:
        # O_NONBLOCK: a pipe put in the file's place must not hang us. O_NOFOLLOW: nor a link.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(file.path, flags), "rb", buffering=0) as source:  # noqa: PTH123
            before = os.fstat(source.fileno())
            if not stat.S_ISREG(before.st_mode) or stamp(before) != file.stamp:
                raise changed(file.name)
            while (count := source.readinto(buffer)) and not stop.is_set():
                hasher.update(buffer[:count])
                report(count)
            after = os.fstat(source.fileno())
    except OSError:
        raise VerificationError(
            VerificationReason.UNREADABLE, f"{shown(file.name)} cannot be read", (file.name,)
        ) from None
    if stamp(after) != file.stamp:
        raise changed(file.name)
    return hasher.hexdigest()


def changed(name: str) -> VerificationError:
    """The failure of a file that is not what it was when it was first looked at."""
    message = f"{shown(name)} changed while it was read"
    return VerificationError(VerificationReason.CHANGED_WHILE_READING, message, (name,))
