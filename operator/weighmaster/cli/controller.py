"""``weighmaster controller``: the role that reconciles our resources."""

import asyncio

import click
import uvloop

from weighmaster.handlers.controller import run_controller
from weighmaster.settings import ControllerSettings
from weighmaster.telemetry import configure_logging


@click.command()
@click.option("--health-host", default="0.0.0.0", show_default=True, help="Address for health.")  # noqa: S104
@click.option("--health-port", default=8081, show_default=True, help="Port for health, metrics.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Log from this level upwards.",
)
def controller(health_host: str, health_port: int, log_level: str) -> None:
    """Run the controller (kopf) in a cluster.

    It logs in by its service account or else by a kubeconfig.
    """
    configure_logging(log_level)
    settings = ControllerSettings(health_host=health_host, health_port=health_port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_controller(settings))
