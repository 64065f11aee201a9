"""Options of the controller about the webhook's serving certificate."""

from collections.abc import Callable
from datetime import timedelta

import click

from weighmaster.certificates.plan import Timing
from weighmaster.certificates.settings import CertificateSettings
from weighmaster.errors import SettingsError

_DEFAULTS = Timing()
_DAY = timedelta(days=1)


def issuing_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which certificate is to be kept, and how."""
    options = (
        click.option(
            "--serving-secret",
            metavar="NAME",
            help="Secret for the webhook's certificate, to issue and rotate it. Without it, none"
            " is issued.",
        ),
        click.option(
            "--serving-name",
            "serving_names",
            multiple=True,
            metavar="NAME",
            help="DNS name or IP address that the webhook is called by. May be repeated.",
        ),
        click.option(
            "--webhook-configuration",
            default="weighmaster",
            show_default=True,
            metavar="NAME",
            help="Name of the webhook configurations that have to trust the certificate.",
        ),
        click.option(
            "--certificate-lifetime",
            default=_DEFAULTS.lifetime / _DAY,
            show_default=True,
            help="Days for which a certificate is issued; it is renewed after two thirds of them.",
        ),
        click.option(
            "--certificate-settle",
            default=_DEFAULTS.settle.total_seconds(),
            show_default=True,
            help="Seconds for which a new CA is trusted before a certificate of it is served.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def certificate_settings(
    serving_secret: str | None,
    serving_names: tuple[str, ...],
    webhook_configuration: str,
    certificate_lifetime: float,
    certificate_settle: float,
) -> CertificateSettings | None:
    """Settings from the options of ``issuing_options``; raises SettingsError."""
    if serving_secret is None:
        if serving_names:
            raise SettingsError("serving-name: goes with --serving-secret")
        return None
    try:
        lifetime = timedelta(days=certificate_lifetime)
        settle = timedelta(seconds=certificate_settle)
    except (ValueError, OverflowError):
        raise SettingsError("certificate-lifetime, certificate-settle: no such times") from None
    return CertificateSettings(
        secret=serving_secret,
        names=serving_names,
        configuration=webhook_configuration,
        timing=Timing(lifetime=lifetime, renew_before=lifetime / 3, settle=settle),
    )
