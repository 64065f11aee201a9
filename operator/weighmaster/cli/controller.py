"""``weighmaster controller``: the role that reconciles our resources and gathers evidence."""

import asyncio
from pathlib import Path
from typing import Any

import click
import uvloop

from weighmaster.errors import SettingsError
from weighmaster.gather.settings import GatherSettings
from weighmaster.handlers.role import run_controller
from weighmaster.handlers.settings import ControllerSettings
from weighmaster.telemetry import configure_logging

_DEFAULTS = ControllerSettings()


@click.command()
@click.option(
    "--health-host", default=_DEFAULTS.health_host, show_default=True, help="Address for health."
)
@click.option(
    "--health-port",
    default=_DEFAULTS.health_port,
    show_default=True,
    help="Port for health and metrics, plain HTTP.",
)
@click.option(
    "--namespace",
    default=_DEFAULTS.namespace,
    show_default=True,
    help="Weighmaster's own namespace, with the secrets that policies name.",
)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="SCHEME=URL",
    help="A mirror in place of a hub, such as hf=https://hub.bank.example. May be repeated.",
)
@click.option(
    "--internal-host",
    "internal_hosts",
    multiple=True,
    help="A host that may have a private address, HOST or HOST:PORT. May be repeated.",
)
@click.option(
    "--plain-http-host",
    "plain_http_hosts",
    multiple=True,
    help="A host to speak to without TLS, HOST or HOST:PORT. May be repeated.",
)
@click.option("--proxy", help="Proxy for everything but internal hosts, a URL.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path),
    help="Certificates to trust besides the system's, PEM.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default=_DEFAULTS.log_level,
    show_default=True,
    help="Log from this level upwards.",
)
def controller(
    health_host: str, health_port: int, namespace: str, log_level: str, **gathering: Any
) -> None:
    """Run the controller (kopf) in a cluster.

    It logs in by its service account or else by a kubeconfig. It keeps the status of policies,
    publishers and exceptions true, and gathers and verifies evidence for ModelRecords.
    """
    configure_logging(log_level)
    settings = ControllerSettings(
        health_host=health_host,
        health_port=health_port,
        namespace=namespace,
        log_level=log_level,
        gather=_gather_settings(**gathering),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_controller(settings))


def _gather_settings(
    endpoints: tuple[str, ...] = (),
    internal_hosts: tuple[str, ...] = (),
    plain_http_hosts: tuple[str, ...] = (),
    proxy: str | None = None,
    ca_file: Path | None = None,
) -> GatherSettings:
    pairs = [endpoint.partition("=") for endpoint in endpoints]
    for scheme, _, url in pairs:
        if not scheme or not url:
            raise SettingsError("endpoint: must be SCHEME=URL, such as hf=https://hub.example")
    return GatherSettings(
        endpoints={scheme: url for scheme, _, url in pairs},
        internal_hosts=frozenset(internal_hosts),
        plain_http_hosts=frozenset(plain_http_hosts),
        proxy=proxy,
        ca_file=ca_file,
    )
