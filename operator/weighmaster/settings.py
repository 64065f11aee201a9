"""Settings of the webhook: from flags and environment to one frozen value."""

import re
from pathlib import Path

from msgspec import Struct

from weighmaster.core.enforce.confinement.quantities import parse_quantity
from weighmaster.core.installation import Installation
from weighmaster.errors import SettingsError
from weighmaster.staging.hub import hub_settings

_BY_DIGEST = re.compile(r"[^@\s]@sha256:[0-9a-f]{64}\Z")

MAX_STALENESS = 24 * 3600.0
"""Seconds; decisions by policies older than a day are nobody's wish."""


LONGEST_WAIT = 8.0
"""Seconds; the webhook times out after 10."""

LONGEST_DELAY = 300.0
"""Seconds; a pod that ends more slowly holds up the draining of its node."""


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """How the webhook runs."""

    certificate: Path
    key: Path
    host: str = "0.0.0.0"  # noqa: S104 - a pod listens on its own address, whatever that is
    port: int = 9443
    health_host: str = "0.0.0.0"  # noqa: S104
    health_port: int = 8081
    policies: Path | None = None
    max_staleness: float = 180.0
    evidence_wait: float = 2.5
    shutdown_delay: float = 0.0
    log_level: str = "info"
    installation: Installation = Installation()

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting."""
        for name in ("port", "health_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise SettingsError(f"{name.replace('_', '-')}: must be between 0 and 65535")
        if not 0 <= self.evidence_wait <= LONGEST_WAIT:
            raise SettingsError(f"evidence-wait: must be between 0 and {LONGEST_WAIT:.0f} seconds")
        if not 0 <= self.shutdown_delay <= LONGEST_DELAY:
            raise SettingsError(
                f"shutdown-delay: must be between 0 and {LONGEST_DELAY:.0f} seconds"
            )
        if self.installation.image is not None and not _BY_DIGEST.search(self.installation.image):
            raise SettingsError("image: must be given by digest, such as name@sha256:<64 hex>")
        self._check_containers()
        # Not "< 90", which is false for nan: that would serve policies of any age, and before any.
        if not 90 <= self.max_staleness <= MAX_STALENESS:
            raise SettingsError(
                f"max-staleness: must be between 90 and {MAX_STALENESS:.0f} seconds; a quiet watch"
                " is only heard of every 60"
            )

    def _check_containers(self) -> None:
        """Refuse what no container of ours in a pod could run with."""
        for name in ("verifier_cpu", "verifier_memory", "staging_cpu", "staging_memory"):
            quantity = parse_quantity(getattr(self.installation, name))
            if quantity is None or quantity <= 0:
                raise SettingsError(
                    f"{name.replace('_', '-')}: must be a quantity, such as 500m or 256Mi"
                )
        try:
            hub_settings(self.installation.hub)
        except SettingsError as error:
            raise SettingsError(f"staging-{error}") from None
