"""A pod while it is being confined: a copy that the steps change, and what they refuse."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from weighmaster.core.reasons import Reason

Json = dict[str, Any]

MAX_DEPTH = 64
"""Mappings and lists in each other; the deepest field of a pod that the API server knows is 14."""

LISTS = ("initContainers", "containers", "ephemeralContainers")

_TEXTS: list[Any] = [str]
_SECURITY = {
    "capabilities": {"add": _TEXTS, "drop": _TEXTS},
    "seccompProfile": {"type": str},
    "appArmorProfile": {"type": str},
    "seLinuxOptions": {"type": str, "user": str, "role": str},
    "windowsOptions": {},
    "runAsUser": int,
}
_HANDLER = {"httpGet": {"host": str}, "tcpSocket": {"host": str}}
_AMOUNTS: dict[str, Any] = {"limits": {}, "requests": {}}
_CONTAINER = {
    "name": str,
    "securityContext": _SECURITY,
    "resources": _AMOUNTS,
    "env": [{"name": str, "value": str, "valueFrom": {"secretKeyRef": {}}}],
    "envFrom": [{"secretRef": {}}],
    "ports": [{}],
    "volumeMounts": [{"name": str, "mountPath": str, "mountPropagation": str}],
    "volumeDevices": [{}],
    "livenessProbe": _HANDLER,
    "readinessProbe": _HANDLER,
    "startupProbe": _HANDLER,
    "lifecycle": {"postStart": _HANDLER, "preStop": _HANDLER},
}
_VOLUME = {
    "name": str,
    "csi": {"driver": str},
    "hostPath": {"path": str, "type": str},
    "persistentVolumeClaim": {"claimName": str},
    "projected": {"sources": [{}]},
}
_POD: dict[str, Any] = {
    "metadata": {"labels": {}, "annotations": {}},
    "spec": {
        **{name: [_CONTAINER] for name in LISTS},
        "activeDeadlineSeconds": int,
        "nodeSelector": {},
        "os": {"name": str},
        "resources": _AMOUNTS,
        "runtimeClassName": str,
        "securityContext": {**_SECURITY, "sysctls": [{}]},
        "tolerations": [{}],
        "volumes": [_VOLUME],
    },
}
"""The types that confinement relies on. The API server keeps to them; a file need not."""


class Refusal(Struct, frozen=True):
    """Why a pod cannot be confined: the field, and what about it."""

    reason: Reason
    path: str
    message: str


class Draft:
    """A pod that is being confined."""

    def __init__(self, pod: Mapping[str, Any]) -> None:
        self.refusals: list[Refusal] = []
        self.malformed = True
        """Whether the pod cannot be read; then nothing else may be asked."""
        misfit = next(_misfits(pod, _POD, ""), None)
        if misfit is not None:
            self.refuse(misfit, "has a type that it cannot have")
            return
        if not _is_shallow(pod):
            self.refuse("spec", f"is nested more than {MAX_DEPTH} deep")
            return
        self.malformed = False
        self.pod: Json = {**pod}
        self.metadata = self.pod["metadata"] = copy.deepcopy(pod.get("metadata") or {})
        self.spec = self.pod["spec"] = copy.deepcopy(pod.get("spec") or {})

    def refuse(self, path: str, message: str, reason: Reason = Reason.SANDBOX_IMPOSSIBLE) -> None:
        """Note something that cannot be confined."""
        self.refusals.append(Refusal(reason, path, message))

    def containers(self, lists: tuple[str, ...] = LISTS) -> Iterator[tuple[Json, str]]:
        """Every container and its path."""
        for name in lists:
            for index, container in enumerate(self.spec.get(name) or ()):
                yield container, f"spec.{name}[{index}]"


def _is_shallow(value: Any) -> bool:
    """Whether a value can be copied and compared without running out of stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def part(parent: Json, key: str) -> Json:
    """The mapping below a key, made if there is none."""
    found = parent.get(key)
    if found is None:
        found = parent[key] = {}
    made: Json = found
    return made


def keep(parent: Json, key: str, kept: list[Any]) -> None:
    """Set a list that elements were taken from; the API server keeps no empty one."""
    if kept:
        parent[key] = kept
    else:
        parent.pop(key, None)


def _misfits(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Fields whose value has another type than their shape; null counts as not given."""
    if value is None:
        return
    if isinstance(shape, type):
        if type(value) is not shape:
            yield path
    elif isinstance(shape, list):
        if type(value) is not list:
            yield path
            return
        for index, inner in enumerate(value):
            if inner is None:
                yield f"{path}[{index}]"
            yield from _misfits(inner, shape[0], f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield path
    else:
        for key, inner in shape.items():
            yield from _misfits(value.get(key), inner, f"{path}.{key}" if path else key)
