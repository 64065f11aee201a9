"""``weighmaster webhook``: the role that answers the API server."""

import asyncio
from pathlib import Path
from typing import Any

import click
import uvloop

from weighmaster.admission.role import run_webhook
from weighmaster.cli.process import process_options
from weighmaster.cli.staging import staging_hub, staging_options
from weighmaster.core.installation import Installation
from weighmaster.errors import SettingsError
from weighmaster.settings import WebhookSettings
from weighmaster.telemetry import configure_logging

_DEFAULTS = WebhookSettings(certificate=Path(), key=Path())
_INSTALLATION = Installation()
_STAGING = (
    "staging_endpoints",
    "staging_internal_hosts",
    "staging_plain_http_hosts",
    "staging_proxy",
    "staging_no_proxy",
    "staging_ca_file",
)
_File = click.Path(path_type=Path)


@click.command()
@click.option("--tls-cert", type=_File, required=True, help="Serving certificate chain, PEM.")
@click.option("--tls-key", type=_File, required=True, help="Its private key, PEM.")
@click.option("--host", default=_DEFAULTS.host, show_default=True, help="Address to serve on.")
@click.option("--port", default=_DEFAULTS.port, show_default=True, help="Port to serve on.")
@click.option(
    "--max-staleness",
    default=_DEFAULTS.max_staleness,
    show_default=True,
    help="Seconds without word from the API server after which requests are refused.",
)
@click.option(
    "--evidence-wait",
    default=_DEFAULTS.evidence_wait,
    show_default=True,
    help="Seconds to wait for evidence that is being gathered.",
)
@click.option(
    "--shutdown-delay",
    default=_DEFAULTS.shutdown_delay,
    show_default=True,
    help="Seconds to go on serving when told to stop, until no new requests come.",
)
@click.option(
    "--namespace",
    default=_INSTALLATION.namespace,
    show_default=True,
    help="Weighmaster's own namespace.",
)
@click.option(
    "--controller-user",
    default=_INSTALLATION.controller,
    show_default=True,
    help="User name of the controller, who alone may change what Weighmaster keeps.",
)
@click.option(
    "--image",
    help="Weighmaster's own image, by digest, for the containers that it adds to pods.",
)
@click.option(
    "--verifier-cpu",
    default=_INSTALLATION.verifier_cpu,
    show_default=True,
    help="CPU of the containers that verify weights: request and limit. Hashing uses all of it.",
)
@click.option(
    "--verifier-memory",
    default=_INSTALLATION.verifier_memory,
    show_default=True,
    help="Their memory: request and limit. They need the same for weights of any size.",
)
@staging_options
@click.option("--standalone", is_flag=True, help="Run without a cluster, by --policies.")
@click.option("--policies", type=_File, help="Policy files or a folder of them (--standalone).")
@process_options
def webhook(
    tls_cert: Path,
    tls_key: Path,
    standalone: bool,
    policies: Path | None,
    log_level: str,
    **options: Any,
) -> None:
    """Serve admission over HTTPS.

    In a cluster the policies come from the API server; with --standalone they come from files.
    """
    if standalone != (policies is not None):
        raise SettingsError("standalone: --standalone and --policies go together")
    configure_logging(log_level)
    installation = Installation(
        namespace=options.pop("namespace"),
        controller=options.pop("controller_user"),
        image=options.pop("image"),
        verifier_cpu=options.pop("verifier_cpu"),
        verifier_memory=options.pop("verifier_memory"),
        staging_cpu=options.pop("staging_cpu"),
        staging_memory=options.pop("staging_memory"),
        hub=staging_hub(**{name: options.pop(name) for name in _STAGING}),
    )
    settings = WebhookSettings(
        certificate=tls_cert,
        key=tls_key,
        policies=policies,
        log_level=log_level,
        installation=installation,
        **options,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_webhook(settings))
