"""Owners: whom a pod belongs to, as people know it: a Deployment rather than its ReplicaSet."""

from collections import OrderedDict

from weighmaster.cluster.client import ApiClient, Json
from weighmaster.errors import ClusterError
from weighmaster.quarantine.pods import Owner

MAX_REMEMBERED = 4096

ROLLED = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
}
"""Kinds in apps/v1 that make their pods anew when their pod template changes."""


class Owners:
    """Looks up the owners of ReplicaSets, each once."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._known: OrderedDict[str, Owner] = OrderedDict()

    async def root(self, namespace: str, owner: Owner) -> Owner:
        """The owner's own controller where it is a ReplicaSet, else the owner.

        Raises ClusterError when that cannot be found out.
        """
        if owner.kind != "ReplicaSet" or not owner.api_version.startswith("apps/"):
            return owner
        found = self._known.get(owner.uid)
        if found is None:
            found = await self._look_up(namespace, owner)
            self._known[owner.uid] = found
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return found

    async def _look_up(self, namespace: str, owner: Owner) -> Owner:
        path = f"/apis/apps/v1/namespaces/{namespace}/replicasets/{owner.name}"
        try:
            stored = await self._client.get(path)
        except ClusterError as error:
            if error.status != 404:
                raise
            return owner
        metadata: Json = stored.get("metadata") or {}
        if metadata.get("uid") != owner.uid:
            return owner
        for each in metadata.get("ownerReferences") or ():
            if each.get("controller"):
                return Owner(each["apiVersion"], each["kind"], each["name"], each["uid"])
        return owner
