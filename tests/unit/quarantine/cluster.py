"""A cluster in memory, with namespaces: what the keeper of the sandbox reads and writes."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from tests.unit.records.cluster import merge
from weighmaster.cluster.client import ApiClient, Keep, Listing, everything
from weighmaster.errors import ClusterError

Json = dict[str, Any]
Key = tuple[str, str]

OURS = "/apis/weighmaster.dev/v1alpha1"
PODS = "/api/v1/pods"
NETWORKS = "/apis/networking.k8s.io/v1/networkpolicies"
EVENTS = "/api/v1/events"
_PATHS = {
    "Pod": PODS,
    "Namespace": "/api/v1/namespaces",
    "NetworkPolicy": NETWORKS,
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "Deployment": "/apis/apps/v1/deployments",
    "ClusterModelPolicy": f"{OURS}/clustermodelpolicies",
    "ModelPolicy": f"{OURS}/modelpolicies",
    "ModelPublisher": f"{OURS}/modelpublishers",
    "ModelException": f"{OURS}/modelexceptions",
    "ModelRecord": f"{OURS}/modelrecords",
    "SandboxProfile": f"{OURS}/sandboxprofiles",
}


class MemoryCluster(ApiClient):
    """Keeps objects as the API server does, and everything that was written in order."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[Key, Json]] = {}
        self.writes: list[tuple[str, str]] = []
        self.failures: dict[str, list[ClusterError]] = {}
        """By verb and a part of the path: what the next such requests raise."""
        self.budgets: set[str] = set()
        """Names of pods that a PodDisruptionBudget keeps from being evicted."""
        self.evictions: list[Json] = []
        self.cut_off = False
        """Whether watches break and none can be opened."""
        self.silent: set[str] = set()
        """Paths whose watches tell nothing for now."""
        self.version = 0
        self._events: dict[str, list[tuple[int, Json]]] = {}
        self._changed = asyncio.Event()

    def put(self, document: Json) -> None:
        """Create or change an object; a changed spec is a new generation."""
        path = _PATHS[document["kind"]]
        metadata = document["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        before = self.objects.setdefault(path, {}).get(key)
        stored = copy.deepcopy(document)
        generation = before["metadata"]["generation"] if before else 0
        same = before is not None and before.get("spec") == stored.get("spec")
        stored["metadata"].setdefault("uid", before["metadata"]["uid"] if before else _uid(key))
        stored["metadata"]["generation"] = generation if same else generation + 1
        self._store(path, key, stored)

    def remove(self, kind: str, name: str, namespace: str = "") -> None:
        path = _PATHS[kind]
        self._tell(path, self.objects[path].pop((namespace, name)), "DELETED")

    def all(self, kind: str) -> list[Json]:
        return list(self.objects.get(_PATHS[kind], {}).values())

    def get_one(self, kind: str, name: str, namespace: str = "") -> Json:
        return self.objects[_PATHS[kind]][namespace, name]

    def events(self, reason: str) -> list[Json]:
        found = self.objects.get(EVENTS, {}).values()
        return [event for event in found if event["reason"] == reason]

    def speak(self, path: str) -> None:
        """Let a watch tell again what it has kept quiet about."""
        self.silent.discard(path)
        self._wake()

    def cut(self, *, off: bool) -> None:
        """Break all watches, or let them be opened again."""
        self.cut_off = off
        self._wake()

    async def list(
        self,
        path: str,
        *,
        metadata_only: bool = False,
        keep: Keep = everything,
        selector: str = "",
    ) -> Listing:
        await asyncio.sleep(0)
        assert not selector
        assert metadata_only is (path == _PATHS["Namespace"])
        self._fail("list", path)
        plain = path.partition("?")[0]
        found = copy.deepcopy(list(self.objects.get(plain, {}).values()))
        shown = [each for each in found if _is_selected(each, path)]
        return Listing(list(map(keep, shown)), str(self.version))

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
        assert metadata_only is (path == _PATHS["Namespace"])
        if self.cut_off:
            raise ClusterError("no route to host")
        assert on_open is not None
        on_open()
        seen = int(resource_version)
        while not self.cut_off:
            changed = self._changed
            for version, event in list(self._events.get(path.partition("?")[0], ())):
                if version > seen and path not in self.silent:
                    seen = version
                    if _is_selected(event["object"], path):
                        yield copy.deepcopy(event)
            await changed.wait()
        raise ClusterError("connection reset")

    async def get(self, path: str, *, metadata_only: bool = False) -> Json:
        assert not metadata_only
        collection, key = _split(path)
        return copy.deepcopy(self._find(collection, key))

    async def create(self, collection: str, body: Mapping[str, Any]) -> Json:
        await self._write("create", collection)
        if collection.endswith("/eviction"):
            return self._evict(collection.removesuffix("/eviction"), body)
        path, (namespace, _) = _split(f"{collection}/")
        key = namespace, body["metadata"]["name"]
        if key in self.objects.get(path, {}):
            raise ClusterError("it is there", status=409)
        stored = copy.deepcopy(dict(body))
        stored["metadata"] |= {"uid": _uid((*key, str(self.version))), "generation": 1}
        return self._store(path, key, stored)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        await self._write("replace", path)
        collection, key = _split(path)
        before = self._find(collection, key)
        if before["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ClusterError("it has changed", status=409)
        return self._store(collection, key, copy.deepcopy(dict(body)))

    async def delete(self, path: str, *, uid: str = "") -> None:
        await self._write("delete", path)
        collection, key = _split(path)
        stored = self.objects.get(collection, {}).get(key)
        if stored is not None:
            if uid and stored["metadata"]["uid"] != uid:
                raise ClusterError("another uid", status=409)
            self._tell(collection, self.objects[collection].pop(key), "DELETED")

    async def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        await self._write("patch", path)
        collection, key = _split(path)
        before = self._find(collection, key)
        uid = (changes.get("metadata") or {}).get("uid")
        if uid and before["metadata"]["uid"] != uid:
            raise ClusterError("another uid", status=409)
        stored = copy.deepcopy(before)
        merge(stored, changes)
        if stored != before:
            self._store(collection, key, stored)

    async def patch_status(self, path: str, status: Mapping[str, Any]) -> None:
        await self._write("status", path)
        collection, key = _split(path)
        before = self._find(collection, key)
        stored = copy.deepcopy(before)
        merge(stored, {"status": status})
        if stored != before:
            self._store(collection, key, stored)

    def _evict(self, path: str, body: Mapping[str, Any]) -> Json:
        collection, key = _split(path)
        stored = self._find(collection, key)
        self.evictions.append(dict(body))
        if body["deleteOptions"]["preconditions"]["uid"] != stored["metadata"]["uid"]:
            raise ClusterError("another uid", status=409)
        if key[1] in self.budgets:
            raise ClusterError("a budget", status=429)
        self._tell(collection, self.objects[collection].pop(key), "DELETED")
        return {}

    async def _write(self, verb: str, path: str) -> None:
        self.writes.append((verb, path))
        await asyncio.sleep(0)
        self._fail(verb, path)

    def _fail(self, verb: str, path: str) -> None:
        for key, failures in self.failures.items():
            if failures and f"{verb} {path}".startswith(key.split()[0]) and key.split()[-1] in path:
                raise failures.pop(0)

    def _find(self, collection: str, key: Key) -> Json:
        try:
            return self.objects[collection][key]
        except KeyError:
            raise ClusterError("it is not there", status=404) from None

    def _store(self, path: str, key: Key, stored: Json) -> Json:
        kind = "MODIFIED" if key in self.objects.get(path, {}) else "ADDED"
        self.objects.setdefault(path, {})[key] = stored
        self._tell(path, stored, kind)
        return copy.deepcopy(stored)

    def _tell(self, path: str, stored: Json, kind: str) -> None:
        self.version += 1
        stored["metadata"]["resourceVersion"] = str(self.version)
        event = {"type": kind, "object": copy.deepcopy(stored)}
        self._events.setdefault(path, []).append((self.version, event))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _is_selected(stored: Json, path: str) -> bool:
    """Whether an object has the one label that a path asks for, if it does."""
    query = parse_qs(path.partition("?")[2])
    for selector in query.get("labelSelector", ()):
        key, _, value = selector.partition("=")
        if (stored["metadata"].get("labels") or {}).get(key) != value:
            return False
    return True


def _uid(key: tuple[str, ...]) -> str:
    return "-".join(("uid", *key))


def _split(path: str) -> tuple[str, Key]:
    """The path that all objects of a resource are listed at, and the key of one of them."""
    collection, _, name = path.rpartition("/")
    head, found, rest = collection.partition("/namespaces/")
    if not found:
        return collection, ("", name)
    namespace, _, plural = rest.partition("/")
    return f"{head}/{plural}", (namespace, name)
