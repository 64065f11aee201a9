"""Reports: what a container of ours in a pod has said last, of what it verified. Pure."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from weighmaster.cluster.client import Json
from weighmaster.cluster.reflector import ObjectKey
from weighmaster.core import mounted, staged
from weighmaster.core.detect.reading import items, mapping
from weighmaster.core.enforce.staging.container import read_container as read_staging_container
from weighmaster.core.enforce.verification.container import read_container
from weighmaster.core.enforce.verification.weighing import last_end, only_named
from weighmaster.core.mounted import Expectation, Verdict
from weighmaster.quarantine.pods import Owner


class Report(Struct, frozen=True, kw_only=True):
    """What was said in one pod, and when the ``container`` ended that said it.

    ``expected`` is what it was told to check: it can have said nothing of anything else.
    """

    namespace: str
    pod: Owner
    owner: Owner | None
    container: str
    at: datetime
    expected: tuple[Expectation, ...]
    verdict: Verdict


class Reports:
    """The reports of pods, by pod. A Sink for a reflector, with its ``keep``."""

    def __init__(self, image: str | None, on_change: Callable[[], None]) -> None:
        self._image = image
        self._reports: dict[ObjectKey, tuple[Report, ...]] = {}
        self._on_change = on_change

    def __iter__(self) -> Iterator[Report]:
        for reports in self._reports.values():
            yield from reports

    def keep(self, stored: Json) -> tuple[ObjectKey, tuple[Report, ...]]:
        """A pod's key, and its reports."""
        return _key(stored), read_reports(stored, self._image)

    def replace(
        self,
        resource: str,  # noqa: ARG002
        objects: list[tuple[ObjectKey, tuple[Report, ...]]],
    ) -> None:
        """Take a full listing in place of everything before."""
        self._reports = {key: reports for key, reports in objects if reports}
        self._on_change()

    def update(
        self,
        resource: str,
        stored: tuple[ObjectKey, tuple[Report, ...]],
    ) -> None:
        """Take a new or changed pod."""
        key, reports = stored
        if not reports:
            self.remove(resource, key)
        elif self._reports.get(key) != reports:
            self._reports[key] = reports
            self._on_change()

    def remove(self, resource: str, key: ObjectKey) -> None:  # noqa: ARG002
        """Forget a pod."""
        self._reports.pop(key, None)


def read_reports(stored: Json, image: str | None) -> tuple[Report, ...]:
    """The reports of a pod: of those containers that are ours and have ended. Never raises.

    ``image`` is Weighmaster's own.
    """
    found = (_read(stored, name, image) for name in (staged.CONTAINER, mounted.CONTAINER))
    return tuple(report for report in found if report is not None)


def _read(stored: Json, name: str, image: str | None) -> Report | None:
    metadata = mapping(stored.get("metadata"))
    container = only_named(mapping(stored.get("spec")), name)
    expected = _expected(container, name, image) if container is not None else None
    ended = last_end(stored.get("status"), name)
    if expected is None or ended is None or ended.finished_at is None:
        return None
    verdict = mounted.decode_verdict(ended.message)
    if verdict is None:
        return None
    return Report(
        namespace=str(metadata.get("namespace") or ""),
        pod=Owner("v1", "Pod", str(metadata.get("name")), str(metadata.get("uid"))),
        owner=_owner(metadata),
        container=name,
        at=_aware(ended.finished_at),
        expected=expected,
        verdict=verdict,
    )


def _expected(
    container: Mapping[str, Any], name: str, image: str | None
) -> tuple[Expectation, ...] | None:
    """What a container of ours was told to check; None for one that is not ours."""
    if name == mounted.CONTAINER:
        return read_container(container, image)
    told = read_staging_container(container, image)
    if told is None:
        return None
    return tuple(
        Expectation(reference=each.reference, mount="0", path=each.folder, digest=each.digest)
        for each in told.models
    )


def _owner(metadata: Json) -> Owner | None:
    for each in map(mapping, items(metadata.get("ownerReferences"))):
        if each.get("controller") is True:
            parts = (str(each.get(key)) for key in ("apiVersion", "kind", "name", "uid"))
            return Owner(*parts)
    return None


def _key(stored: Json) -> ObjectKey:
    metadata = mapping(stored.get("metadata"))
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
