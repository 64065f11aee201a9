"""``weighmaster stage``: what the container runs that downloads models for a pod's servers."""

import asyncio
import os
from pathlib import Path

import click
import uvloop

from weighmaster.cli.verdicts import EXIT_CODES, Reporter, end_when_told, leave, tell
from weighmaster.core.mounted import TERMINATION_LOG, Result, Verdict
from weighmaster.core.staged import MODELS, TOKEN, VARIABLE, decode_downloads
from weighmaster.staging.run import Work, stage_models
from weighmaster.telemetry import configure_logging


@click.command()
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    default=MODELS,
    show_default=True,
    help="Folder at which the volume for the models is mounted.",
)
@click.option(
    "--termination-log",
    type=click.Path(path_type=Path),
    default=TERMINATION_LOG,
    show_default=True,
    help="File for the verdict; the kubelet puts it into the pod's status.",
)
@click.option(
    "--streams",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="Files to download at a time.",
)
def stage(models: Path, termination_log: Path, streams: int) -> None:
    """Download models and verify them, before their server starts.

    This is what runs in the container that Weighmaster adds to pods whose servers would download
    from a hub. Which models at which commit, and what their files must be, is in the variable
    WEIGHMASTER_DOWNLOADS, written at admission; the hub's token is in HF_TOKEN where the hub wants
    one. A model gets its name on the volume when all of it is verified, in one step. A container
    that is killed goes on where it was, after it has verified what is there.

    Exit codes: 0 all as expected, 1 not as expected, 2 it could not be downloaded.
    """
    configure_logging("info")
    os.umask(0o022)  # whoever the servers run as has to read it
    end_when_told()
    try:
        downloads = decode_downloads(os.environ.get(VARIABLE, ""))
    except ValueError:
        message = f"{VARIABLE} does not hold what Weighmaster has written there"
        verdict = Verdict(result=Result.FAILED, reason="Malformed", message=message)
    else:
        work = Work(
            volume=models,
            token=os.environ.get(TOKEN, ""),
            streams=streams,
            progress=Reporter("downloading"),
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            verdict = runner.run(stage_models(downloads, work))
    tell(verdict)
    leave(verdict, termination_log)
    raise SystemExit(EXIT_CODES[verdict.result])
