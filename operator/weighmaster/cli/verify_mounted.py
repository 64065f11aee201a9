"""``weighmaster verify-mounted``: what the container runs that Weighmaster adds to pods."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from weighmaster.cli.verdicts import EXIT_CODES, Reporter, end_when_told, leave, tell
from weighmaster.core.mounted import (
    MOUNTS,
    TERMINATION_LOG,
    VARIABLE,
    Result,
    Verdict,
    decode_expectations,
)
from weighmaster.telemetry import configure_logging
from weighmaster.verifying.hashing import Hashing
from weighmaster.verifying.mounted import Work, verify_expectations


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
    end_when_told()
    hashing = Hashing(threads, Reporter("verifying"))
    try:
        expectations = decode_expectations(os.environ.get(VARIABLE, ""))
    except ValueError:
        message = f"{VARIABLE} does not hold what Weighmaster has written there"
        verdict = Verdict(result=Result.FAILED, reason="Malformed", message=message)
    else:
        work = Work(mounts=mounts, now=datetime.now(UTC), hashing=hashing)
        verdict = verify_expectations(expectations, work)
    tell(verdict)
    leave(verdict, termination_log)
    raise SystemExit(EXIT_CODES[verdict.result])
