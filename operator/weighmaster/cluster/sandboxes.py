"""Sandboxed pods and the NetworkPolicies around them, kept current by reflectors.

Apart from the policy store, because pods come and go much more often than policies change, and
decisions that were worked out by these stay good.
"""

from collections.abc import Iterable
from typing import Any

from weighmaster.cluster.client import Json
from weighmaster.cluster.reflector import ObjectKey, Resource, object_key
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.evaluate.facilities import Cluster, NetworkPolicy, read_network_policy
from weighmaster.core.evaluate.selectors import Labels
from weighmaster.core.evaluate.stored import read_metadata

NETWORK_POLICIES = Resource("networkpolicies", "/apis/networking.k8s.io/v1/networkpolicies")
SANDBOXED_PODS = Resource("pods", f"/api/v1/pods?labelSelector={SANDBOX_LABEL}", metadata_only=True)
"""Pods with the label; one that loses it counts as deleted."""


class SandboxStore:
    """NetworkPolicies, and the labels of sandboxed pods. It is a Sink for reflectors."""

    def __init__(self) -> None:
        self._policies: dict[ObjectKey, NetworkPolicy] = {}
        self._pods: dict[ObjectKey, Labels] = {}
        self._cluster: Cluster | None = None

    def replace(self, resource: str, objects: Iterable[Json]) -> None:
        """Take a full listing in place of everything before."""
        self._of(resource).clear()
        for stored in objects:
            self.update(resource, stored)
        self._cluster = None

    def update(self, resource: str, stored: Json) -> None:
        """Take a new or changed object; most changes of pods are none to us."""
        held, key, read = self._of(resource), object_key(stored), _read(resource, stored)
        if held.get(key) != read:
            held[key] = read
            self._cluster = None

    def remove(self, resource: str, key: ObjectKey) -> None:
        """Forget an object."""
        if self._of(resource).pop(key, None) is not None:
            self._cluster = None

    def count(self, resource: str) -> int:
        """How many objects of a resource there are."""
        return len(self._of(resource))

    def cluster(self) -> Cluster:
        """Everything there is now; the same value until something changes."""
        if self._cluster is None:
            policies: dict[str, list[NetworkPolicy]] = {}
            for policy in self._policies.values():
                policies.setdefault(policy.namespace, []).append(policy)
            sandboxed: dict[str, dict[str, Labels]] = {}
            for (namespace, name), labels in self._pods.items():
                sandboxed.setdefault(namespace, {})[name] = labels
            self._cluster = Cluster(
                {namespace: tuple(found) for namespace, found in policies.items()}, sandboxed
            )
        return self._cluster

    def _of(self, resource: str) -> dict[ObjectKey, Any]:
        return self._policies if resource == NETWORK_POLICIES.name else self._pods


def _read(resource: str, stored: Json) -> NetworkPolicy | Labels:
    if resource == NETWORK_POLICIES.name:
        return read_network_policy(stored)
    return read_metadata(stored).labels
