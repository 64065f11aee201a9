"""What containers of ours say while they work, and in the end: progress, log, verdict."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import structlog

from weighmaster.core.mounted import Result, Verdict, encode_verdict

EXIT_CODES = {Result.VERIFIED: 0, Result.REFUSED: 1, Result.FAILED: 2}

REPORT_EVERY = 10.0
"""Seconds between lines about progress."""

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a container that was told to end, as shells have it."""

_log = structlog.get_logger()


def end_when_told() -> None:
    """End at once on SIGTERM, which the first process of a container is deaf to by default.

    Nothing has to be put in order: whoever comes next believes nothing that was left.
    """
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(TERMINATED))


class Reporter:
    """Says how far ``doing`` something is, now and then. Called from several threads."""

    def __init__(self, doing: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._doing = doing
        self._clock = clock
        self._lock = Lock()
        self._done = 0
        self._total = 0
        self._started = self._told = clock()

    def __call__(self, count: int, total: int) -> None:
        """Add bytes, of so many in all."""
        with self._lock:
            now = self._clock()
            if total != self._total or self._done >= self._total:  # the next place
                self._done, self._total, self._started, self._told = 0, total, now, now
            self._done += count
            if now - self._told < REPORT_EVERY:
                return
            self._told = now
            rate = self._done / (now - self._started)
            done = self._done
        _log.info(
            self._doing,
            gigabytes=round(done / 1e9, 2),
            of=round(total / 1e9, 2),
            gigabytes_per_second=round(rate / 1e9, 2),
            seconds_left=round((total - done) / rate),
        )


def tell(verdict: Verdict) -> None:
    """Log what was verified, and what was not."""
    for each in verdict.verified:
        _log.info(
            "verified",
            reference=each.reference,
            store=each.store,
            digest=each.digest,
            signed_by=each.signed_by,
            files=each.files,
            bytes=each.bytes,
            seconds=each.seconds,
        )
    if verdict.result is not Result.VERIFIED:
        _log.error(
            verdict.result.value,
            reference=verdict.reference,
            store=verdict.store,
            reason=verdict.reason,
            message=verdict.message,
        )


def leave(verdict: Verdict, path: Path) -> None:
    """Write a verdict to where the kubelet looks for it."""
    try:
        path.write_bytes(encode_verdict(verdict))
    except OSError as error:
        _log.error("the verdict cannot be written", path=str(path), error=error.strerror)
