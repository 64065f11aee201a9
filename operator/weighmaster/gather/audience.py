"""Who is asked about a reference, and so may be given credentials for it."""

from msgspec import Struct

from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather import ollama, registry
from weighmaster.gather.credentials import DOCKER_HUB, Credential, Credentials, authority_of
from weighmaster.gather.settings import DEFAULT_ENDPOINTS, GatherSettings


class Audience(Struct, frozen=True):
    """A hub, or a repository of a registry."""

    host: str
    repository: str = ""

    def __str__(self) -> str:
        return "docker.io" if self.host in DOCKER_HUB else self.host

    def choose(self, credentials: Credentials) -> Credential | None:
        """What of several credentials is for it."""
        return credentials.for_registry(self.host, self.repository)


def audience_of(reference: ModelReference, settings: GatherSettings) -> Audience | None:
    """Who is asked about a reference; None if nobody can be."""
    try:
        if reference.scheme == "ollama":
            place = ollama.place_of(reference)
        elif reference.scheme in ("oci", "image-embedded"):
            place = registry.place_of(reference)
        elif reference.scheme in DEFAULT_ENDPOINTS:
            return Audience(authority_of(settings.endpoint(reference.scheme)))
        else:
            return None
    except GatherError:
        return None
    return Audience(place.registry, place.repository)
