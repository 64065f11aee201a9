"""Facilities: what there is to enforce decisions with, as far as it is known."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from weighmaster.core.evaluate.profiles import Profile
from weighmaster.core.evaluate.selectors import Labels
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.installation import LOCAL, Installation


class NetworkPolicy(Struct, frozen=True):
    """A stored NetworkPolicy of anybody's. One that is ``leaving`` may be gone any moment."""

    namespace: str
    name: str
    spec: Mapping[str, Any]
    leaving: bool = False


class Cluster(Struct, frozen=True):
    """What runs in the cluster, as far as sandboxes are concerned.

    ``network_policies`` has them by namespace, ``sandboxed`` the labels of pods with the label of
    a sandbox, by namespace and name. ``isolating`` says that the NetworkPolicies of sandboxes are
    taken for granted, as for files that are checked without a cluster.
    """

    network_policies: Mapping[str, tuple[NetworkPolicy, ...]] = {}
    sandboxed: Mapping[str, Mapping[str, Labels]] = {}
    isolating: bool = False


class Facilities(Struct, frozen=True):
    """Weighmaster's own installation, sandbox profiles by name, and the cluster.

    ``cluster`` is None where there is none to ask; then nothing can be isolated in it.
    """

    installation: Installation = LOCAL
    profiles: Mapping[str, Profile] = {}
    cluster: Cluster | None = None


NO_FACILITIES = Facilities()


def read_network_policy(stored: Mapping[str, Any]) -> NetworkPolicy:
    """A stored NetworkPolicy. Never raises."""
    metadata = stored.get("metadata")
    spec = stored.get("spec")
    return NetworkPolicy(
        namespace=read_metadata(stored).namespace,
        name=read_metadata(stored).name,
        spec=spec if isinstance(spec, dict) else {},
        leaving=isinstance(metadata, dict) and metadata.get("deletionTimestamp") is not None,
    )
