"""``weighmaster controller``: the role that reconciles our resources and gathers evidence."""

import asyncio
from typing import Any

import click
import uvloop

from weighmaster.cli.gathering import gather_settings, gathering_options
from weighmaster.cli.issuing import certificate_settings, issuing_options
from weighmaster.cli.process import process_options
from weighmaster.handlers.role import run_controller
from weighmaster.handlers.settings import ControllerSettings
from weighmaster.telemetry import configure_logging

_DEFAULTS = ControllerSettings()
_ISSUING = (
    "serving_secret",
    "serving_names",
    "webhook_configuration",
    "certificate_lifetime",
    "certificate_settle",
)


@click.command()
@click.option(
    "--namespace",
    default=_DEFAULTS.namespace,
    show_default=True,
    help="Weighmaster's own namespace, with the secrets that policies name.",
)
@click.option(
    "--credentials-secret",
    "credentials_secrets",
    multiple=True,
    metavar="NAME",
    help="Secret in that namespace with credentials for records that name none. May be repeated.",
)
@click.option(
    "--exempt-namespace",
    "exempt_namespaces",
    multiple=True,
    default=_DEFAULTS.exempt_namespaces,
    show_default=True,
    help="Namespace that the webhook configurations leave alone, beside Weighmaster's own. May"
    " be repeated.",
)
@click.option(
    "--image",
    help="Weighmaster's own image, by digest: what its containers in pods say is believed.",
)
@gathering_options
@issuing_options
@process_options
def controller(
    health_host: str, health_port: int, namespace: str, log_level: str, **options: Any
) -> None:
    """Run the controller (kopf) in a cluster.

    It logs in by its service account or else by a kubeconfig. It keeps the status of policies,
    publishers and exceptions true, gathers and verifies evidence for ModelRecords, keeps the
    NetworkPolicies of sandbox profiles, audits running pods, and issues and rotates the webhook's
    certificate.
    """
    issuing = {name: options.pop(name) for name in _ISSUING}
    configure_logging(log_level)
    settings = ControllerSettings(
        health_host=health_host,
        health_port=health_port,
        namespace=namespace,
        credentials_secrets=options.pop("credentials_secrets"),
        exempt_namespaces=options.pop("exempt_namespaces"),
        image=options.pop("image"),
        log_level=log_level,
        gather=gather_settings(**options),
        certificates=certificate_settings(**issuing),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_controller(settings))
