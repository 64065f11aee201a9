"""Occasion: what enforcement has to know of a request beside the decision on it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

Document = Mapping[str, Any]


class Occasion(Struct, frozen=True, kw_only=True):
    """An object on its way into the cluster.

    ``old`` is its former self, None for one that is created. ``final`` says that it is stored as it
    is: what it lacks it will lack.
    """

    document: Document
    old: Document | None
    final: bool
    now: datetime
