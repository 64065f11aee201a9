"""Settings of the controller: from flags and environment to one frozen value."""

from msgspec import Struct

from weighmaster.gather.settings import GatherSettings


class ControllerSettings(Struct, frozen=True, kw_only=True):
    """How the controller runs.

    ``namespace`` is Weighmaster's own: its lease is there, and the secrets and ConfigMaps that
    policies name.
    """

    health_host: str = "0.0.0.0"  # noqa: S104
    health_port: int = 8081
    log_level: str = "info"
    namespace: str = "weighmaster-system"
    gather: GatherSettings = GatherSettings()
