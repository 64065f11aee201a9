"""Artifacts in a real registry that real cosign programs sign and attest."""

import json
import urllib.request
from typing import Any

from tests.hub.artifacts import Contents, modelpack
from tests.hub.registry import Registry
from tests.hub.repositories import safetensors
from tests.signing.cosign import Cosign
from weighmaster.core import references
from weighmaster.core.evidence import Evidence
from weighmaster.gather.service import Gatherer
from weighmaster.gather.settings import GatherSettings


class Bench:
    """Artifacts in the registry, and what becomes of them."""

    def __init__(self, registry: Registry, programs: dict[str, Cosign], repository: str) -> None:
        self.registry = registry
        self.programs = programs
        self.repository = repository
        self._pushed = 0

    def push(self) -> str:
        """A new artifact; its digest."""
        self._pushed += 1
        contents = Contents()
        weights = safetensors({"a": [self._pushed]})
        top = modelpack(contents, {"model.safetensors": weights}, f"v{self._pushed}")
        self.registry.push(self.repository, contents)
        return str(top["digest"])

    def name(self, digest: str) -> str:
        return f"{self.registry.address}/{self.repository}@{digest}"

    def get(self, name: str, media_type: str) -> Any:
        url = f"http://{self.registry.address}/v2/{self.repository}/manifests/{name}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, headers={"Accept": media_type})) as answer:
            return json.load(answer)

    async def gather(self, digest: str) -> Evidence:
        hosts = frozenset({self.registry.address})
        settings = GatherSettings(internal_hosts=hosts, plain_http_hosts=hosts)
        async with Gatherer(settings) as gatherer:
            found = await gatherer.resolve(references.parse(f"oci://{self.name(digest)}"))
        assert isinstance(found, Evidence), found
        return found
