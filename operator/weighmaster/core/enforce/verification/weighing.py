"""Weighings: what the bytes of a pod that runs were verified by, before its servers started."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from posixpath import normpath
from typing import Any

import msgspec
from msgspec import Struct, field

from weighmaster.core import staged
from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.enforce.staging.container import read_container as read_staging_container
from weighmaster.core.enforce.verification.container import read_container
from weighmaster.core.enforce.verification.members import EPHEMERAL, INIT, MAIN
from weighmaster.core.enforce.verification.sites import Site
from weighmaster.core.mounted import CONTAINER, MOUNTS, Expectation, Proof, Verdict, decode_verdict
from weighmaster.core.staged import Download


class Weighed(Struct, frozen=True):
    """One place that a verifying container was told to check, and what it found there.

    ``proofs`` has for each of the expectation's signatures those that hold; None where nothing is
    known of that.
    """

    site: Site
    expectation: Expectation
    proofs: tuple[tuple[Proof, ...], ...] | None = None


class Weighing(Struct, frozen=True):
    """What was verified in a pod, and what was ``staged`` in it.

    ``outline`` is its spec as far as places are told by it, JSON.
    """

    outline: bytes
    weighed: tuple[Weighed, ...] = ()
    staged: tuple[Download, ...] = ()

    @property
    def spec(self) -> Mapping[str, Json]:
        """The outline."""
        return mapping(msgspec.json.decode(self.outline))


class Ended(Struct, rename="camel"):
    """How a container ended."""

    finished_at: datetime | None = None
    message: str = ""


class _State(Struct):
    terminated: Ended | None = None


class _ContainerStatus(Struct, rename="camel"):
    name: str = ""
    state: _State = field(default_factory=_State)
    last_state: _State = field(default_factory=_State)


class _Status(Struct, rename="camel"):
    init_container_statuses: list[_ContainerStatus] = field(default_factory=list)


def read_weighing(pod: Mapping[str, Any], image: str | None) -> Weighing | None:
    """The weighing of a stored pod; None if it has no container of ours. Never raises.

    ``image`` is Weighmaster's own.
    """
    spec = mapping(pod.get("spec"))
    weighed, downloads = _weighed(spec, pod.get("status"), image), _staged(spec, image)
    if not weighed and not downloads:
        return None
    return Weighing(
        outline=msgspec.json.encode(_outline(spec), order="deterministic"),
        weighed=weighed,
        staged=downloads,
    )


def _weighed(spec: Mapping[str, Json], status: Any, image: str | None) -> tuple[Weighed, ...]:
    container = only_named(spec, CONTAINER)
    expected = read_container(container, image) if container is not None else None
    if container is None or expected is None:
        return ()
    mounts = {
        normpath(text(mount.get("mountPath")) or "."): mount
        for mount in map(mapping, items(container.get("volumeMounts")))
    }
    ended = last_end(status, CONTAINER)
    verdict = decode_verdict(ended.message) if ended is not None else None
    return tuple(
        Weighed(_site(each, mounts), each, _proofs(each, number, verdict))
        for number, each in enumerate(expected)
    )


def _staged(spec: Mapping[str, Json], image: str | None) -> tuple[Download, ...]:
    container = only_named(spec, staged.CONTAINER)
    told = read_staging_container(container, image) if container is not None else None
    return told.models if told is not None else ()


def only_named(spec: Mapping[str, Json], name: str) -> Mapping[str, Json] | None:
    """The one init container of a name; whether it is ours, is open."""
    named = [each for each in map(mapping, items(spec.get(INIT))) if each.get("name") == name]
    return named[0] if len(named) == 1 else None


def last_end(status: Any, name: str) -> Ended | None:
    """How an init container ended last, by its pod's status: it may be running again."""
    try:
        statuses = msgspec.convert(mapping(status), _Status).init_container_statuses
    except msgspec.ValidationError:  # no API server stores such a status
        return None
    for each in statuses:
        if each.name == name:
            return each.state.terminated or each.last_state.terminated
    return None


def _site(expectation: Expectation, mounts: Mapping[str, Mapping[str, Json]]) -> Site:
    mount = mounts.get(f"{MOUNTS}/{expectation.mount}", {})
    shown = normpath(f"/{text(mount.get('subPath'))}").strip("/")
    return Site(
        text(mount.get("name")), shown, expectation.path, expectation.file, expectation.hidden
    )


def _proofs(
    expectation: Expectation, number: int, verdict: Verdict | None
) -> tuple[tuple[Proof, ...], ...] | None:
    """What was found for an expectation, if all of it was told: they are told in their order."""
    if verdict is None or number >= len(verdict.verified):
        return None
    proofs, asked = verdict.verified[number].proofs, expectation.signatures
    if len(proofs) != len(asked):
        return None
    for found, signatures in zip(proofs, asked, strict=True):
        signers = sum(map(len, signatures.authorities))
        if any(not 0 <= number < signers for proof in found for number in proof.by):
            return None
    return proofs


def _outline(spec: Mapping[str, Json]) -> dict[str, Sequence[Mapping[str, Json]]]:
    return {
        listed: [
            {key: each[key] for key in ("name", "restartPolicy", "volumeMounts") if key in each}
            for each in map(mapping, items(spec.get(listed)))
        ]
        for listed in (INIT, MAIN, EPHEMERAL)
        if spec.get(listed)
    }
