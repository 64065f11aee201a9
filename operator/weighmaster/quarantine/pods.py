"""Pods as the audit knows them: what they serve and whether they are confined, no whole objects.

Replicas serve the same, so what they serve is one value: ten thousand pods of a hundred Deployments
are a hundred things to judge.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct, field, structs

from weighmaster.api.v1alpha1.sandbox import MAX_PROFILE_NAME
from weighmaster.cluster.client import Json
from weighmaster.cluster.reflector import ObjectKey
from weighmaster.core.detect import detect
from weighmaster.core.enforce.confinement.marks import QUARANTINED_AT, QUARANTINED_BY
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.enforce.verification.weighing import Weighing, read_weighing
from weighmaster.core.evaluate.selectors import Labels
from weighmaster.core.evaluate.subject import Workload
from weighmaster.core.values import ModelUse
from weighmaster.pipeline import describe

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
_ENDED = frozenset({"Succeeded", "Failed"})


class Served(Struct, frozen=True, eq=False, weakref=True):
    """What pods that are alike serve. It is compared by identity, and there is one for all.

    ``weighing`` is what was verified before their servers started, if anything was.
    """

    workload: Workload
    uses: tuple[ModelUse, ...]
    weighing: Weighing | None = None


class Owner(Struct, frozen=True):
    """An object, such as the controller of a pod."""

    api_version: str
    kind: str
    name: str
    uid: str


class Pod(Struct, frozen=True, kw_only=True):
    """A pod that has not ended.

    ``profile`` is the value of its sandbox label, empty if it has none, or one that cannot be the
    name of a profile, so that no NetworkPolicy goes by it; ``quarantined`` says that
    it was given to it while it ran. ``deadline`` is its ``activeDeadlineSeconds``, counted from
    ``started``. ``grace`` are the seconds that it may take to shut down, and ``ends`` is when they
    are over once it is ``leaving``. ``digest`` tells its spec from others.
    """

    namespace: str
    name: str
    uid: str
    served: Served
    digest: int
    owner: Owner | None = None
    profile: str = ""
    quarantined: bool = False
    quarantined_at: datetime | None = None
    quarantined_by: str = ""
    started: datetime | None = None
    deadline: int | None = None
    leaving: bool = False
    grace: int = 30
    ends: datetime | None = None
    host_network: bool = False

    @property
    def labels(self) -> Labels:
        """Its labels, as NetworkPolicies select them."""
        labels = self.served.workload.label_sets[0]
        return {**labels, SANDBOX_LABEL: self.profile} if self.profile else labels


class _Reference(Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class _Metadata(Struct, rename="camel"):
    uid: str = ""
    generate_name: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    owner_references: list[_Reference] = field(default_factory=list)
    deletion_timestamp: str | None = None


class _Spec(Struct, rename="camel"):
    active_deadline_seconds: int | None = None
    termination_grace_period_seconds: int | None = None
    host_network: bool = False


class _Status(Struct, rename="camel"):
    phase: str = ""
    start_time: datetime | None = None


class _Stored(Struct):
    metadata: _Metadata
    spec: _Spec
    status: _Status = field(default_factory=_Status)


class Pods:
    """The pods that serve models or are confined. A Sink for a reflector, with its ``keep``."""

    def __init__(self, on_change: Callable[[], None], image: str | None = None) -> None:
        """``image`` is Weighmaster's own, by which its containers in pods are known."""
        self._image = image
        self._pods: dict[ObjectKey, Pod] = {}
        self._served: WeakValueDictionary[Any, Served] = WeakValueDictionary()
        self._on_change = on_change

    def __iter__(self) -> Iterator[Pod]:
        return iter(self._pods.values())

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, namespace: str, name: str) -> Pod | None:
        """A pod by its name."""
        return self._pods.get((namespace, name))

    def keep(self, stored: Json) -> Pod | ObjectKey:
        """What is known of a pod from now on; only its key if nothing has to be. Never raises."""
        document = {"apiVersion": "v1", "kind": "Pod", **stored}  # in a list they have neither
        metadata: Json = stored.get("metadata") or {}
        key = str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
        try:
            typed = msgspec.convert(stored, _Stored)
        except msgspec.ValidationError:  # no API server stores such a pod
            typed = _Stored(_Metadata(uid=str(metadata.get("uid") or "")), _Spec())
        if typed.status.phase in _ENDED:
            return key
        described = describe(document, *key, None)
        labels = dict(described.label_sets[0])
        profile = _profile(metadata.get("labels"))
        before = self._pods.get(key)
        annotations = typed.metadata.annotations
        weighing = read_weighing(stored, self._image)
        digest = hash((msgspec.json.encode([stored.get("spec"), annotations, labels]), weighing))
        if before is not None and (before.uid, before.digest) == (typed.metadata.uid, digest):
            served = before.served
        else:
            uses = detect(document)
            if not uses and not profile:
                return key
            name = typed.metadata.generate_name or key[1]
            workload = structs.replace(described, name=name, label_sets=(labels,))
            served = self._one(workload, uses, weighing)
        if not served.uses and not profile:
            return key
        return Pod(
            namespace=key[0],
            name=key[1],
            uid=typed.metadata.uid,
            served=served,
            digest=digest,
            owner=_owner(typed.metadata.owner_references),
            profile=profile,
            quarantined=bool(profile) and QUARANTINED_AT in annotations,
            quarantined_at=_time(annotations.get(QUARANTINED_AT, "")),
            quarantined_by=annotations.get(QUARANTINED_BY, ""),
            started=_aware(typed.status.start_time),
            deadline=typed.spec.active_deadline_seconds,
            leaving=typed.metadata.deletion_timestamp is not None,
            grace=typed.spec.termination_grace_period_seconds or 0,
            ends=_time(typed.metadata.deletion_timestamp or ""),
            host_network=typed.spec.host_network,
        )

    def replace(self, resource: str, objects: list[Pod | ObjectKey]) -> None:  # noqa: ARG002
        """Take a full listing in place of everything before."""
        self._pods = {(pod.namespace, pod.name): pod for pod in objects if isinstance(pod, Pod)}
        self._on_change()

    def update(self, resource: str, stored: Pod | ObjectKey) -> None:
        """Take a new or changed pod."""
        if not isinstance(stored, Pod):
            self.remove(resource, stored)
        elif self._pods.get((stored.namespace, stored.name)) != stored:
            self._pods[stored.namespace, stored.name] = stored
            self._on_change()

    def remove(self, resource: str, key: ObjectKey) -> None:  # noqa: ARG002
        """Forget a pod."""
        if self._pods.pop(key, None) is not None:
            self._on_change()

    def _one(
        self, workload: Workload, uses: tuple[ModelUse, ...], weighing: Weighing | None
    ) -> Served:
        labels = frozenset(workload.label_sets[0].items())
        key = (workload.namespace, workload.name, labels, uses, weighing)
        found = self._served.get(key)
        if found is None:
            found = self._served[key] = Served(workload, uses, weighing)
        return found


def _profile(labels: object) -> str:
    """The profile that the label names. Whoever makes a pod may write anything into it."""
    found = labels.get(SANDBOX_LABEL) if isinstance(labels, dict) else None
    is_name = isinstance(found, str) and len(found) <= MAX_PROFILE_NAME and _NAME.match(found)
    return str(found) if is_name else ""


def _owner(references: list[_Reference]) -> Owner | None:
    for each in references:
        if each.controller:
            return Owner(each.api_version, each.kind, each.name, each.uid)
    return None


def _time(text: str) -> datetime | None:
    try:
        return _aware(datetime.fromisoformat(text))
    except ValueError:
        return None


def _aware(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
