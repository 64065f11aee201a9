"""One file on its way from the hub to the disk, hashed as it comes."""

import asyncio
import errno
import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from types import TracebackType
from typing import Self

from weighmaster.core.content.reading import Span
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import shown
from weighmaster.errors import StagingError, StagingReason, VerificationError
from weighmaster.gather.survey import Entry

BUFFER_BYTES = 1024 * 1024

Report = Callable[[int], None]
"""Told of bytes that are on the disk and hashed; negative for those that have to be had again."""


class Part:
    """A file that is being downloaded; use it as an asynchronous context manager.

    It is a sink for the HTTP client. What lies there from an earlier attempt is hashed again, not
    trusted, and only what follows is wanted. Writing and hashing go on in a thread while the next
    bytes come in. Its methods raise StagingError for what the disk does.
    """

    def __init__(self, path: Path, entry: Entry, executor: Executor, report: Report) -> None:
        self._path = path
        self._entry = entry
        self._executor = executor
        self._report = report
        self._at = 0
        self._pending: asyncio.Future[None] | None = None
        self._file = -1
        self._begin()

    def _begin(self) -> None:
        self._sha256 = hashlib.sha256()
        self._blob = hashlib.sha1(b"blob %d\x00" % self._entry.size, usedforsecurity=False)
        self._at = 0

    async def __aenter__(self) -> Self:
        await self._run(self._open)
        try:
            await self._run(self._hash_kept)
        except BaseException:
            os.close(self._file)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pending is not None:  # a thread that still writes must not find another file
            await asyncio.wait([self._pending])
            self._pending.exception()
        os.close(self._file)

    @property
    def span(self) -> Span:
        """What is still wanted of the file."""
        return Span(self._at, self._entry.size - self._at)

    async def take(self, part: bytes) -> None:
        """Take the next bytes. They are written and hashed when the next call returns."""
        await self._settle()
        self._at += len(part)
        loop = asyncio.get_running_loop()
        self._pending = loop.run_in_executor(self._executor, self._guarded, self._keep, part)

    async def is_as_listed(self) -> bool:
        """Whether the whole file is what the hub lists, by SHA-256 or else by git blob id."""
        await self._settle()
        return self._is_as_listed

    @property
    def _is_as_listed(self) -> bool:
        if self._entry.sha256:
            return self._sha256.hexdigest() == self._entry.sha256
        return self._blob.hexdigest() == self._entry.blob

    async def start_over(self) -> None:
        """Throw away what there is."""
        await self._settle()
        self._report(-self._at)
        self._begin()
        await self._run(self._empty)

    async def finish(self) -> str:
        """The SHA-256 (hex) of the whole file, which is on the disk by now.

        Raises VerificationError, and the file is gone, when its bytes are not those listed.
        """
        await self._settle()
        if not self._is_as_listed:
            await self._run(self._drop)
            name = self._entry.name
            raise VerificationError(
                VerificationReason.MISMATCH,
                f"{shown(name)} came with other bytes than the hub lists for it",
                (name,),
            )
        await self._run(self._sync)
        return self._sha256.hexdigest()

    async def _settle(self) -> None:
        if (pending := self._pending) is not None:
            await asyncio.shield(pending)
            self._pending = None

    async def _run(self, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._guarded, work)

    def _guarded(self, work: Callable[..., None], *arguments: bytes) -> None:
        try:
            work(*arguments)
        except OSError as error:
            raise refused_by_disk(error, self._entry.name) from None

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # O_NOFOLLOW, O_NONBLOCK: a link or a pipe in its place must not lead us elsewhere or hang.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o644)
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            os.close(self._file)
            raise OSError(errno.EINVAL, "not a plain file")

    def _hash_kept(self) -> None:
        if os.fstat(self._file).st_size > self._entry.size:
            self._empty()
        buffer = memoryview(bytearray(BUFFER_BYTES))
        while count := os.readv(self._file, [buffer]):
            self._hash(buffer[:count])
            self._at += count

    def _keep(self, part: bytes) -> None:
        left = memoryview(part)
        while left:
            left = left[os.write(self._file, left) :]
        self._hash(memoryview(part))

    def _hash(self, part: memoryview) -> None:
        self._sha256.update(part)
        if self._entry.sha256 is None:
            self._blob.update(part)
        self._report(len(part))

    def _empty(self) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)

    def _drop(self) -> None:
        self._path.unlink()

    def _sync(self) -> None:
        os.fsync(self._file)


def refused_by_disk(error: OSError, name: str) -> StagingError:
    """What an error of the volume means for whoever runs the pod."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StagingError(
            StagingReason.VOLUME_FULL,
            f"the volume is full; {shown(name)} does not fit. Its node or its sizeLimit has too"
            " little room for the model",
        )
    what = os.strerror(error.errno) if error.errno else "no reason given"
    return StagingError(
        StagingReason.VOLUME_UNUSABLE, f"{shown(name)} cannot be kept on the volume: {what}"
    )
