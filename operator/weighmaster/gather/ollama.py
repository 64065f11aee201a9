"""Ollama's registry: Docker's protocol, with layers that are files (ollama, docs/import.md).

``ollama://name:tag`` is ``library/name`` at registry.ollama.ai; a name may carry a namespace and
another registry, such as ``hf.co/org/name:Q4_K_M``.
"""

import re

from yarl import URL

from weighmaster.core.evidence import Evidence, UnavailableReason
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError
from weighmaster.gather.client import HttpClient
from weighmaster.gather.credentials import Credentials
from weighmaster.gather.oci import read_tagged
from weighmaster.gather.registry import Place, Registry

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_REGISTRY = "registry.ollama.ai"


class Ollama:
    """Evidence from Ollama's registry, and others that speak as it does."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._endpoint = client.settings.endpoint("ollama")

    async def gather(
        self, reference: ModelReference, credentials: Credentials, known: Evidence | None
    ) -> Evidence:
        """Evidence about a model by name and tag. Raises GatherError.

        No signatures: the protocol has none.
        """
        place = place_of(reference)
        base: URL | None = self._endpoint if place.registry == _REGISTRY else None
        registry = Registry(self._client, place, credentials, base=base)
        return await read_tagged(registry, reference, place, known)


def place_of(reference: ModelReference) -> Place:
    """Registry, repository and tag of a name, with Ollama's defaults. Raises GatherError."""
    name, _, digest = reference.canonical.removeprefix("ollama://").partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, "latest"
    parts = head.split("/")
    registry = parts.pop(0) if len(parts) > 1 and re.search(r"[.:]", parts[0]) else _REGISTRY
    if len(parts) == 1:
        parts.insert(0, "library")
    if len(parts) != 2 or not all(_PART.match(part) for part in (*parts, tag)):
        raise GatherError(
            UnavailableReason.NOT_FOUND, f"{reference.canonical[:256]} is no name of a model"
        )
    return Place(registry.lower(), "/".join(parts), digest or tag)
