"""Options of the webhook about the containers that download models in pods."""

import re
from collections.abc import Callable
from pathlib import Path

import click

from weighmaster.core.installation import Installation
from weighmaster.core.staged import Hub
from weighmaster.errors import SettingsError

_DEFAULTS = Installation()

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")

_Hosts = tuple[str, ...]


def staging_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how pods reach the hub, and what their containers may use."""
    options = (
        click.option(
            "--staging-endpoint",
            "staging_endpoints",
            multiple=True,
            metavar="SCHEME=URL",
            help="A mirror that pods download from in place of a hub: hf=https://hub.example.",
        ),
        click.option(
            "--staging-internal-host",
            "staging_internal_hosts",
            multiple=True,
            help="A host of it that may have a private address, HOST or HOST:PORT. Repeatable.",
        ),
        click.option(
            "--staging-plain-http-host",
            "staging_plain_http_hosts",
            multiple=True,
            help="A host of it to speak to without TLS, HOST or HOST:PORT. Repeatable.",
        ),
        click.option(
            "--staging-proxy", default="", help="Proxy of pods for all but internal hosts, a URL."
        ),
        click.option(
            "--staging-no-proxy",
            multiple=True,
            metavar="HOST",
            help="A public host to reach without it, HOST or HOST:PORT. Repeatable.",
        ),
        click.option(
            "--staging-ca-file",
            type=click.Path(path_type=Path),
            help="Certificates that pods trust besides the system's, PEM. Read at the start.",
        ),
        click.option(
            "--staging-cpu",
            default=_DEFAULTS.staging_cpu,
            show_default=True,
            help="CPU of the containers that download models: request and limit.",
        ),
        click.option(
            "--staging-memory",
            default=_DEFAULTS.staging_memory,
            show_default=True,
            help="Their memory: request and limit. They need the same for models of any size.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def staging_hub(
    staging_endpoints: _Hosts,
    staging_internal_hosts: _Hosts,
    staging_plain_http_hosts: _Hosts,
    staging_proxy: str,
    staging_no_proxy: _Hosts,
    staging_ca_file: Path | None,
) -> Hub:
    """How pods reach the hub, from the options of ``staging_options``; raises SettingsError."""
    pairs = [endpoint.partition("=") for endpoint in staging_endpoints]
    for scheme, _, url in pairs:
        if not scheme or not url:
            raise SettingsError("staging-endpoint: must be SCHEME=URL, such as hf=https://hub")
    return Hub(
        endpoints={scheme: url for scheme, _, url in pairs},
        internal_hosts=staging_internal_hosts,
        plain_http_hosts=staging_plain_http_hosts,
        proxy=staging_proxy,
        no_proxy=staging_no_proxy,
        ca=_read(staging_ca_file),
    )


def _read(path: Path | None) -> str:
    """The certificates of a file, without what stands between them: comments may be long."""
    if path is None:
        return ""
    try:
        found = _CERTIFICATE.findall(path.read_text(encoding="ascii", errors="replace"))
    except OSError:
        raise SettingsError(f"staging-ca-file: {path} cannot be read") from None
    if not found:
        raise SettingsError(f"staging-ca-file: {path} holds no certificates in PEM")
    return "".join(f"{each}\n" for each in found)
