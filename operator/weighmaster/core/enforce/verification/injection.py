"""Injection: a pod in which the verifying container stands where it must, and nobody writes after.

    init containers that write ──> the verifying one ──> whoever reads: read-only from here on

What already is so is left as it is, so that other webhooks may add what they like beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.enforce.verification.container import (
    Container,
    is_as_wanted,
    reader_context,
    verifying_container,
)
from weighmaster.core.enforce.verification.members import (
    EPHEMERAL,
    INIT,
    MAIN,
    Member,
    members,
    same_bytes,
)
from weighmaster.core.enforce.verification.plan import Plan
from weighmaster.core.installation import Installation
from weighmaster.core.mounted import CONTAINER

LABEL = "weighmaster.dev/verified-before-start"
"""On pods that have a verifying or staging container; the controller watches these."""

Document = Mapping[str, Any]


class Layout:
    """Which containers may write what is verified, and which come after that."""

    def __init__(self, spec: Mapping[str, Json], plan: Plan) -> None:
        self.volumes = same_bytes(spec, frozenset(volume for volume, _ in plan.mounts))
        self.members = list(members(spec))
        self._readers = plan.readers
        self._fetchers = plan.fetchers
        self._spec = spec

    def problem(self) -> str | None:
        """Why nothing that is verified in this pod would stay so; None if it would."""
        for member in self.members:
            if member.stays and member.passes_mounts_by:
                return (
                    f"{member.path} is privileged or has SYS_ADMIN, and could change what was"
                    " verified; take that away"
                )
            devices = (
                text(mapping(each).get("name")) for each in items(member.spec.get("volumeDevices"))
            )
            if not self.volumes.isdisjoint(devices):
                return f"{member.path} has the volume as a block device, and could change it"
        writer, reader = self._last_writer, self._first_reader
        if writer is not None and reader is not None and reader.index < writer.index:
            return (
                f"{writer.path} can write to the volume after {reader.path} has begun to read it;"
                " put it before"
            )
        return None

    @property
    def earliest(self) -> int:
        """The first index among the other init containers at which everything has been written."""
        writer = self._last_writer
        return 0 if writer is None else self._others.index(writer) + 1

    @property
    def latest(self) -> int:
        """The last index among the other init containers at which nothing has been read."""
        reader = self._first_reader
        return len(self._others) if reader is None else self._others.index(reader)

    @property
    def readers(self) -> list[Member]:
        """Containers that load what is verified."""
        return [member for member in self.members if member.name in self._readers]

    @property
    def _others(self) -> list[Member]:
        return [member for member in self.members if member.listed == INIT]

    @property
    def _last_writer(self) -> Member | None:
        writers = [
            member
            for member in self._others
            if not member.stays and member.name not in self._readers and self._could_write(member)
        ]
        return writers[-1] if writers else None

    def _could_write(self, member: Member) -> bool:
        """Whether it has the volume to write, or need not ask for it."""
        return (
            member.writes(self.volumes) or member.name in self._fetchers or member.passes_mounts_by
        )

    @property
    def _first_reader(self) -> Member | None:
        readers = [member for member in self._others if member.name in self._readers]
        return readers[0] if readers else None


def inject(pod: Document, plan: Plan, installation: Installation) -> Document:
    """A pod with the verifying container in it, its volumes read-only for all who come after."""
    spec = mapping(pod.get("spec"))
    layout = Layout(spec, plan)
    wanted = verifying_container(
        installation, plan.expectations, plan.mounts, reader_context(spec, layout.readers)
    )
    made = {
        **spec,
        INIT: _with_container(items(spec.get(INIT)), wanted, layout),
        MAIN: [read_only(each, layout.volumes) for each in items(spec.get(MAIN))],
    }
    if spec.get(EPHEMERAL):
        made[EPHEMERAL] = [read_only(each, layout.volumes) for each in items(spec[EPHEMERAL])]
    return {**pod, "metadata": labelled(mapping(pod.get("metadata"))), "spec": made}


def _with_container(listed: Sequence[Json], wanted: Container, layout: Layout) -> list[Json]:
    """Init containers with the verifying one at its place, and those after it made read-only."""
    others = [each for each in listed if mapping(each).get("name") != CONTAINER]
    found = [index for index, each in enumerate(listed) if mapping(each).get("name") == CONTAINER]
    stays = len(found) == 1 and layout.earliest <= found[0] <= layout.latest
    at = found[0] if stays else layout.latest
    container: Mapping[str, Json] = wanted
    if stays and is_as_wanted(mapping(listed[at]), wanted):
        container = listed[at]
    after = {
        index
        for index, each in enumerate(others)
        if index >= at or mapping(each).get("restartPolicy") == "Always"
    }
    made = [
        read_only(each, layout.volumes) if index in after else each
        for index, each in enumerate(others)
    ]
    return [*made[:at], container, *made[at:]]


def read_only(container: Json, volumes: frozenset[str]) -> Json:
    """A container that can only read from some volumes."""
    mounts = items(mapping(container).get("volumeMounts"))
    made = [
        {**mount, "readOnly": True}
        if text(mapping(mount).get("name")) in volumes and mount.get("readOnly") is not True
        else mount
        for mount in mounts
    ]
    return container if made == mounts else {**container, "volumeMounts": made}


def labelled(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """The metadata of a pod that has a container of ours."""
    return {**metadata, "labels": {**mapping(metadata.get("labels")), LABEL: "true"}}
