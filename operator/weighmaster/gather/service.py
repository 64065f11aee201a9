"""The gatherer: one gathering for all who ask, kept for as long as it holds."""

import asyncio
import hashlib
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import structlog
from msgspec import Struct, structs

from weighmaster.core.evidence import Evidence, Unavailable, UnavailableReason
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather.addresses import Lookup, look_up
from weighmaster.gather.client import HttpClient
from weighmaster.gather.credentials import NONE, Credentials
from weighmaster.gather.hf import HuggingFace
from weighmaster.gather.modelscope import ModelScope
from weighmaster.gather.ngc import Ngc
from weighmaster.gather.oci import OciRegistry
from weighmaster.gather.ollama import Ollama
from weighmaster.gather.pace import Clock
from weighmaster.gather.settings import GatherSettings, Holding

_log = structlog.get_logger("gather")

JITTER = 0.2
"""Share of a time to live that is spread, so that what was gathered together expires apart."""


class Resolver(Protocol):
    """Whoever finds out about references. It never raises for what the outside does."""

    async def resolve(
        self, reference: ModelReference, credentials: Credentials = NONE
    ) -> Evidence | Unavailable:
        """Evidence, or why there is none."""
        ...


class Source(Protocol):
    """One kind of hub."""

    async def gather(
        self, reference: ModelReference, credentials: Credentials, known: Evidence | None
    ) -> Evidence:
        """Evidence as of now, without its times. Raises GatherError."""
        ...


class _Kept(Struct, frozen=True):
    result: Evidence | Unavailable
    known: Evidence | None
    """The last evidence, for a conditional request: after a failure it is not given out."""
    until: float
    """Monotonic time; infinite for what holds for ever."""
    weight: int
    """Roughly its size in memory, bytes."""


_Key = tuple[str, bytes]


class Gatherer:
    """Resolves references. Use it as an asynchronous context manager, one for a process.

    ``on_gathered`` is told of every time that a hub was asked: which one, by its scheme, and
    ``evidence`` or the reason why there is none.

    Results are kept in memory: evidence for as long as it holds, failures for a while. Requests
    for what is being gathered wait for it. What one set of credentials saw is never given to
    another.
    """

    def __init__(
        self,
        settings: GatherSettings,
        *,
        clock: Clock | None = None,
        lookup: Lookup = look_up,
        on_gathered: Callable[[str, str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._on_gathered = on_gathered
        self._clock = clock or Clock()
        self._client = HttpClient(settings, clock=self._clock, lookup=lookup)
        self._sources: dict[str, Source] = sources(self._client)
        self._running: dict[_Key, asyncio.Task[Evidence | Unavailable]] = {}
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._weight = 0
        self._slots = asyncio.Semaphore(settings.gathers)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.__aexit__(kind, error, trace)

    async def resolve(
        self,
        reference: ModelReference,
        credentials: Credentials = NONE,
        *,
        refresh: bool = False,
    ) -> Evidence | Unavailable:
        """Evidence about a reference, or why there is none.

        Answered from memory while that holds; ``refresh`` asks again nevertheless (but joins a
        gathering that is under way). Cancelling one caller does not disturb the others.
        """
        key = (reference.canonical, credentials.fingerprint)
        if (task := self._running.get(key)) is None:
            kept = self._kept.get(key)
            if kept is not None and not refresh and self._clock.monotonic() < kept.until:
                self._kept.move_to_end(key)
                return kept.result
            known = kept.known if kept is not None else None
            task = asyncio.create_task(self._gather(reference, credentials, known))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    def forget(self, reference: str | None = None) -> None:
        """Drop what is kept about a canonical reference, or everything."""
        for key in [key for key in self._kept if reference in (None, key[0])]:
            self._weight -= self._kept.pop(key).weight

    def _finished(self, key: _Key, task: "asyncio.Task[Evidence | Unavailable]") -> None:
        self._running.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        result = task.result()
        self._tell(key[0].partition(":")[0], result)
        previous = self._kept.get(key)
        known = previous.known if previous is not None else None
        if isinstance(result, Evidence):
            known = result
        until = self._clock.monotonic() + self._holds(result)
        kept = _Kept(result, known, until, _weight_of(known))
        self._weight += kept.weight - (previous.weight if previous else 0)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while self._weight > self._settings.cache_bytes and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._weight -= dropped.weight

    def _tell(self, hub: str, result: Evidence | Unavailable) -> None:
        outcome = "evidence" if isinstance(result, Evidence) else result.reason.value
        asked = outcome != UnavailableReason.UNSUPPORTED_SCHEME
        if self._on_gathered is not None and asked:
            self._on_gathered(hub, outcome)

    def _holds(self, result: Evidence | Unavailable) -> float:
        if isinstance(result, Unavailable):
            return holding_of(result, self._settings.holding)
        ends = [end for end in (result.expires_at, result.signatures_expire_at) if end is not None]
        return min(ends) - result.fetched_at if ends else float("inf")

    async def _gather(
        self, reference: ModelReference, credentials: Credentials, known: Evidence | None
    ) -> Evidence | Unavailable:
        source = self._sources.get(reference.scheme)
        if source is None or (not reference.known and reference.scheme not in ALWAYS_ASKED):
            return self._unavailable(
                reference,
                GatherError(
                    UnavailableReason.UNSUPPORTED_SCHEME,
                    f"nothing can be fetched for {reference.scheme}: references; state the facts in"
                    " a ModelRecord",
                ),
            )
        try:
            async with self._slots, asyncio.timeout(self._settings.timeouts.gather):
                evidence = await source.gather(reference, credentials, known)
        except TimeoutError:
            limit = self._settings.timeouts.gather
            error = GatherError(
                UnavailableReason.UNREACHABLE,
                f"gathering took longer than {limit:.0f} s",
                retry_after=self._settings.holding.unreachable,
            )
            return self._unavailable(reference, error)
        except GatherError as error:
            return self._unavailable(reference, error)
        except Exception as error:  # noqa: BLE001 - one model must not end the gathering of all
            # Where, not what: the text of an exception may hold a token or a whole answer.
            _log.error("gathering failed", reference=reference.canonical, where=_where(error))
            fault = GatherError(UnavailableReason.FAILED, "gathering failed; see the log")
            return self._unavailable(reference, fault)
        return self._dated(reference, evidence)

    def _dated(self, reference: ModelReference, evidence: Evidence) -> Evidence:
        now = self._clock.wall()
        spread = 1 - JITTER * _share(reference.canonical)
        holding = self._settings.holding
        beside = evidence.signatures_expire_at is not None
        return structs.replace(
            evidence,
            fetched_at=now,
            # A proposal may be merged, and a mirror learn to tell: only what is placed stays so.
            expires_at=None
            if reference.pinned and evidence.placed
            else now + holding.moving * spread,
            signatures_expire_at=now + holding.signatures * spread if beside else None,
        )

    def _unavailable(self, reference: ModelReference, error: GatherError) -> Unavailable:
        _log.info(
            "no evidence", reference=reference.canonical, reason=error.reason, status=error.status
        )
        return Unavailable(
            reference=reference.canonical,
            reason=UnavailableReason(error.reason),
            message=error.message,
            at=self._clock.wall(),
            retry_after=error.retry_after,
        )


ALWAYS_ASKED = frozenset({"image-embedded"})
"""Schemes that name no weights, yet name something that can be looked at."""


def sources(client: HttpClient) -> dict[str, Source]:
    """Who gathers for which scheme."""
    oci = OciRegistry(client)
    return {
        "hf": HuggingFace(client),
        "modelscope": ModelScope(client),
        "ngc": Ngc(client),
        "ollama": Ollama(client),
        "oci": oci,
        "image-embedded": oci,
    }


def holding_of(failure: Unavailable, holding: Holding) -> float:
    """Seconds for which a failure is remembered."""
    times = {
        UnavailableReason.NOT_FOUND: holding.missing,
        UnavailableReason.UNAUTHORIZED: holding.unauthorized,
        UnavailableReason.UNREACHABLE: holding.unreachable,
        UnavailableReason.RATE_LIMITED: holding.unreachable,
    }
    return max(times.get(failure.reason, holding.refused), failure.retry_after or 0.0)


def _where(error: BaseException) -> str:
    """The type of an exception and the line that raised it; the first one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    line = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {line}"


def _share(text: str) -> float:
    """A number in 0..1 that is always the same for one text: jitter without randomness."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def _weight_of(result: Evidence | None) -> int:
    if result is None:
        return 1024
    names = sum(sys.getsizeof(file.name) + 200 for file in result.files)
    return 16_384 + names + sum(len(found.content) + 512 for found in result.signatures)
