"""Key material that is kept in Secrets and ConfigMaps of Weighmaster's own namespace."""

from collections.abc import Mapping

from weighmaster.cluster.client import ApiClient


class NamespaceMaterial:
    """Reads Secrets and ConfigMaps of one namespace, by name only; nothing is listed."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}"

    async def secret(self, name: str) -> Mapping[str, str]:
        """The data of a Secret, base64; raises ClusterError."""
        return (await self._client.get(f"{self._path}/secrets/{name}")).get("data") or {}

    async def config_map(self, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap; raises ClusterError."""
        return (await self._client.get(f"{self._path}/configmaps/{name}")).get("data") or {}
