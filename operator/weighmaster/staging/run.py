"""All models of a pod, one after the other, and the verdict on them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct, structs

from weighmaster.core import references
from weighmaster.core.mounted import Result, Verdict, Weighed
from weighmaster.core.staged import TOKEN, Downloads
from weighmaster.errors import (
    AuthorityError,
    GatherError,
    SettingsError,
    StagingError,
    VerificationError,
    WeighmasterError,
)
from weighmaster.gather.addresses import Lookup, look_up
from weighmaster.gather.client import HttpClient
from weighmaster.gather.credentials import Credential, authority_of
from weighmaster.gather.hf_files import Commit, CommitFiles
from weighmaster.gather.pace import Clock
from weighmaster.staging.hub import hub_settings
from weighmaster.staging.model import Engine, Model
from weighmaster.staging.part import refused_by_disk
from weighmaster.staging.volume import forget_hidden
from weighmaster.verifying.hashing import Progress


class Work(Struct, frozen=True, kw_only=True):
    """How to stage: the volume, the hub's token, files at a time, whom to tell, and the time."""

    volume: Path
    token: str = ""
    streams: int = 4
    progress: Progress = lambda _count, _total: None
    clock: Clock = Clock()
    lookup: Lookup = look_up

    def __repr__(self) -> str:
        """Without the token: it may end up in a traceback."""
        return f"Work(volume={self.volume!r})"


async def stage_models(downloads: Downloads, work: Work) -> Verdict:
    """Download all models; the first that is not as expected ends it. Never raises."""
    started = work.clock.monotonic()
    weighed: list[Weighed] = []
    verdict = Verdict(result=Result.VERIFIED)
    try:
        await _stage_all(downloads, work, weighed)
    except WeighmasterError as error:
        verdict = _verdict(error)
    except OSError as error:
        verdict = _verdict(refused_by_disk(error, str(work.volume)))
    if verdict.result is not Result.VERIFIED:
        reference = downloads.models[min(len(weighed), len(downloads.models) - 1)].reference
        verdict = structs.replace(verdict, reference=reference)
    return structs.replace(
        verdict, verified=tuple(weighed), seconds=round(work.clock.monotonic() - started, 3)
    )


async def _stage_all(downloads: Downloads, work: Work, weighed: list[Weighed]) -> None:
    settings = hub_settings(downloads.hub)
    endpoint = settings.endpoint("hf")
    credential = _credential(authority_of(endpoint), work.token)
    with ThreadPoolExecutor(work.streams, thread_name_prefix="part") as executor:
        engine = Engine(work.streams, executor, work.progress)
        async with HttpClient(settings, clock=work.clock, lookup=work.lookup) as client:
            for download in downloads.models:
                started = work.clock.monotonic()
                reference = references.parse(download.reference)
                repository = reference.location.removeprefix("hf://")
                commit = Commit(endpoint, repository, reference.revision or "")
                files = CommitFiles(client, commit, credential)
                outcome = await Model(download, files, work.volume).stage(engine)
                weighed.append(
                    Weighed(
                        reference=download.reference,
                        digest=outcome.digest,
                        files=outcome.files,
                        bytes=outcome.bytes,
                        seconds=round(work.clock.monotonic() - started, 3),
                    )
                )
    forget_hidden(work.volume)


def _credential(host: str, token: str) -> Credential | None:
    token = token.strip()
    if not token.isprintable():
        raise SettingsError(f"{TOKEN}: holds a line break or control character")
    return Credential(host, token) if token else None


def _verdict(error: WeighmasterError) -> Verdict:
    """What an error says: other bytes than expected, or nothing, since nothing could be had."""
    verdict = Verdict(result=Result.FAILED, message=str(error), reason="Malformed")
    if isinstance(error, VerificationError):
        return structs.replace(
            verdict, result=Result.REFUSED, reason=error.reason.value, files=error.files
        )
    if isinstance(error, AuthorityError):
        return structs.replace(verdict, reason="AuthorityUnusable")
    if isinstance(error, GatherError | StagingError):
        return structs.replace(verdict, reason=str(error.reason))
    return verdict
