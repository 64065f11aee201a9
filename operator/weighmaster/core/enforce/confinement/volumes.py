"""Volumes of a sandboxed pod: its own scratch space, and shared storage that it can only read."""

from collections.abc import Iterable
from posixpath import normpath

from weighmaster.core.enforce.confinement.draft import Draft, Json

OWN = frozenset(
    {"configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "projected", "secret"}
)
"""Volumes that the pod shares with nobody, or can only read."""

SHARED = ("persistentVolumeClaim", "csi")
"""Volumes that others may load from: an unvetted model must not write there."""

SYSTEM_PATHS = (
    *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/lost+found", "/opt/cni"),
    *("/opt/containerd", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr"),  # noqa: S108
    *("/var/cache", "/var/lib/calico", "/var/lib/cilium", "/var/lib/cni", "/var/lib/containerd"),
    *("/var/lib/containers", "/var/lib/cri-dockerd", "/var/lib/crio", "/var/lib/docker"),
    *("/var/lib/dockershim", "/var/lib/etcd", "/var/lib/k0s", "/var/lib/kubelet"),
    *("/var/lib/rancher", "/var/log", "/var/run", "/var/snap", "/var/spool"),
)
"""Paths of a node that hold no models; neither they nor anything above or below them is shown."""

_SCHEME = "hostpath://"
_HOST_TYPES = {"DirectoryOrCreate": "Directory", "FileOrCreate": "File"}
_PLAIN_HOST_TYPES = frozenset({"", "Directory", "File"})


def confine_volumes(draft: Draft, references: Iterable[str]) -> None:
    """Make shared volumes read-only, and refuse those that reach out of the sandbox.

    ``references`` are the canonical locations of the models that the pod names; a path of the node
    is shown only where one of them lies in it.
    """
    models = [found[len(_SCHEME) :] for found in references if found.startswith(_SCHEME)]
    shared = set()
    for index, volume in enumerate(draft.spec.get("volumes") or ()):
        path = f"spec.volumes[{index}]"
        kinds = [key for key, value in volume.items() if key != "name" and value is not None]
        if len(kinds) > 1:
            draft.refuse(path, "is of more than one type")
        elif kinds and kinds[0] not in OWN:
            shared.add(volume.get("name"))
            _confine(draft, volume, path, kinds[0], models)
    for container, path in draft.containers():
        if container.get("volumeDevices"):
            draft.refuse(
                f"{path}.volumeDevices", "gives a raw device, which cannot be made read-only"
            )
        for mount in container.get("volumeMounts") or ():
            if mount.get("name") in shared:
                mount["readOnly"] = True
            if mount.get("mountPropagation") not in (None, "None"):
                del mount["mountPropagation"]


def _confine(draft: Draft, volume: Json, path: str, kind: str, models: list[str]) -> None:
    if kind in SHARED:
        volume[kind]["readOnly"] = True
    elif kind == "hostPath":
        _confine_host_path(draft, volume["hostPath"], f"{path}.hostPath", models)
    else:
        draft.refuse(
            f"{path}.{kind}",
            "is a type of volume that the restricted Pod Security Standard forbids; use a"
            " PersistentVolumeClaim",
        )


def _confine_host_path(draft: Draft, source: Json, path: str, models: list[str]) -> None:
    place = source.get("path") or ""
    kind = source.get("type") or ""
    if not place.startswith("/") or ".." in place.split("/"):
        draft.refuse(path, "is not a plain absolute path of the node")
        return
    clean = "/" + normpath(place).lstrip("/")
    if any(_overlap(clean, system) for system in SYSTEM_PATHS):
        draft.refuse(path, f"shows {clean}, which is, holds or is part of the node's own system")
    elif not any(_lies_in(model, clean) for model in models):
        draft.refuse(path, f"shows {clean} of the node, where none of the pod's models lies")
    elif kind in _HOST_TYPES:
        source["type"] = _HOST_TYPES[kind]
    elif kind not in _PLAIN_HOST_TYPES:
        draft.refuse(path, f"is a {kind} of the node")


def _overlap(one: str, other: str) -> bool:
    return _lies_in(one, other) or _lies_in(other, one)


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
