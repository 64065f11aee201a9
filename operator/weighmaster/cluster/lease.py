"""Leader election by a Lease (coordination.k8s.io/v1), after client-go's ``leaderelection``.

Why two never lead at once. A leader acts until ``renew_deadline`` after it *sent* its last
confirmed write. Others count the longer ``lease_duration`` from when they *received* that write,
each on its own monotonic clock: times in the record are for people to read. Every write carries the
resource version that was read before it, so of two that try at once one fails; one that arrives
late fails or only prolongs what it finds. The difference of the two durations is for the leader's
work to end; work that does not ends with its process.

What this cannot do: code that blocks the event loop, or a process that was frozen, notices late.
``Lease.leading`` asks the clock itself; ask it before a write that must not come from two. And who
deletes the Lease of a living leader lets a process that starts at this moment lead as well; those
that already wait know better.
"""

import asyncio
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec
import structlog
from msgspec import Struct

from weighmaster.errors import ClusterError, LeaseLostError, SettingsError

API_VERSION = "coordination.k8s.io/v1"

JITTER = (0.8, 1.2)
"""Factors of the retry period; candidates that were started together drift apart."""

RELEASE_TRIES = 3
"""A renewal that was under way when the work ended may still arrive, and change the version."""

_log = structlog.get_logger()

Json = dict[str, Any]
_T = TypeVar("_T")


class LeaseApi(Protocol):
    """What is needed of a client; failures are ClusterError with the HTTP status."""

    async def get(self, path: str, /) -> Json:
        """One object; 404 when it is not there."""

    async def create(self, collection: str, body: Mapping[str, Any], /) -> Json:
        """Create an object; 409 when it is there already."""

    async def replace(self, path: str, body: Mapping[str, Any], /) -> Json:
        """Write an object; 409 when it has changed since its ``metadata.resourceVersion``."""


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds; the defaults fail over in less than 15.

    Fail-over takes at most ``lease_duration`` plus one retry period and its jitter; at most one
    retry period after a clean stop. (With 15, 10 and 2, the defaults of Kubernetes' own components,
    it may take 17.4.)
    """

    lease_duration: int = 12
    renew_deadline: float = 8.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what would let two lead, or none keep the lead."""
        if not 0 < self.retry_period * JITTER[1] < self.renew_deadline < self.lease_duration:
            raise SettingsError(
                "lease: the retry period with its jitter must be shorter than the renew deadline,"
                " and that shorter than the lease duration"
            )

    @property
    def attempt(self) -> float:
        """How long one attempt may take, so that one silent connection leaves time for another."""
        return self.renew_deadline / 2

    @property
    def grace(self) -> float:
        """How long after a confirmed write work must have ended: just before others may start."""
        return self.renew_deadline + 0.9 * (self.lease_duration - self.renew_deadline)


def end_process() -> None:
    """End this process on the spot."""
    _log.critical("work goes on without a lease; ending the process")
    os._exit(1)


class Process(Struct, frozen=True, kw_only=True):
    """What a Lease uses of the process around it.

    ``on_change`` is told whether it leads, when that changes. ``on_overstay`` is called when work
    has not ended although another may soon lead; it should not return.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    on_change: Callable[[bool], None] = lambda _leading: None
    on_overstay: Callable[[], None] = end_process


class _Metadata(Struct, frozen=True, rename="camel"):
    resource_version: str


class _Spec(Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Record(Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec = _Spec()


class Lease:
    """A candidate for one Lease. No two may have the same identity; it runs once at a time."""

    def __init__(
        self,
        api: LeaseApi,
        namespace: str,
        name: str,
        *,
        identity: str = "",
        timing: Timing = Timing(),  # noqa: B008 - frozen
        process: Process = Process(),  # noqa: B008 - frozen
    ) -> None:
        self.identity = identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._api = api
        self._metadata = {"name": name, "namespace": namespace}
        self._collection = f"/apis/{API_VERSION}/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._timing = timing
        self._process = process
        self._log = _log.bind(lease=f"{namespace}/{name}", identity=self.identity)
        self._leading = False
        self._overstayed = False
        self._confirmed_at = float("-inf")
        self._written: Json | None = None
        self._version = ""
        self._holder = ""
        self._free_at = float("-inf")
        self._trouble = ""

    @property
    def leading(self) -> bool:
        """Whether it leads at this very moment, also when the event loop has not noticed yet."""
        return self._leading and self._left(self._timing.renew_deadline) > 0

    async def run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Wait until it leads, do the work, release the Lease and return what the work does.

        Raises LeaseLostError when the Lease was lost, after the work, which is then cancelled at
        once, has ended. When this is cancelled, so is the work; the Lease is kept until its end.
        """
        while not await self._attempt():  # noqa: ASYNC110 - each round is a request
            await asyncio.sleep(self._pause())
        self._change(leading=True)
        self._overstayed = False
        # In this order: kopf, when it ends, cancels every task that is younger than itself.
        renewing = asyncio.create_task(self._renew(), name=f"renew {self._path}")
        working = asyncio.create_task(work(), name=f"lead {self._path}")
        cancelled = await self._supervise(working, renewing)
        lost = not self._leading
        if not lost:
            self._change(leading=False)
            try:
                await self._release()
            except asyncio.CancelledError:
                cancelled = True
        why = None if renewing.cancelled() else renewing.exception()
        error = None if working.cancelled() else working.exception()
        if cancelled:
            raise error or asyncio.CancelledError
        if lost:
            message = f"the Lease {self._path} was not renewed in time"
            if isinstance(why, LeaseLostError):
                message, why = str(why), None
            raise LeaseLostError(message) from error or why
        return working.result()

    async def _supervise(self, working: asyncio.Task[_T], renewing: asyncio.Task[NoReturn]) -> bool:
        """Return when both have ended: whether we were to be cancelled meanwhile."""
        cancelled = False
        while pending := {task for task in (working, renewing) if not task.done()}:
            try:
                await asyncio.wait(
                    pending, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED
                )
            except asyncio.CancelledError:
                cancelled = True
                working.cancel()
            if working.done():
                renewing.cancel()
            elif self._leading and (renewing.done() or not self.leading):
                self._change(leading=False)
                working.cancel()
                renewing.cancel()
            elif not self._leading and not self._overstayed and self._left(self._timing.grace) <= 0:
                self._overstayed = True
                self._process.on_overstay()
        return cancelled

    def _patience(self) -> float | None:
        """Seconds until there is something to decide even if no task ends."""
        if self._overstayed:
            return None
        timing = self._timing
        return max(self._left(timing.renew_deadline if self._leading else timing.grace), 0)

    async def _renew(self) -> NoReturn:
        begun = self._process.monotonic()
        while True:
            # From beginning to beginning, so that a slow API server is asked often enough too.
            await asyncio.sleep(begun + self._pause() - self._process.monotonic())
            begun = self._process.monotonic()
            if await self._attempt() is False:
                raise LeaseLostError(f"the Lease {self._path} is held by {self._holder!r}")

    async def _attempt(self) -> bool | None:
        """Whether we hold the Lease (again) or somebody else does; None when that is not known."""
        try:
            async with asyncio.timeout(self._timing.attempt):
                held = await self._take()
        except ClusterError as error:
            self._report(str(error))
        except TimeoutError:
            self._report("the API server has not answered in time")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not meant for us but for a task inside the client: kopf's doing, see run().
            self._report("the request was cancelled")
        else:
            self._trouble = ""
            return held
        return None

    async def _take(self) -> bool:
        """Acquire or renew the Lease if it is ours or free."""
        if self._leading and self._written is not None:
            try:
                return await self._write(self._written)
            except ClusterError as error:
                if error.status not in {404, 409}:
                    raise
        stored = await self._read()
        if stored is not None:
            self._observe(stored)
        if not self._open_to_us(stored):
            return False
        return await self._write(stored)

    def _open_to_us(self, stored: Json | None) -> bool:
        if self._process.monotonic() >= self._free_at:
            return True
        # One that is not there is not free for that: its holder will put it back.
        return self._leading if stored is None else self._holder == self.identity

    async def _write(self, stored: Json | None) -> bool:
        """Make ourselves its holder until the deadline; in place of what was read or written."""
        claim = self._claim(stored)
        sent = self._process.monotonic()
        if stored is None:
            written = await self._api.create(self._collection, claim)
        else:
            written = await self._api.replace(self._path, claim)
        self._observe(written)
        if self._holder != self.identity:
            raise ClusterError(f"{self._path} was not stored as it was sent")
        if self._process.monotonic() - sent >= self._timing.renew_deadline:
            raise TimeoutError
        self._written = written
        self._confirmed_at = sent
        return True

    def _claim(self, stored: Json | None) -> Json:
        """The Lease with us as its holder."""
        duration = self._timing.lease_duration
        if stored is None:
            now = self._now("")
            return {
                "apiVersion": API_VERSION,
                "kind": "Lease",
                "metadata": self._metadata,
                "spec": {
                    "holderIdentity": self.identity,
                    "leaseDurationSeconds": duration,
                    "acquireTime": now,
                    "renewTime": now,
                    "leaseTransitions": 0,
                },
            }
        old = _record(stored).spec
        now = self._now(old.renew_time)
        changes: Json = {"holderIdentity": self.identity, "leaseDurationSeconds": duration}
        changes["renewTime"] = now
        if old.holder_identity != self.identity or not old.acquire_time:
            changes["acquireTime"] = now
        if old.holder_identity != self.identity:
            changes["leaseTransitions"] = (old.lease_transitions or 0) + 1
        return _changed(stored, changes)

    async def _release(self) -> None:
        """Let a successor lead at once. If it fails, the successor has to wait: not our problem."""
        try:
            async with asyncio.timeout(self._timing.attempt):
                for tries in range(1, RELEASE_TRIES + 1):
                    stored = await self._read()
                    if stored is None:
                        return
                    old = _record(stored).spec
                    if old.holder_identity != self.identity:
                        return
                    now = self._now(old.renew_time)
                    changes = {"holderIdentity": "", "leaseDurationSeconds": 1}
                    changes |= {"acquireTime": now, "renewTime": now}
                    try:
                        await self._api.replace(self._path, _changed(stored, changes))
                    except ClusterError as error:
                        if error.status != 409 or tries == RELEASE_TRIES:
                            raise
                    else:
                        self._log.info("lease released")
                        return
        except (ClusterError, TimeoutError) as error:
            self._log.warning("lease not released", error=str(error) or "timeout")

    async def _read(self) -> Json | None:
        try:
            return await self._api.get(self._path)
        except ClusterError as error:
            if error.status != 404:
                raise
            return None

    def _observe(self, stored: Json) -> None:
        """Take note of who holds the Lease, and for how long if it was written since last time."""
        record = _record(stored)
        holder = record.spec.holder_identity or ""
        if holder not in {"", self.identity, self._holder}:
            self._log.info("lease held by another", holder=holder)
        self._holder = holder
        if record.metadata.resource_version != self._version:
            self._version = record.metadata.resource_version
            duration = record.spec.lease_duration_seconds or self._timing.lease_duration
            self._free_at = self._process.monotonic() + (duration if holder else 0)

    def _left(self, duration: float) -> float:
        """Seconds until a duration has passed since the last confirmed write was sent."""
        return self._confirmed_at + duration - self._process.monotonic()

    def _pause(self) -> float:
        """Seconds until the next attempt."""
        pause = self._timing.retry_period * random.uniform(*JITTER)  # noqa: S311 - guards nothing
        until_free = self._free_at - self._process.monotonic()
        if self._leading or until_free <= 0:
            return pause
        return min(pause, until_free + 0.005)

    def _now(self, last: str | None) -> str:
        """The time to write. Never the last again: nobody sees a write that changes nothing."""
        now = self._process.wall().astimezone(UTC)
        text = f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"
        return text if text != last else f"{now + timedelta(microseconds=1):%Y-%m-%dT%H:%M:%S.%f}Z"

    def _change(self, *, leading: bool) -> None:
        self._leading = leading
        self._log.info("leading" if leading else "no longer leading")
        self._process.on_change(leading)

    def _report(self, trouble: str) -> None:
        """Log what goes wrong when it begins: an outage would repeat it every two seconds."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._log.warning("lease request failed", leading=self._leading, error=trouble)


def _record(stored: Json) -> _Record:
    try:
        return msgspec.convert(stored, _Record)
    except msgspec.ValidationError:
        raise ClusterError("the API server's Lease cannot be read") from None


def _changed(stored: Json, changes: Json) -> Json:
    """The same object, whatever else it has, with some fields of its spec changed."""
    return {**stored, "spec": {**(stored.get("spec") or {}), **changes}}
