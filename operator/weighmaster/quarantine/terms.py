"""Terms under which everything here works."""

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from msgspec import Struct


class Terms(Struct, frozen=True, kw_only=True):
    """Terms: ``leads`` says at any moment whether this process may act.

    ``exempt`` are namespaces that admission leaves alone, and the audit with it: the two must not
    disagree.
    """

    leads: Callable[[], bool] = lambda: True
    exempt: Collection[str] = ()
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
