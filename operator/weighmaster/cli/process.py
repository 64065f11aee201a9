"""Options of every role that runs for long: where it answers for its health, and what it logs."""

from collections.abc import Callable
from pathlib import Path

import click

from weighmaster.settings import WebhookSettings

_DEFAULTS = WebhookSettings(certificate=Path(), key=Path())


def process_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options ``--health-host``, ``--health-port`` and ``--log-level``."""
    options = (
        click.option(
            "--health-host",
            default=_DEFAULTS.health_host,
            show_default=True,
            help="Address for health.",
        ),
        click.option(
            "--health-port",
            default=_DEFAULTS.health_port,
            show_default=True,
            help="Port for health and metrics, plain HTTP.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            default=_DEFAULTS.log_level,
            show_default=True,
            help="Log from this level upwards.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
