"""NetworkPolicies: Weighmaster's own, which isolate sandboxed pods, and others, which may not.

NetworkPolicies add up: what one of them allows no other can forbid. So one that selects a sandboxed
pod and allows traffic opens the sandbox.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.cluster.client import Json
from weighmaster.cluster.reflector import ObjectKey, object_key
from weighmaster.core.enforce.confinement.isolation import opens
from weighmaster.core.enforce.confinement.network import MANAGED_BY, NAME_PREFIX, policy_name
from weighmaster.quarantine.pods import Pod


class Network(Struct, frozen=True, eq=False):
    """A stored NetworkPolicy; ``stored`` is the whole object where by its name it is ours."""

    namespace: str
    name: str
    uid: str
    spec: Json
    leaving: bool = False
    stored: Json | None = None

    @property
    def managed(self) -> bool:
        """Whether Weighmaster made it: it is deleted when nothing needs it any more."""
        labels = ((self.stored or {}).get("metadata") or {}).get("labels") or {}
        return self.stored is not None and MANAGED_BY.items() <= labels.items()

    def is_as(self, desired: Json) -> bool:
        """Whether it is stored as it should be."""
        if self.stored is None or self.leaving:
            return False
        labels = (self.stored.get("metadata") or {}).get("labels") or {}
        return bool(
            self.stored.get("spec") == desired["spec"]
            and desired["metadata"]["labels"].items() <= labels.items()
        )

    def replaced_by(self, desired: Json) -> Json:
        """The object to write in its place: what it is beside its spec stays as it is."""
        stored = self.stored or {}
        metadata = stored.get("metadata") or {}
        labels = {**(metadata.get("labels") or {}), **desired["metadata"]["labels"]}
        return {**desired, "metadata": {**metadata, "labels": labels}}


class Networks:
    """All NetworkPolicies. A Sink for a reflector, with its ``keep``."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._networks: dict[str, dict[str, Network]] = {}
        self._on_change = on_change

    def get(self, namespace: str, profile: str) -> Network | None:
        """The NetworkPolicy of a profile in a namespace."""
        return self._networks.get(namespace, {}).get(policy_name(profile))

    def own(self) -> Iterator[Network]:
        """Those whose names say that they are Weighmaster's."""
        for networks in self._networks.values():
            yield from (each for each in networks.values() if each.stored is not None)

    def opening(self, pod: Pod, rules: NetworkRules) -> list[Network]:
        """Those that allow a sandboxed pod more than the rules of its profile, by name."""
        own, labels = policy_name(pod.profile), pod.labels
        found = [
            each
            for each in self._networks.get(pod.namespace, {}).values()
            if each.name != own and opens(each.spec, labels, pod.profile, rules)
        ]
        return sorted(found, key=lambda network: network.name)

    def keep(self, stored: Json) -> Network:
        """What is known of a NetworkPolicy from now on. Never raises."""
        metadata: Json = stored.get("metadata") or {}
        namespace, name = object_key(stored)
        spec = stored.get("spec")
        ours = name.startswith(NAME_PREFIX)
        metadata.pop("managedFields", None)
        return Network(
            namespace=namespace,
            name=name,
            uid=str(metadata.get("uid") or ""),
            spec=spec if isinstance(spec, dict) else {},
            leaving="deletionTimestamp" in metadata,
            stored=stored if ours else None,
        )

    def replace(self, resource: str, objects: Iterable[Network]) -> None:  # noqa: ARG002
        """Take a full listing in place of everything before."""
        self._networks = {}
        for network in objects:
            self._networks.setdefault(network.namespace, {})[network.name] = network
        self._on_change()

    def update(self, resource: str, stored: Network) -> None:  # noqa: ARG002
        """Take a new or changed NetworkPolicy."""
        self._networks.setdefault(stored.namespace, {})[stored.name] = stored
        self._on_change()

    def remove(self, resource: str, key: ObjectKey) -> None:  # noqa: ARG002
        """Forget a NetworkPolicy."""
        namespace, name = key
        networks = self._networks.get(namespace, {})
        networks.pop(name, None)
        if not networks:
            self._networks.pop(namespace, None)
        self._on_change()
