"""Owners: in which of the objects that make one another the revision is written.

It is written once for all pods that have to be alike, where people or their controllers write the
template that all of them are made from:

- Never into a pod that something made: the next one could get another revision.
- Never into an object whose maker compares it with its own template, or makes several of one: a
  ReplicaSet that differs from its Deployment's template is not recognized as its own, and two
  StatefulSets of one LeaderWorkerSet could differ.
- But into a Deployment that KServe or another operator makes up from an object which cannot hold
  the revision itself: its next reconciliation is rewritten in the same way, to the same revision.
- Never in an update that leaves the template alone: pinning makes no rollout of its own.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from weighmaster.core.detect.templates import PLACES
from weighmaster.core.enforce.pinning.places import at

Document = Mapping[str, Any]

_COPYING = frozenset(
    {
        ("apps", "Deployment"),
        ("argoproj.io", "Rollout"),
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"),
        ("jobset.x-k8s.io", "JobSet"),
        ("workload.serving.volcano.sh", "ModelServing"),
        *(("serving.knative.dev", kind) for kind in ("Service", "Configuration", "Revision")),
    }
)
_COPYING_GROUPS = frozenset(
    {"workloads.x-k8s.io", "orchestration.aibrix.ai", "ray.io", "nvidia.com", "kubeflow.org",
     "apps.kruise.io"}
)  # fmt: skip
"""Owners whose objects have the owner's own pod templates in them."""

_FIXED = frozenset({"Pod", "Job", "JobSet", "Revision", "Workflow"})
"""Kinds whose pods' templates cannot be changed once they exist."""

_RESTARTABLE = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


class Owner(Struct, frozen=True):
    """The controller that made an object (metav1.OwnerReference)."""

    group: str
    kind: str
    name: str

    @property
    def how_to_apply(self) -> str:
        """What makes it pass admission again."""
        if self.kind in _RESTARTABLE:
            return f"kubectl rollout restart {self.kind.lower()}/{self.name}"
        return f"apply {self.kind} {self.name} again"


def is_fixed(document: Document) -> bool:
    """Whether the pods of an object are what they are once it has been created."""
    return document.get("kind") in _FIXED


def template_owner(document: Document) -> Owner | None:
    """The owner in whose template a revision has to be written instead of here, if there is one."""
    owner = _controller(document)
    if owner is None:
        return None
    kind = document.get("kind")
    if kind == "Pod":
        return _above(owner, document)
    if kind == "ReplicaSet" or owner.group in _COPYING_GROUPS:
        return owner
    return owner if (owner.group, owner.kind) in _COPYING else None


def leaves_template(document: Document, old: Document) -> bool:
    """Whether an update changes nothing that pods are made from."""
    place = PLACES.get((str(document.get("apiVersion")), str(document.get("kind"))), ("spec", ""))
    if "spec" in document or "spec" in old:
        return bool(at(document, place[:-1]) == at(old, place[:-1]))
    return _body(document) == _body(old)


def _body(document: Document) -> Document:
    """What an object says, for kinds without a ``spec``."""
    return {key: value for key, value in document.items() if key not in ("metadata", "status")}


def _controller(document: Document) -> Owner | None:
    owners = at(document, ("metadata", "ownerReferences"))
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, Mapping) and owner.get("controller") is True:
            group, slash, _ = str(owner.get("apiVersion")).partition("/")
            return Owner(group if slash else "", str(owner.get("kind")), str(owner.get("name")))
    return None


def _above(owner: Owner, pod: Document) -> Owner:
    """The Deployment behind the ReplicaSet that made a pod, by the hash in its name."""
    suffix = at(pod, ("metadata", "labels", "pod-template-hash"))
    name = owner.name.removesuffix(f"-{suffix}") if isinstance(suffix, str) else owner.name
    if (owner.group, owner.kind) == ("apps", "ReplicaSet") and name != owner.name:
        return Owner("apps", "Deployment", name)
    return owner
