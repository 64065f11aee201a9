"""Containers of a pod, and who of them can write what another reads."""

from collections.abc import Iterator, Mapping
from posixpath import normpath

from msgspec import Struct

from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.mounted import CONTAINER

INIT, MAIN, EPHEMERAL = "initContainers", "containers", "ephemeralContainers"

_BEYOND_MOUNTS = frozenset({"ALL", "SYS_ADMIN", "CAP_SYS_ADMIN"})
"""Capabilities by which a container can make a read-only mount a writable one (mount(2))."""


class Member(Struct, frozen=True, eq=False):
    """One container: its spec, the list it stands in, and where there."""

    spec: Mapping[str, Json]
    listed: str
    index: int

    @property
    def name(self) -> str:
        """Its name."""
        return text(self.spec.get("name"))

    @property
    def path(self) -> str:
        """The field that it is, for people."""
        return f"spec.{self.listed}[{self.index}]"

    @property
    def stays(self) -> bool:
        """Whether it runs while servers do: every one but an ordinary init container."""
        return self.listed != INIT or self.spec.get("restartPolicy") == "Always"

    @property
    def mounts(self) -> list[Mapping[str, Json]]:
        """Its mounts."""
        return [mapping(mount) for mount in items(self.spec.get("volumeMounts"))]

    @property
    def passes_mounts_by(self) -> bool:
        """Whether it can write to a volume whatever its mounts say."""
        security = mapping(self.spec.get("securityContext"))
        added = items(mapping(security.get("capabilities")).get("add"))
        names = {name.upper() for name in added if isinstance(name, str)}
        return security.get("privileged") is True or not names.isdisjoint(_BEYOND_MOUNTS)

    def writes(self, volumes: frozenset[str]) -> bool:
        """Whether it has one of these volumes mounted for writing."""
        return any(
            text(mount.get("name")) in volumes and mount.get("readOnly") is not True
            for mount in self.mounts
        )

    def mounts_any(self, volumes: frozenset[str]) -> bool:
        """Whether it has one of these volumes mounted at all."""
        return any(text(mount.get("name")) in volumes for mount in self.mounts)


def members(spec: Mapping[str, Json]) -> Iterator[Member]:
    """All containers of a pod but the verifying one, in the order in which they start.

    Only an init container of its name counts as that; it is taken out or replaced.
    """
    for listed in (INIT, MAIN, EPHEMERAL):
        for index, container in enumerate(items(spec.get(listed))):
            member = Member(mapping(container), listed, index)
            if listed != INIT or member.name != CONTAINER:
                yield member


def same_bytes(spec: Mapping[str, Json], names: frozenset[str]) -> frozenset[str]:
    """The volumes of these names and all others of the pod that show some of the same files."""
    volumes = {
        text(volume.get("name")): volume for volume in map(mapping, items(spec.get("volumes")))
    }
    wanted = [volumes[name] for name in names if name in volumes]
    return names | {
        name for name, volume in volumes.items() if any(_overlap(volume, other) for other in wanted)
    }


def _overlap(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    claim, second = (mapping(each.get("persistentVolumeClaim")) for each in (one, other))
    if claim and second:
        return text(claim.get("claimName")) == text(second.get("claimName"))
    for kind in ("hostPath", "nfs"):
        here, there = mapping(one.get(kind)), mapping(other.get(kind))
        if here and there and text(here.get("server")) == text(there.get("server")):
            return _nested(text(here.get("path")), text(there.get("path")))
    inline, beside = mapping(one.get("csi")), mapping(other.get("csi"))
    if inline and beside:
        # What a driver shows is its own affair: two volumes of one driver may be one bucket.
        return text(inline.get("driver")) == text(beside.get("driver"))
    return False


def _nested(one: str, other: str) -> bool:
    first, second = (normpath(f"/{path}").rstrip("/") + "/" for path in (one, other))
    return first.startswith(second) or second.startswith(first)
