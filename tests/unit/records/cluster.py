"""A cluster in memory, a gatherer that is told what to find, and a keeper between the two."""

import asyncio
import base64
import copy
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from weighmaster.api.v1alpha1.record import ModelRecordStatus
from weighmaster.cluster.client import ApiClient, Keep, Listing, everything
from weighmaster.core.evaluate.records import Record, read_record, record_name
from weighmaster.core.evidence import Evidence, Unavailable, UnavailableReason
from weighmaster.core.values import ModelReference
from weighmaster.errors import ClusterError
from weighmaster.gather.credentials import NONE, Credentials
from weighmaster.records.material import Kept, Kind

Json = dict[str, Any]

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PREFIX = "/apis/weighmaster.dev/v1alpha1/"
RECORDS = f"{PREFIX}modelrecords"


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **span: float) -> None:
        self.now += timedelta(**span)


class FakeCluster(ApiClient):
    """Keeps objects in memory as the API server does; statuses must be such as it accepts."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[str, Json]] = {}
        self.version = 0
        self.calls: Counter[str] = Counter()
        self.failures: list[ClusterError] = []
        self.lag = 0.0
        self._events: dict[str, list[tuple[int, Json]]] = {}
        self._changed = asyncio.Event()

    def put(self, plural: str, document: Json) -> None:
        """Create or change an object; a changed spec is a new generation, as in a cluster."""
        path = PREFIX + plural
        name = document["metadata"]["name"]
        before = self.objects.setdefault(path, {}).get(name)
        stored = copy.deepcopy(document)
        if before is not None:
            stored.setdefault("status", before.get("status", {}))
        same = before is not None and before["spec"] == stored["spec"]
        generation = before["metadata"]["generation"] if before is not None else 0
        stored["metadata"]["generation"] = generation if same else generation + 1
        stored["metadata"].setdefault("creationTimestamp", NOW.isoformat())
        self._store(path, stored, "MODIFIED" if before is not None else "ADDED")

    def remove(self, plural: str, name: str) -> None:
        path = PREFIX + plural
        stored = self.objects[path].pop(name)
        self._tell(path, stored, "DELETED")

    def record(self, name: str) -> Json:
        return self.objects[RECORDS][name]

    def status(self, name: str) -> Json:
        found: Json = self.objects.get(RECORDS, {}).get(name, {}).get("status") or {}
        return found

    async def list(
        self,
        path: str,
        *,
        metadata_only: bool = False,
        keep: Keep = everything,
        selector: str = "",
    ) -> Listing:
        assert not metadata_only
        assert not selector
        await self._answer("list")
        found = copy.deepcopy(list(self.objects.get(path, {}).values()))
        return Listing(list(map(keep, found)), str(self.version))

    async def watch(
        self,
        path: str,
        resource_version: str,
        seconds: int,
        *,
        metadata_only: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]:
        assert seconds > 0
        assert not metadata_only
        if on_open is not None:
            on_open()
        seen = int(resource_version)
        while True:
            changed = self._changed
            for version, event in list(self._events.get(path, ())):
                if version > seen:
                    seen = version
                    yield copy.deepcopy(event)
            await changed.wait()
            await asyncio.sleep(self.lag)

    async def get(self, path: str, *, metadata_only: bool = False) -> Json:
        assert not metadata_only
        await self._answer("get")
        collection, _, name = path.rpartition("/")
        if name not in self.objects.get(collection, {}):
            raise ClusterError(f"GET {path} gave 404", status=404)
        return copy.deepcopy(self.objects[collection][name])

    async def create(self, collection: str, body: Mapping[str, Any]) -> Json:
        await self._answer("create")
        name = body["metadata"]["name"]
        if name in self.objects.get(collection, {}):
            raise ClusterError("it is there", status=409)
        self.put(collection.removeprefix(PREFIX), copy.deepcopy(dict(body)))
        return self.objects[collection][name]

    async def delete(self, path: str, *, uid: str = "") -> None:
        assert not uid
        await self._answer("delete")
        collection, _, name = path.rpartition("/")
        if name in self.objects.get(collection, {}):
            self.remove(collection.removeprefix(PREFIX), name)

    async def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        await self._answer("patch")
        collection, _, name = path.rpartition("/")
        stored = copy.deepcopy(self.objects[collection][name])
        merge(stored, changes)
        self._store(collection, stored, "MODIFIED")

    async def patch_status(self, path: str, status: Mapping[str, Any]) -> None:
        await self._answer("patch_status")
        collection, _, name = path.rpartition("/")
        if name not in self.objects.get(collection, {}):
            raise ClusterError("it is gone", status=404)
        stored = copy.deepcopy(self.objects[collection][name])
        merge(stored, msgspec.json.decode(msgspec.json.encode({"status": status})))
        try:
            msgspec.convert(stored["status"], ModelRecordStatus)
        except msgspec.ValidationError as error:
            raise ClusterError(f"invalid: {error}", status=422) from None
        if stored != self.objects[collection][name]:
            self._store(collection, stored, "MODIFIED")

    async def _answer(self, verb: str) -> None:
        self.calls[verb] += 1
        await asyncio.sleep(0)
        if self.failures and verb != "list":
            raise self.failures.pop(0)

    def _store(self, path: str, stored: Json, kind: str) -> None:
        self.objects.setdefault(path, {})[stored["metadata"]["name"]] = stored
        self._tell(path, stored, kind)

    def _tell(self, path: str, stored: Json, kind: str) -> None:
        self.version += 1
        stored["metadata"]["resourceVersion"] = str(self.version)
        event = {"type": kind, "object": copy.deepcopy(stored)}
        self._events.setdefault(path, []).append((self.version, event))
        self._changed.set()
        self._changed = asyncio.Event()


def merge(target: Json, changes: Mapping[str, Any]) -> None:
    """RFC 7386, in place."""
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            inner = target.get(key)
            target[key] = inner if isinstance(inner, dict) else {}
            merge(target[key], value)
        else:
            target[key] = value


class FakeGatherer:
    """Finds what it is told to, or else a small model."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.answers: dict[str, Evidence | Unavailable | Exception] = {}
        self.asked: list[tuple[str, bool]] = []
        self.credentials: list[Credentials] = []
        self.gate: asyncio.Event | None = None
        self.at_once = 0
        self.most_at_once = 0
        self.finds: Callable[[str], Evidence] = evidence
        self.remembers = False
        self._memory: dict[str, Evidence] = {}

    async def resolve(
        self, reference: ModelReference, credentials: Credentials = NONE, *, refresh: bool = False
    ) -> Evidence | Unavailable:
        self.credentials.append(credentials)
        self.asked.append((reference.canonical, refresh))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.remembers and not refresh and reference.canonical in self._memory:
            return self._memory[reference.canonical]
        found = self.answers.get(reference.canonical) or self.finds(reference.canonical)
        if isinstance(found, Exception):
            raise found
        at = self.time.now.timestamp()
        if isinstance(found, Unavailable):
            return msgspec.structs.replace(found, at=at)
        self._memory[reference.canonical] = msgspec.structs.replace(found, fetched_at=at)
        return self._memory[reference.canonical]

    def count(self, reference: str) -> int:
        return sum(asked == reference for asked, _ in self.asked)


class FakeMaterial:
    """Secrets and ConfigMaps of Weighmaster's namespace."""

    namespace = "weighmaster-system"

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, str]] = {}
        self.config_maps: dict[str, dict[str, str]] = {}
        self.types: dict[str, str] = {}
        self.failure: ClusterError | None = None
        self.calls: Counter[str] = Counter()

    def put_secret(self, name: str, kind: str = "Opaque", **entries: bytes) -> None:
        self.secrets[name] = {
            key: base64.b64encode(value).decode() for key, value in entries.items()
        }
        self.types[name] = kind

    async def read(self, kind: Kind, name: str) -> Kept:
        self.calls[f"read {kind} {name}"] += 1
        data = self._found(kind, name)
        return Kept(kind, data, self._version(data), self.types.get(name, "Opaque"))

    async def version(self, kind: Kind, name: str) -> str:
        self.calls[f"version {kind} {name}"] += 1
        return self._version(self._found(kind, name))

    @staticmethod
    def _version(data: dict[str, str]) -> str:
        return str(zlib.crc32(msgspec.json.encode(data, order="deterministic")))

    def _found(self, kind: Kind, name: str) -> dict[str, str]:
        if self.failure is not None:
            raise self.failure
        objects = self.secrets if kind is Kind.SECRET else self.config_maps
        if name not in objects:
            raise ClusterError(f"GET {name} gave 404", status=404)
        return objects[name]


def evidence(reference: str, **fields: Any) -> Evidence:
    """Evidence of a small model without signatures."""
    return Evidence(**{"reference": reference, "resolved": reference, **fields})


def outage(reference: str = "", **fields: Any) -> Unavailable:
    """A hub that does not answer."""
    return Unavailable(
        **{
            "reference": reference,
            "reason": UnavailableReason.UNREACHABLE,
            "message": "the hub does not answer",
            **fields,
        }
    )


def record(reference: str, name: str = "", **fields: Any) -> Json:
    """A ModelRecord that people made."""
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": name or record_name(reference), **fields.pop("metadata", {})},
        "spec": {"reference": reference, **fields},
    }


def as_decided_by(stored: Json) -> Record:
    """A stored record as the webhook reads it."""
    return read_record(stored)
