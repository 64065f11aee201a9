"""One model: its listing is compared with what was decided on, then its files are fetched."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from msgspec import Struct

from weighmaster.core.staged import Download
from weighmaster.core.verify.expected import Expected, check_all, check_some
from weighmaster.core.verify.loadable import ALGORITHM, is_loadable, loadable_digest
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import listed, shown
from weighmaster.errors import (
    GatherError,
    StagingError,
    StagingReason,
    VerificationError,
    WeighmasterError,
)
from weighmaster.gather.hf_files import CommitFiles
from weighmaster.gather.settings import Caps
from weighmaster.gather.survey import Entry
from weighmaster.staging.part import Part
from weighmaster.staging.volume import Place
from weighmaster.verifying.hashing import Hashing, Progress, hash_files
from weighmaster.verifying.tree import walk


class Engine(Struct, frozen=True):
    """How to download: files at a time, threads that write and hash them, whom to tell."""

    streams: int
    executor: Executor
    progress: Progress


class Outcome(Struct, frozen=True):
    """A model that is served: the digest of its files, how many, and their bytes."""

    digest: str
    files: int
    bytes: int


class Model:
    """A model to download to its place on the volume."""

    def __init__(self, download: Download, files: CommitFiles, volume: Path) -> None:
        self._expected = Expected(download.reference, download.digest, download.fingerprints)
        self._files = files
        self._place = Place(volume, download.folder)

    async def stage(self, engine: Engine) -> Outcome:
        """Download and verify the model, and give it its name.

        What is there already from a container that has ended is verified first, and kept. Raises
        VerificationError, AuthorityError, GatherError, StagingError, OSError.
        """
        if self._place.take_back() and (found := await asyncio.to_thread(self._as_left, engine)):
            self._place.serve()
            return found
        entries = await self._list()
        kept = self._place.clean([entry.name for entry in entries])
        self._check_room(entries, kept)
        total = sum(entry.size for entry in entries)
        fetching = _Fetching(self._files, self._place.hidden, engine, total)
        small = [entry for entry in entries if entry.sha256 is None]
        digests = {entry.name: entry.sha256 for entry in entries if entry.sha256 is not None}
        digests |= await fetching.all(small)
        check_all(self._expected, digests)
        await fetching.all([entry for entry in entries if entry.sha256 is not None])
        self._check_names(digests)
        await asyncio.to_thread(self._place.serve)
        return Outcome(loadable_digest(digests), len(entries), total)

    def _as_left(self, engine: Engine) -> Outcome | None:
        """What was served already, if it is all as expected: the hub is not needed then."""
        try:
            files = walk(self._place.hidden)
            if any(file.symlink for file in files):
                return None
            hashed = hash_files(files, ALGORITHM, Hashing(progress=engine.progress))
            digests = {name: file.digest or "" for name, file in hashed.items()}
            if not all(map(is_loadable, digests)):
                return None
            check_all(self._expected, digests)
        except VerificationError:
            return None
        return Outcome(loadable_digest(digests), len(files), sum(file.size for file in files))

    async def _list(self) -> list[Entry]:
        """The files that may be loaded, of which none has been read yet.

        Raises VerificationError when they cannot be those expected.
        """
        found, gaps = await self._files.list()
        if gaps:
            raise _too_large("the hub lists more files than are read")
        entries = [entry for entry in found if is_loadable(entry.name)]
        if self._expected.fingerprints:
            check_some(
                self._expected,
                {entry.name: entry.sha256 for entry in entries if entry.sha256 is not None},
            )
        check_entries(entries, self._expected.reference)
        return entries

    def _check_room(self, entries: Iterable[Entry], kept: int) -> None:
        needed, room = sum(entry.size for entry in entries) - kept, self._place.room()
        if needed > room:
            raise StagingError(
                StagingReason.VOLUME_FULL,
                f"{self._expected.reference} needs {needed / 1e9:.2f} GB more, and the volume has"
                f" room for {room / 1e9:.2f} GB",
            )

    def _check_names(self, digests: Mapping[str, str]) -> None:
        if others := self._place.names() ^ digests.keys():
            raise VerificationError(
                VerificationReason.CHANGED_WHILE_READING,
                f"somebody else writes to the volume: {listed(others)}",
            )


def check_entries(entries: Sequence[Entry], reference: str) -> None:
    """Raise VerificationError for a listing of which no model can be made on a disk.

    Files without a SHA-256 must be few and small, as for evidence: of others none was ever known,
    so that they cannot have been decided on.
    """
    names = {entry.name for entry in entries}
    if not names:
        raise VerificationError(
            VerificationReason.MISSING_FILES, f"the hub lists no file of {reference} to load"
        )
    for name in names:
        at = name.rfind("/")
        while at > 0:
            if name[:at] in names:
                raise VerificationError(
                    VerificationReason.UNSAFE_NAME,
                    f"the hub lists {shown(name[:at])} both as a file and as a folder",
                    (name[:at],),
                )
            at = name.rfind("/", 0, at)
    caps = Caps()
    small = [entry for entry in entries if entry.sha256 is None]
    large = [entry.name for entry in small if entry.size > caps.fetched_file]
    if large:
        raise _too_large(f"the hub states no SHA-256 for large files: {listed(large)}")
    if len(small) > caps.fetched_files or sum(entry.size for entry in small) > caps.fetched_bytes:
        raise _too_large("the hub states no SHA-256 for too many files")


def _too_large(message: str) -> VerificationError:
    return VerificationError(VerificationReason.TOO_LARGE, message)


class _Fetching:
    """Downloads of files of one model, of ``total`` bytes in all."""

    def __init__(self, files: CommitFiles, folder: Path, engine: Engine, total: int) -> None:
        self._files = files
        self._folder = folder
        self._engine = engine
        self._report: Callable[[int], None] = lambda count: engine.progress(count, total)

    async def all(self, entries: Iterable[Entry]) -> dict[str, str]:
        """Fetch files, some at a time and the largest first; their SHA-256 by name.

        The first failure ends the rest, and is raised.
        """
        waiting = deque(sorted(entries, key=lambda entry: -entry.size))
        digests: dict[str, str] = {}

        async def work() -> None:
            while waiting:
                entry = waiting.popleft()
                digests[entry.name] = await self._one(entry)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._engine.streams, len(waiting))):
                    group.create_task(work())
        except* WeighmasterError as failures:
            raise gravest(failures) from None
        return digests

    async def _one(self, entry: Entry) -> str:
        path = self._folder / entry.name
        async with Part(path, entry, self._engine.executor, self._report) as part:
            kept = part.span.offset
            await self._fetch(entry, part)
            if kept and not await part.is_as_listed():
                # Kept bytes may have been damaged by whatever ended us: no fault of the hub's.
                await part.start_over()
                await self._fetch(entry, part)
            return await part.finish()

    async def _fetch(self, entry: Entry, part: Part) -> None:
        if part.span.length == 0:
            return
        try:
            await self._files.download(entry, part)
        except GatherError as error:
            message = f"{shown(entry.name)}: {error.message}"
            raise GatherError(
                error.reason, message, retry_after=error.retry_after, status=error.status
            ) from None


def gravest(failures: BaseExceptionGroup[WeighmasterError]) -> WeighmasterError:
    """The one failure to tell of several: wrong bytes outrank a hub that is down."""
    errors = [error for error in failures.exceptions if isinstance(error, WeighmasterError)]
    wrong = [error for error in errors if isinstance(error, VerificationError)]
    return (wrong or errors)[0]
