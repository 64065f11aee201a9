"""Settings of the serving certificate."""

import re
from ipaddress import ip_address

from msgspec import Struct

from weighmaster.certificates.plan import Timing
from weighmaster.errors import SettingsError

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class CertificateSettings(Struct, frozen=True, kw_only=True):
    """Which Secret the webhook serves from, for which names, and which configurations call it.

    ``configuration`` is the name of both webhook configurations; where there are none yet, nobody
    has to trust anything.
    """

    secret: str
    names: tuple[str, ...]
    configuration: str = "weighmaster"
    timing: Timing = Timing()

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting."""
        if not self.names:
            raise SettingsError("serving-name: at least one is needed with --serving-secret")
        for name in self.names:
            if not _is_host(name):
                raise SettingsError(f"serving-name: {name[:253]!r} is no DNS name or IP address")
        for setting, name in (
            ("serving-secret", self.secret),
            ("webhook-configuration", self.configuration),
        ):
            if len(name) > 253 or _DNS_NAME.fullmatch(name) is None:
                raise SettingsError(f"{setting}: {name[:253]!r} is no name of an object")


def _is_host(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return len(name) <= 253 and _DNS_NAME.fullmatch(name) is not None
    return True
