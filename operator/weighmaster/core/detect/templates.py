"""Finding pod templates: at known places in known kinds, by structure in all others."""

from collections.abc import Iterator, Mapping

from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at

PLACES: dict[tuple[str, str], tuple[str, ...]] = {
    ("v1", "Pod"): ("spec",),
    ("v1", "PodTemplate"): ("template", "spec"),
    ("v1", "ReplicationController"): ("spec", "template", "spec"),
    ("apps/v1", "Deployment"): ("spec", "template", "spec"),
    ("apps/v1", "StatefulSet"): ("spec", "template", "spec"),
    ("apps/v1", "DaemonSet"): ("spec", "template", "spec"),
    ("apps/v1", "ReplicaSet"): ("spec", "template", "spec"),
    ("batch/v1", "Job"): ("spec", "template", "spec"),
    ("batch/v1", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
"""Where the kinds of Kubernetes itself keep their pod spec."""

_QUIET_KINDS = (
    "ConfigMap Secret Service ServiceAccount Namespace PersistentVolume PersistentVolumeClaim "
    "Event "
    "Endpoints Node LimitRange ResourceQuota Binding ComponentStatus"
)
QUIET: frozenset[tuple[str, str]] = frozenset(
    {("v1", kind) for kind in _QUIET_KINDS.split()}
    | {
        ("rbac.authorization.k8s.io/v1", kind)
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    }
    | {
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("autoscaling/v1", "HorizontalPodAutoscaler"),
        ("storage.k8s.io/v1", "StorageClass"),
        ("scheduling.k8s.io/v1", "PriorityClass"),
        ("coordination.k8s.io/v1", "Lease"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
        ("apps/v1", "ControllerRevision"),
    }
)
"""Kinds that neither run nor name anything."""

_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")
_SINGLE = ("mainContainer", "container", "containerSpec", "script", "containerTemplate", "runner")


class Template:
    """A pod spec (or something of its shape) and the metadata beside it."""

    __slots__ = ("metadata", "path", "single", "spec")

    def __init__(
        self,
        spec: Mapping[str, Json],
        path: Path,
        metadata: Json,
        single: tuple[dict[str, Json], Path] | None = None,
    ) -> None:
        self.spec = spec
        self.path = path
        self.metadata = metadata
        self.single = single
        """The one container of a mapping that holds it without a list, and its path."""


def known(document: Mapping[str, Json], place: tuple[str, ...]) -> Template | None:
    """The template at a known place, if there is one."""
    spec = at(document, *place)
    if type(spec) is not dict:
        return None
    parent = at(document, *place[:-1]) if len(place) > 1 else document
    return Template(spec, below(None, *place), parent.get("metadata"))


def structural(
    document: Mapping[str, Json], named: list[tuple[str, Path]] | None = None
) -> Iterator[Template]:
    """Every mapping that has the shape of a pod spec, at any depth.

    ``named`` receives the values of fields that hold a model's address by their very name.
    """
    stack: list[tuple[Json, Path, Json]] = [
        (value, (None, key), document)
        for key, value in document.items()
        if key not in ("status", "metadata") and type(value) in (dict, list) and type(key) is str
    ]
    while stack:
        value, path, parent = stack.pop()
        if type(value) is list:
            for index in range(len(value) - 1, -1, -1):
                inner = value[index]
                if type(inner) is dict or type(inner) is list:
                    stack.append((inner, (path, index), value))
            continue
        skipped: frozenset[str | int] = _NO_KEYS
        telling = not _SAYING.isdisjoint(value)
        if telling and named is not None and not NAMING.isdisjoint(value):
            named += [
                (inner, (path, key))
                for key, inner in value.items()
                if key in NAMING and type(inner) is str and inner
            ]
        if telling and not _TELLING.isdisjoint(value):
            found = list(_templates(value, path, parent))
            yield from found
            for template in found:
                skipped |= _PODS_OWN if template.single is None else {_last(template.single[1])}
        for key, inner in value.items():
            kind = type(inner)
            if (kind is dict or kind is list) and key not in skipped and type(key) is str:
                stack.append((inner, (path, key), value))


NAMING = frozenset(
    {"storageUri", "storageURI", "modelUri", "modelURI", "modelURL", "artifactURL", "artifactUri",
     "sourceModelUri", "modelStorageUri", "weightsUri", "loraUri", "adapterUri"}
)  # fmt: skip
"""Fields that hold the address of a model in any kind."""
_NO_KEYS: frozenset[str | int] = frozenset({"relatedImages"})
"""What an operator's bundle only mirrors, and never runs."""
_TELLING = frozenset((*_CONTAINER_LISTS, *_SINGLE, "image"))
_SAYING = _TELLING | NAMING


def _templates(value: dict[str, Json], path: Path, parent: Json) -> Iterator[Template]:
    """What in a mapping has the shape of a pod spec or of a container."""
    if any(type(value.get(name)) is list for name in _CONTAINER_LISTS):
        metadata = parent.get("metadata") if type(parent) is dict else None
        yield Template(value, path, metadata)
    elif type(value.get("image")) is str and _runs(value):
        yield Template(value, path, None, (value, path))
    for key in _SINGLE:
        container = value.get(key)
        if type(container) is dict and _runs(container):
            yield Template(value, path, None, (container, (path, key)))


_PODS_OWN = frozenset(
    {"containers", "initContainers", "ephemeralContainers", "volumes", "affinity", "tolerations",
     "nodeSelector", "securityContext", "imagePullSecrets", "topologySpreadConstraints"}
)  # fmt: skip


def _last(path: Path) -> str | int:
    return path[1] if path is not None else ""


def _runs(container: dict[str, Json]) -> bool:
    return any(type(container.get(key)) is list for key in ("command", "args", "env")) or (
        type(container.get("image")) is str and "name" in container
    )
