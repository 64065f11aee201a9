"""The plan: what is staged in a pod, and what its containers say instead of what they said.

    decision ──> what servers fetch themselves ──> containers restated ──> read again, use by use

A pod is staged as a whole or not at all: its servers are offline then, so what is not there they
could not load.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from weighmaster.core.decide import Decision
from weighmaster.core.detect.reading import Json, at, items, mapping
from weighmaster.core.enforce.pinning.places import Keys, parse
from weighmaster.core.enforce.staging.forms import INSTEAD, is_beside
from weighmaster.core.enforce.staging.injection import MOUNT, Stage
from weighmaster.core.enforce.staging.restating import Named, NotStageable, restate
from weighmaster.core.evaluate.demands import is_staged
from weighmaster.core.evaluate.records import Record, record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.staged import (
    CONTAINER,
    MAX_DOWNLOADS,
    MAX_DOWNLOADS_BYTES,
    VOLUME,
    Download,
    Downloads,
    encode_downloads,
)
from weighmaster.core.values import ModelReference, ModelUse, Role

_LISTS = ("initContainers", "containers", "ephemeralContainers")

_COMMIT = 12
"""Digits of a commit that tell it from others in a path."""


class Restated(Struct, frozen=True):
    """The spec of a pod whose containers name paths, and what is to be staged for it."""

    spec: Mapping[str, Json]
    stage: Stage


def make_plan(
    spec: Mapping[str, Json], where: Keys, decision: Decision, snapshot: Snapshot
) -> Restated:
    """The plan for the pod whose spec stands at ``where`` in its object. Raises NotStageable."""
    staged = [use for use in decision.uses if is_staged(use)]
    fetched = [use for use in decision.uses if is_fetched_by_server(use)]
    models: dict[str, Download] = {}
    sizes: dict[str, int | None] = {}
    for use in (*staged, *fetched):
        if use.process.container is None:
            raise NotStageable(f"which container loads {use.reference.canonical} is not known")
        record = _record(use, decision, snapshot)
        for folder in _folders(use):
            made = _download(use.reference, folder, record)
            if models.setdefault(folder, made) != made:
                raise NotStageable(f"two models are to be in one folder, {folder}")
            sizes[folder] = record.status.size_bytes
    downloads = Downloads(
        models=tuple(models[folder] for folder in sorted(models)),
        hub=snapshot.facilities.installation.hub,
    )
    too_long = len(encode_downloads(downloads)) > MAX_DOWNLOADS_BYTES
    if len(models) > MAX_DOWNLOADS or too_long:
        raise NotStageable("the pod has more models than one container can be told; split it up")
    known = [size for size in sizes.values() if size is not None]
    loaders = frozenset(use.process.container or "" for use in (*staged, *fetched))
    _require_no_other_way(decision.uses, loaders)
    stage = Stage(
        downloads=downloads,
        loaders=loaders,
        size=sum(known) if len(known) == len(sizes) else None,
    )
    return Restated(_restated(spec, where, fetched), stage)


def _require_no_other_way(uses: Sequence[ModelUse], loaders: frozenset[str]) -> None:
    """Raise NotStageable where a server's own script asks the hub, which it cannot any more."""
    for use in uses:
        fetches = use.process.runtime == "download" and use.reference.scheme == "hf"
        if fetches and use.process.container in loaders:
            raise NotStageable(
                f"its container fetches {use.reference.canonical} by itself as well ({use.path}),"
                " and would be offline; leave that out"
            )


def is_fetched_by_server(use: ModelUse) -> bool:
    """Whether a server fetches a model of the hub itself."""
    fetches = use.role is Role.FETCH or use.process.runtime == "download"
    reference = use.reference
    return reference.known and reference.scheme == "hf" and not use.places and not fetches


def is_as_planned(before: Sequence[ModelUse], after: Sequence[ModelUse]) -> bool:
    """Whether what is read of a staged pod is what was read of it before, from other places."""
    return _told(before) == _told(after) and not any(map(is_fetched_by_server, after))


def _told(uses: Sequence[ModelUse]) -> Counter[object]:
    """What uses say, but for fields and places; those count once that a model's own folder has."""
    found: Counter[object] = Counter()
    for use in uses:
        if not _counts(use):
            continue
        here = "" if is_staged(use) or is_fetched_by_server(use) else use.places
        found[use.reference.canonical, use.role, use.process, here] += 1
    return found


def _counts(use: ModelUse) -> bool:
    return use.process.container != CONTAINER and not (
        is_fetched_by_server(use) and is_beside(use.reason)
    )


def _record(use: ModelUse, decision: Decision, snapshot: Snapshot) -> Record:
    """What is known of the bytes of a use. Raises NotStageable where that is not enough."""
    key = record_key(use.reference, decision.workload.namespace)
    record = snapshot.records.get(key)
    known = record is not None and record.problem is None and record.renamed is None
    if record is not None and known and use.reference.pinned and record.status.loadable_digest:
        return record
    awaits = next(
        (each.awaits for each in decision.findings if each.use == use and each.awaits), None
    )
    lack = "its bytes are not known" if use.reference.pinned else "it is not pinned"
    raise NotStageable(
        f"{use.reference.canonical} is loaded as well ({use.path}), and {lack}", awaits
    )


def _download(reference: ModelReference, folder: str, record: Record) -> Download:
    return Download(
        reference=f"{reference.location}@{reference.revision}",
        folder=folder,
        digest=record.status.loadable_digest or "",
        fingerprints=record.status.fingerprints or "",
    )


def _folders(use: ModelUse) -> list[str]:
    """The folders of the volume that a model is in, or is to be in."""
    if use.places:
        return sorted({place.root.strip("/") for place in use.places if place.volume == VOLUME})
    name = use.reference.location.partition("://")[2]
    return [f"{(use.reference.revision or '')[:_COMMIT]}/{name}"]


def _restated(
    spec: Mapping[str, Json], where: Keys, fetched: Sequence[ModelUse]
) -> Mapping[str, Json]:
    """The spec with paths where containers name what servers fetch."""
    by_container: dict[tuple[str, int], list[Named]] = {}
    for use in _own(fetched):
        listed, index, place = _container_of(use, where)
        if use.reference.file is not None:
            raise NotStageable(f"{use.path} names a single file; {INSTEAD}")
        named = Named(use, place, f"{MOUNT}/{_folders(use)[0]}")
        by_container.setdefault((listed, index), []).append(named)
    made: dict[str, Json] = dict(spec)
    for (listed, index), group in by_container.items():
        containers = list(items(made.get(listed)))
        try:
            containers[index] = restate(mapping(containers[index]), group)
        except NotStageable as problem:
            raise NotStageable(f"{problem} ({group[0].use.path}); {INSTEAD}") from None
        made[listed] = containers
    return made


def _own(fetched: Sequence[ModelUse]) -> list[ModelUse]:
    """The uses that name a model. What is loaded beside it has to be in its folder too."""
    kept = [use for use in fetched if not is_beside(use.reason)]
    models = {(use.process.container, use.reference.canonical) for use in kept}
    for use in fetched:
        if is_beside(use.reason) and (use.process.container, use.reference.canonical) not in models:
            raise NotStageable(
                f"its tokenizer or code is of another revision ({use.reference.canonical}), and one"
                " folder has one; give both the same"
            )
    return kept


def _container_of(use: ModelUse, where: Keys) -> tuple[str, int, Keys]:
    """The list and index of the container that names a use, and the place in it."""
    keys = parse(use.path) or ()
    depth = len(where)
    if len(keys) > depth + 2 and keys[:depth] == where:
        listed, index = keys[depth], keys[depth + 1]
        if listed in _LISTS and isinstance(index, int):
            return str(listed), index, keys[depth + 2 :]
    raise NotStageable(f"it is named at {use.path}, outside of its containers; {INSTEAD}")


def spec_at(document: Mapping[str, Json], where: Keys) -> Mapping[str, Json]:
    """The spec of the pod that stands at ``where``."""
    return mapping(at(dict(document), *map(str, where)))
