"""Options that say where evidence is gathered from, shared by commands."""

from collections.abc import Callable
from pathlib import Path

import click

from weighmaster.errors import SettingsError
from weighmaster.gather.settings import GatherSettings


def gathering_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where evidence is gathered from, shared by commands."""
    options = (
        click.option(
            "--endpoint",
            "endpoints",
            multiple=True,
            metavar="SCHEME=URL",
            help="A mirror in place of a hub, such as hf=https://hub.example. May be repeated.",
        ),
        click.option(
            "--internal-host",
            "internal_hosts",
            multiple=True,
            help="A host that may have a private address, HOST or HOST:PORT. May be repeated.",
        ),
        click.option(
            "--plain-http-host",
            "plain_http_hosts",
            multiple=True,
            help="A host to speak to without TLS, HOST or HOST:PORT. May be repeated.",
        ),
        click.option("--proxy", help="Proxy for everything but internal hosts, a URL."),
        click.option(
            "--ca-file",
            type=click.Path(path_type=Path),
            help="Certificates to trust besides the system's, PEM.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def gather_settings(
    endpoints: tuple[str, ...] = (),
    internal_hosts: tuple[str, ...] = (),
    plain_http_hosts: tuple[str, ...] = (),
    proxy: str | None = None,
    ca_file: Path | None = None,
) -> GatherSettings:
    """Settings from the options of ``gathering_options``; raises SettingsError."""
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
