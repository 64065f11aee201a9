"""``weighmaster verify-mounted``: what the container runs that Weighmaster adds to pods."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import click
import structlog

from weighmaster.core.mounted import (
    MOUNTS,
    TERMINATION_LOG,
    VARIABLE,
    Result,
    Verdict,
    decode_expectations,
    encode_verdict,
)
from weighmaster.telemetry import configure_logging
from weighmaster.verifying.hashing import Hashing
from weighmaster.verifying.mounted import Work, verify_expectations

EXIT_CODES = {Result.VERIFIED: 0, Result.REFUSED: 1, Result.FAILED: 2}

REPORT_EVERY = 10.0
"""Seconds between lines about progress."""

_log = structlog.get_logger()


@click.command("verify-mounted")
@click.option(
    "--mounts",
    type=click.Path(path_type=Path),
    default=MOUNTS,
    show_default=True,
    help="Folder under which the volumes are mounted.",
)
@click.option(
    "--termination-log",
    type=click.Path(path_type=Path),
    default=TERMINATION_LOG,
    show_default=True,
    help="File for the verdict; the kubelet puts it into the pod's status.",
)
@click.option("--threads", type=click.IntRange(1, 64), help="Default: the processors there are.")
def verify_mounted(mounts: Path, termination_log: Path, threads: int | None) -> None:
    """Verify mounted weights before their server starts.

    This is what runs in the container that Weighmaster adds to pods. What the weights must be is in
    the variable WEIGHMASTER_EXPECTATIONS, written at admission. Nothing is fetched from anywhere
    and nothing is kept: a container that is killed starts again from the beginning.

    Exit codes: 0 all as expected, 1 not as expected, 2 the expectations cannot be used.
    """
    configure_logging("info")
    hashing = Hashing(threads, Reporter())
    try:
        expectations = decode_expectations(os.environ.get(VARIABLE, ""))
    except ValueError:
        message = f"{VARIABLE} does not hold what Weighmaster has written there"
        verdict = Verdict(result=Result.FAILED, reason="Malformed", message=message)
    else:
        work = Work(mounts=mounts, now=datetime.now(UTC), hashing=hashing)
        verdict = verify_expectations(expectations, work)
    _tell(verdict)
    _leave(verdict, termination_log)
    raise SystemExit(EXIT_CODES[verdict.result])


class Reporter:
    """Says how far hashing is, now and then. Called from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
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
            "verifying",
            gigabytes=round(done / 1e9, 2),
            of=round(total / 1e9, 2),
            gigabytes_per_second=round(rate / 1e9, 2),
            seconds_left=round((total - done) / rate),
        )


def _tell(verdict: Verdict) -> None:
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


def _leave(verdict: Verdict, path: Path) -> None:
    try:
        path.write_bytes(encode_verdict(verdict))
    except OSError as error:
        _log.error("the verdict cannot be written", path=str(path), error=error.strerror)
