"""Facilities: what there is to enforce decisions with, as far as it is known."""

from collections.abc import Mapping

from msgspec import Struct

from weighmaster.core.evaluate.profiles import Profile
from weighmaster.core.installation import LOCAL, Installation


class Facilities(Struct, frozen=True):
    """Weighmaster's own installation, and sandbox profiles by name."""

    installation: Installation = LOCAL
    profiles: Mapping[str, Profile] = {}


NO_FACILITIES = Facilities()
