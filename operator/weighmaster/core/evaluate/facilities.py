"""Facilities: what there is to enforce decisions with, as far as it is known."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.sandbox import SandboxProfileSpec
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.installation import LOCAL, Installation


class Profile(Struct, frozen=True):
    """A stored SandboxProfile. ``problem`` says why nothing can be confined by it."""

    name: str
    spec: SandboxProfileSpec | None = None
    problem: str | None = None


class Facilities(Struct, frozen=True):
    """Weighmaster's own installation, and sandbox profiles by name."""

    installation: Installation = LOCAL
    profiles: Mapping[str, Profile] = {}


NO_FACILITIES = Facilities()


def read_profile(stored: Mapping[str, Any]) -> Profile:
    """A stored SandboxProfile. Never raises; one that cannot be used confines nothing."""
    name = read_metadata(stored).name
    try:
        return Profile(name, msgspec.convert(stored.get("spec"), SandboxProfileSpec))
    except msgspec.ValidationError as error:
        return Profile(name, problem=f"cannot be used: {error}")
