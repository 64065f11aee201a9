"""Reports: what the verifying container of one pod has said last. Pure."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from msgspec import Struct

from weighmaster.cluster.client import Json
from weighmaster.cluster.reflector import ObjectKey
from weighmaster.core.detect.reading import items, mapping
from weighmaster.core.enforce.verification.container import read_container
from weighmaster.core.enforce.verification.weighing import last_end, only_verifying
from weighmaster.core.mounted import Expectation, Verdict, decode_verdict
from weighmaster.quarantine.pods import Owner


class Report(Struct, frozen=True, kw_only=True):
    """What was said in one pod, and when the container ended that said it.

    ``expected`` is what it was told to check: it can have said nothing of anything else.
    """

    namespace: str
    pod: Owner
    owner: Owner | None
    at: datetime
    expected: tuple[Expectation, ...]
    verdict: Verdict


class Reports:
    """The reports of pods, by pod. A Sink for a reflector, with its ``keep``."""

    def __init__(self, image: str | None, on_change: Callable[[], None]) -> None:
        self._image = image
        self._reports: dict[ObjectKey, Report] = {}
        self._on_change = on_change

    def __iter__(self) -> Iterator[Report]:
        return iter(self._reports.values())

    def keep(self, stored: Json) -> Report | ObjectKey:
        """The report of a pod; only its key if it has none."""
        return read_report(stored, self._image) or _key(stored)

    def replace(self, resource: str, objects: list[Report | ObjectKey]) -> None:  # noqa: ARG002
        """Take a full listing in place of everything before."""
        reports = [each for each in objects if isinstance(each, Report)]
        self._reports = {(each.namespace, each.pod.name): each for each in reports}
        self._on_change()

    def update(self, resource: str, stored: Report | ObjectKey) -> None:
        """Take a new or changed pod."""
        if not isinstance(stored, Report):
            self.remove(resource, stored)
        elif self._reports.get((stored.namespace, stored.pod.name)) != stored:
            self._reports[stored.namespace, stored.pod.name] = stored
            self._on_change()

    def remove(self, resource: str, key: ObjectKey) -> None:  # noqa: ARG002
        """Forget a pod."""
        self._reports.pop(key, None)


def read_report(stored: Json, image: str | None) -> Report | None:
    """The report of a pod, if its verifying container is ours and has ended. Never raises.

    ``image`` is Weighmaster's own.
    """
    spec, metadata = mapping(stored.get("spec")), mapping(stored.get("metadata"))
    container = only_verifying(spec)
    if container is None:
        return None
    expected = read_container(container, image)
    ended = last_end(stored.get("status"))
    if expected is None or ended is None or ended.finished_at is None:
        return None
    verdict = decode_verdict(ended.message)
    if verdict is None:
        return None
    return Report(
        namespace=str(metadata.get("namespace") or ""),
        pod=Owner("v1", "Pod", str(metadata.get("name")), str(metadata.get("uid"))),
        owner=_owner(metadata),
        at=_aware(ended.finished_at),
        expected=expected,
        verdict=verdict,
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
