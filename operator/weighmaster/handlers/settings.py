"""Settings of the controller: from flags and environment to one frozen value."""

import re

from msgspec import Struct

from weighmaster.certificates.settings import CertificateSettings
from weighmaster.errors import SettingsError
from weighmaster.gather.settings import GatherSettings

MAX_CREDENTIALS_SECRETS = 16

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class ControllerSettings(Struct, frozen=True, kw_only=True):
    """How the controller runs.

    ``namespace`` is Weighmaster's own: its lease is there, and the secrets and ConfigMaps that
    policies name. ``credentials_secrets`` are Secrets there whose credentials are used for all
    records that name none. ``image`` is Weighmaster's own, by digest, by which the containers
    that it adds to pods are known. Without ``certificates`` the webhook's certificate is somebody
    else's.
    """

    health_host: str = "0.0.0.0"  # noqa: S104
    health_port: int = 8081
    log_level: str = "info"
    namespace: str = "weighmaster-system"
    credentials_secrets: tuple[str, ...] = ()
    exempt_namespaces: tuple[str, ...] = ("kube-system",)
    image: str | None = None
    gather: GatherSettings = GatherSettings()
    certificates: CertificateSettings | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting."""
        for name in self.credentials_secrets:
            if len(name) > 253 or _OBJECT_NAME.fullmatch(name) is None:
                raise SettingsError(f"credentials-secret: {name[:253]!r} is no name of a Secret")
        if len(self.credentials_secrets) > MAX_CREDENTIALS_SECRETS:
            raise SettingsError(f"credentials-secret: at most {MAX_CREDENTIALS_SECRETS}")
