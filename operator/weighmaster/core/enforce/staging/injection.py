"""Injection: a pod in which models are downloaded and verified before whoever loads them starts.

    other init containers ──> the staging one ──> whoever loads: read-only, and offline

What already is so is left as it is, so that other webhooks may add what they like beside it.
"""

from collections.abc import Iterable, Mapping
from posixpath import normpath

from msgspec import Struct

from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.detect.volumes import is_below
from weighmaster.core.enforce.confinement.quantities import parse_quantity
from weighmaster.core.enforce.staging.container import staging_container, token_of
from weighmaster.core.enforce.staging.restating import NotStageable, with_variables
from weighmaster.core.enforce.verification.container import (
    Container,
    is_as_wanted,
    reader_context,
)
from weighmaster.core.enforce.verification.injection import read_only
from weighmaster.core.enforce.verification.members import EPHEMERAL, INIT, MAIN, Member, members
from weighmaster.core.installation import Installation
from weighmaster.core.staged import CONTAINER, VOLUME, Downloads

MOUNT = "/weighmaster/models"
"""Where servers find the volume."""

Spec = Mapping[str, Json]

_GIBIBYTE = 1024**3
_OURS = frozenset({VOLUME})


class Stage(Struct, frozen=True):
    """What is downloaded in a pod, and which containers load it.

    ``size`` is that of all files together in bytes, None where it is not known.
    """

    downloads: Downloads
    loaders: frozenset[str]
    size: int | None


def injected(spec: Spec, stage: Stage, installation: Installation) -> Spec:
    """The spec of a pod with everything that staging needs. Raises NotStageable."""
    listed = [each for each in members(spec) if not _is_ours(each)]
    loaders = [member for member in listed if member.name in stage.loaders]
    _require_sound(spec, listed, loaders)
    wanted = staging_container(
        installation, stage.downloads, token_of(loaders), reader_context(spec, loaders)
    )
    made: dict[str, Json] = {**spec}
    for name in (INIT, MAIN, EPHEMERAL):
        if name in spec:
            made[name] = [
                _as_reader(each, loads=_loads(each, stage))
                for each in items(spec[name])
                if name != INIT or mapping(each).get("name") != CONTAINER
            ]
    first = next((each.index for each in loaders if each.listed == INIT), None)
    made[INIT] = _with_container(items(spec.get(INIT)), items(made.get(INIT)), first, wanted)
    made["volumes"] = _with_volume(items(spec.get("volumes")), stage.size)
    return made


def _is_ours(member: Member) -> bool:
    return member.listed == INIT and member.name == CONTAINER


def _loads(container: Json, stage: Stage) -> bool:
    return text(mapping(container).get("name")) in stage.loaders


def _require_sound(spec: Spec, listed: Iterable[Member], loaders: list[Member]) -> None:
    """Raise NotStageable where what was verified would not stay so, or would not be seen."""
    first = next((each.index for each in loaders if each.listed == INIT), None)
    for member in listed:
        if member.name == CONTAINER:
            raise NotStageable(f"{member.path} has the name of Weighmaster's own; rename it")
        late = member.stays or (first is not None and member.index >= first)
        if late and member.passes_mounts_by:
            raise NotStageable(
                f"{member.path} is privileged or has SYS_ADMIN, and could change what was"
                " downloaded; take that away"
            )
    for volume in map(mapping, items(spec.get("volumes"))):
        if volume.get("name") == VOLUME and set(volume) != {"name", "emptyDir"}:
            raise NotStageable(f"the volume {VOLUME} has the name of Weighmaster's own; rename it")
    for loader in loaders:
        for mount in loader.mounts:
            at = normpath(text(mount.get("mountPath")) or ".")
            if is_below(at, MOUNT) and not _is_own_mount(mount):
                raise NotStageable(
                    f"{loader.path} has a mount at {at}, where the models have to be; move it"
                )


def _is_own_mount(mount: Mapping[str, Json]) -> bool:
    return (
        text(mount.get("name")) == VOLUME
        and normpath(text(mount.get("mountPath")) or ".") == MOUNT
        and not mount.get("subPath")
        and not mount.get("subPathExpr")
    )


def _as_reader(container: Json, *, loads: bool) -> Json:
    """A container that can only read from the volume; one that loads from it, offline."""
    made = read_only(container, _OURS)
    if not loads:
        return made
    mounts = items(mapping(made).get("volumeMounts"))
    if not any(_is_own_mount(mapping(mount)) for mount in mounts):
        own = {"name": VOLUME, "mountPath": MOUNT, "readOnly": True}
        made = {**mapping(made), "volumeMounts": [*mounts, own]}
    return with_variables(mapping(made))


def _with_container(
    listed: list[Json], others: list[Json], first: int | None, wanted: Container
) -> list[Json]:
    """Init containers with the staging one where it is, if it may stand there, else at its place.

    ``first`` is the index among all of the first that loads.
    """
    found = [index for index, each in enumerate(listed) if mapping(each).get("name") == CONTAINER]
    ahead = 0 if first is None else sum(index < first for index in found)
    latest = len(others) if first is None else first - ahead
    earliest = _after_privileged(others[:latest])
    stays = len(found) == 1 and earliest <= found[0] <= latest
    at = found[0] if stays else latest
    container: Mapping[str, Json] = wanted
    if stays and is_as_wanted(mapping(listed[at]), wanted):
        container = mapping(listed[at])
    return [*others[:at], container, *others[at:]]


def _after_privileged(others: list[Json]) -> int:
    """The first place at which nobody is left who could change what read-only mounts show."""
    passing = [
        index
        for index, each in enumerate(others)
        if Member(mapping(each), INIT, index).passes_mounts_by
    ]
    return passing[-1] + 1 if passing else 0


def _with_volume(listed: list[Json], size: int | None) -> list[Json]:
    """The volumes of a pod with the one for models, no larger than they need."""
    wanted: dict[str, Json] = {"name": VOLUME, "emptyDir": {}}
    if size is not None:
        # A part that is resumed takes its place once; file systems need some of their own.
        gibibytes = 1 + -(-size * 21 // (20 * _GIBIBYTE))
        wanted["emptyDir"] = {"sizeLimit": f"{gibibytes}Gi"}
    if not any(mapping(volume).get("name") == VOLUME for volume in listed):
        return [*listed, wanted]
    return [
        wanted
        if mapping(volume).get("name") == VOLUME and not _is_wanted_volume(mapping(volume), wanted)
        else volume
        for volume in listed
    ]


def _is_wanted_volume(volume: Mapping[str, Json], wanted: Mapping[str, Json]) -> bool:
    found, wished = mapping(volume.get("emptyDir")), mapping(wanted["emptyDir"])
    return set(found) == set(wished) and all(
        parse_quantity(found[name]) == parse_quantity(wished[name]) for name in wished
    )
