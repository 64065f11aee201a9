"""Secrets and ConfigMaps of Weighmaster's own namespace: keys, credentials, detached signatures."""

import base64
import binascii
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from weighmaster.cluster.client import ApiClient, Json


class Kind(StrEnum):
    """What material is kept in."""

    SECRET = "Secret"  # noqa: S105 - the name of a kind
    CONFIG_MAP = "ConfigMap"

    @property
    def plural(self) -> str:
        """The resource, as paths have it."""
        return f"{self.value.lower()}s"


class Kept(Struct, frozen=True):
    """An object that holds material. ``type`` is a Secret's; ``version`` changes with the object.

    It never shows what is in it: that may end up in a traceback or a log.
    """

    kind: Kind
    data: Mapping[str, str]
    version: str = ""
    type: str = ""

    def __repr__(self) -> str:
        return f"Kept({self.kind})"

    __str__ = __repr__

    def entry(self, key: str) -> bytes | None:
        """One entry; None when there is none. Raises ValueError when it is not base64."""
        if key not in self.data:
            return None
        if self.kind is Kind.CONFIG_MAP:
            return self.data[key].encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.data[key], validate=True)
        except binascii.Error:
            raise ValueError("not base64") from None


class Material(Protocol):
    """Where material comes from. Everything raises ClusterError."""

    @property
    def namespace(self) -> str:
        """The namespace that it is read in; there is no other."""
        ...

    async def read(self, kind: Kind, name: str) -> Kept:
        """An object with what is in it."""
        ...

    async def version(self, kind: Kind, name: str) -> str:
        """What changes with an object, without what is in it."""
        ...


class NamespaceMaterial:
    """Reads Secrets and ConfigMaps of one namespace, by name only; nothing is listed."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    async def read(self, kind: Kind, name: str) -> Kept:
        """An object with what is in it; raises ClusterError."""
        found = await self._client.get(self._path(kind, name))
        return Kept(
            kind=kind,
            data=found.get("data") or {},
            version=_version(found),
            type=str(found.get("type") or ""),
        )

    async def version(self, kind: Kind, name: str) -> str:
        """Its resource version, by a request for metadata alone; raises ClusterError."""
        return _version(await self._client.get(self._path(kind, name), metadata_only=True))

    def _path(self, kind: Kind, name: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind.plural}/{name}"


def _version(stored: Json) -> str:
    return str((stored.get("metadata") or {}).get("resourceVersion") or "")
