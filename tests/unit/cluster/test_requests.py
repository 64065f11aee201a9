"""Requests for evidence: once per reference, never in the way of an answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import NOW
from weighmaster.cluster import requests as requests_module
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.recording import COLLECTION, MAX_NAMES
from weighmaster.cluster.requests import EvidenceRequests
from weighmaster.cluster.store import ClusterStore, PolicyStore
from weighmaster.core.evaluate.facilities import Cluster
from weighmaster.core.evaluate.records import new_record, read_record, record_name
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.errors import ClusterError
from weighmaster.telemetry import StoreMetrics

Json = dict[str, Any]
REFERENCE = f"hf://acme/m@{'a' * 40}"
OTHER = f"hf://acme/n@{'b' * 40}"
DAY = NOW.date().isoformat()


class FakeClient(ApiClient):
    """Notes what is created and patched."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[str] = []
        self.stored: dict[str, Json] = {}
        self.patched: list[tuple[str, Json]] = []
        self.failures: list[ClusterError] = []
        self.gate: asyncio.Event | None = None

    async def create(self, collection: str, body: Mapping[str, Any]) -> Json:
        assert collection == COLLECTION
        await self._answer()
        name = body["metadata"]["name"]
        if name in self.stored:
            raise ClusterError("it is there", status=409)
        self.stored[name] = dict(body)
        self.created.append(body["spec"]["reference"])
        return dict(body)

    async def get(self, path: str, *, metadata_only: bool = False) -> Json:
        assert not metadata_only
        await self._answer()
        return self.stored[path.removeprefix(f"{COLLECTION}/")]

    async def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        await self._answer()
        self.patched.append((path, dict(changes)))

    async def _answer(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)


class FakeStore(ClusterStore):
    """A store that is fed by hand."""

    def __init__(self) -> None:
        super().__init__(ApiClient(), StoreMetrics(CollectorRegistry()), 60)
        self.held = PolicyStore()
        self.ready = True
        self.around = Cluster()

    def put(self, reference: str, **status: Any) -> None:
        self.held.update("modelrecords", {**new_record(reference), "status": status})

    def remove(self, reference: str) -> None:
        self.held.remove("modelrecords", ("", record_name(reference)))

    async def changed(self) -> None:
        await self.held.changed()

    def snapshot(self) -> Snapshot | None:
        return self.held.snapshot().within(self.around) if self.ready else None


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


Start = Callable[..., EvidenceRequests]


@pytest.fixture
async def start(
    client: FakeClient, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Start]:
    """Starts what sends the requests; it must still run at the end."""
    monkeypatch.setattr(requests_module, "AGAIN_AFTER", 0.005)
    tasks: list[asyncio.Task[None]] = []

    def begin(wait: float = 0.2) -> EvidenceRequests:
        requests = EvidenceRequests(client, store, wait, clock=lambda: NOW)
        tasks.append(asyncio.create_task(requests.run()))
        return requests

    yield begin
    for task in tasks:
        assert not task.done(), "requests are sent no more"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_evidence_is_asked_for_once_however_many_pods_want_it(
    client: FakeClient, start: Start
) -> None:
    requests = start()
    for _ in range(1000):
        requests.ask((REFERENCE, OTHER))
        await asyncio.sleep(0)
    await eventually(lambda: len(client.created) == 2)
    assert Counter(client.created) == {REFERENCE: 1, OTHER: 1}


async def test_what_there_is_a_record_of_is_not_asked_for(
    client: FakeClient, store: FakeStore, start: Start
) -> None:
    store.put(REFERENCE)
    requests = start()
    requests.ask((REFERENCE, OTHER))
    await eventually(lambda: client.created == [OTHER])


async def test_asking_does_not_wait_for_the_api_server(client: FakeClient, start: Start) -> None:
    client.gate = asyncio.Event()
    requests = start()
    for n in range(requests_module.MAX_WAITING * 3):
        requests.ask((f"hf://acme/m{n}",))
    client.gate.set()
    await eventually(lambda: len(client.created) >= requests_module.MAX_WAITING)
    await asyncio.sleep(0.01)
    assert len(client.created) == requests_module.MAX_WAITING
    requests.ask((f"hf://acme/m{requests_module.MAX_WAITING * 3 - 1}",))
    await eventually(lambda: len(client.created) == requests_module.MAX_WAITING + 1)


@pytest.mark.parametrize("status", [0, 403, 429, 500])
async def test_request_that_failed_is_made_again_when_it_is_needed_again(
    client: FakeClient, start: Start, status: int
) -> None:
    client.failures.append(ClusterError("no", status=status))
    requests = start()
    requests.ask((REFERENCE,))
    await eventually(lambda: not client.failures)
    await asyncio.sleep(0.02)
    assert client.created == []
    requests.ask((REFERENCE,))
    await eventually(lambda: client.created == [REFERENCE])


async def test_record_that_another_replica_made_is_as_good_as_ours(
    client: FakeClient, start: Start
) -> None:
    client.stored[record_name(REFERENCE)] = new_record(REFERENCE)
    requests = start()
    requests.ask((REFERENCE,))
    requests.ask((REFERENCE,))
    requests.ask((OTHER,))
    await eventually(lambda: client.created == [OTHER])


async def test_record_gets_another_name_where_a_stranger_has_taken_its_own(
    client: FakeClient, start: Start
) -> None:
    client.stored[record_name(REFERENCE)] = new_record("hf://evil/m")
    client.stored[record_name(REFERENCE, 1)] = {"metadata": {}, "spec": {"reference": 5}}
    requests = start()
    requests.ask((REFERENCE,))
    await eventually(lambda: client.created == [REFERENCE])
    made = client.stored[record_name(REFERENCE, 2)]
    assert read_record(made).reference == REFERENCE
    again = start()  # another replica
    again.ask((REFERENCE, OTHER))
    await eventually(lambda: client.created == [REFERENCE, OTHER])


async def test_names_that_are_all_taken_are_not_tried_for_ever(
    client: FakeClient, start: Start
) -> None:
    for number in range(MAX_NAMES):
        client.stored[record_name(REFERENCE, number)] = new_record(f"hf://evil/m{number}")
    requests = start()
    requests.ask((REFERENCE,))
    requests.ask((OTHER,))
    await eventually(lambda: client.created == [OTHER])
    requests.ask((REFERENCE,))
    await asyncio.sleep(0.03)
    assert client.created == [OTHER]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_record_that_the_api_server_never_takes_is_not_asked_for_again(
    client: FakeClient, start: Start, status: int
) -> None:
    client.failures.append(ClusterError("no", status=status))
    requests = start()
    requests.ask((REFERENCE,))
    await eventually(lambda: not client.failures)
    await asyncio.sleep(0.02)
    requests.ask((REFERENCE,))
    requests.ask((OTHER,))
    await eventually(lambda: client.created == [OTHER])


async def test_record_that_was_deleted_is_asked_for_again(
    client: FakeClient, store: FakeStore, start: Start
) -> None:
    requests = start(0.01)
    requests.ask((REFERENCE,))
    await eventually(lambda: client.created == [REFERENCE])
    store.put(REFERENCE, state="Resolved", resolved=REFERENCE)
    assert await requests.settled((REFERENCE,))
    store.remove(REFERENCE)
    client.stored.clear()
    assert not await requests.settled((REFERENCE,))
    requests.ask((REFERENCE,))
    await eventually(lambda: client.created == [REFERENCE, REFERENCE])


async def test_waiting_ends_as_soon_as_evidence_is_there(store: FakeStore, start: Start) -> None:
    requests = start(5)
    waiting = asyncio.create_task(requests.settled((REFERENCE, OTHER)))
    await asyncio.sleep(0.01)
    store.put(REFERENCE)
    await asyncio.sleep(0.01)
    store.put(REFERENCE, state="Resolved", resolved=REFERENCE)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    store.put(OTHER, state="Unavailable", failures=[{"reason": "x", "message": "an outage"}])
    async with asyncio.timeout(1):
        assert await waiting is True


async def test_waiting_ends_when_it_takes_too_long(store: FakeStore, start: Start) -> None:
    requests = start(0.03)
    store.put(REFERENCE)
    started = asyncio.get_running_loop().time()
    assert await requests.settled((REFERENCE,)) is False
    assert asyncio.get_running_loop().time() - started < 1


async def test_evidence_that_is_there_needs_no_waiting(store: FakeStore, start: Start) -> None:
    requests = start(0)
    store.put(REFERENCE, state="Resolved", resolved=REFERENCE)
    assert await requests.settled((REFERENCE,)) is True
    assert await requests.settled((OTHER,)) is False


async def test_evidence_that_has_expired_is_waited_for_as_if_it_were_the_first(
    client: FakeClient, store: FakeStore, start: Start
) -> None:
    requests = start(5)
    past = {"state": "Resolved", "resolved": REFERENCE, "expiresAt": NOW.isoformat()}
    store.put(REFERENCE, **past)
    requests.ask((REFERENCE,))
    waiting = asyncio.create_task(requests.settled((REFERENCE,)))
    await asyncio.sleep(0.01)
    store.put(REFERENCE, **past, license="MIT")
    await asyncio.sleep(0.01)
    assert not waiting.done(), "written anew, and expired as before"
    store.put(REFERENCE, **{**past, "expiresAt": "2026-11-24T13:00:00Z"})
    async with asyncio.timeout(2):
        assert await waiting is True
    assert client.created == [], "there is a record already"


async def test_nothing_is_settled_by_a_store_that_is_out_of_date(
    store: FakeStore, start: Start
) -> None:
    requests = start(0.02)
    store.put(REFERENCE, state="Resolved", resolved=REFERENCE)
    store.ready = False
    assert await requests.settled((REFERENCE,)) is False


async def test_a_thousand_may_wait_at_once(store: FakeStore, start: Start) -> None:
    requests = start(5)
    waiting = [asyncio.create_task(requests.settled((REFERENCE,))) for _ in range(1000)]
    await asyncio.sleep(0.01)
    store.put(REFERENCE, state="Resolved", resolved=REFERENCE)
    async with asyncio.timeout(2):
        assert all(await asyncio.gather(*waiting))


async def test_use_is_noted_once_a_day_on_our_own_records(client: FakeClient, start: Start) -> None:
    requests = start()
    ours = read_record(new_record(REFERENCE))
    theirs = read_record({"metadata": {"name": "x"}, "spec": {"reference": OTHER}})
    for _ in range(50):
        requests.used((ours, theirs), DAY)
        await asyncio.sleep(0)
    await eventually(lambda: len(client.patched) == 1)
    path, changes = client.patched[0]
    assert path == f"{COLLECTION}/{record_name(REFERENCE)}"
    assert changes == {"metadata": {"annotations": {"weighmaster.dev/last-used": DAY}}}
    requests.used((ours,), "2026-11-25")
    await eventually(lambda: len(client.patched) == 2)


async def test_use_that_is_noted_already_is_not_noted_again(
    client: FakeClient, start: Start
) -> None:
    requests = start()
    document = new_record(REFERENCE)
    document["metadata"]["annotations"] = {"weighmaster.dev/last-used": DAY}
    requests.used((read_record(document),), DAY)
    requests.used((read_record(new_record(OTHER)),), DAY)
    await eventually(lambda: len(client.patched) == 1)
    assert client.patched[0][0].endswith(record_name(OTHER))


async def test_use_that_could_not_be_noted_is_noted_at_the_next(
    client: FakeClient, start: Start
) -> None:
    client.failures.append(ClusterError("no", status=500))
    requests = start()
    ours = read_record(new_record(REFERENCE))
    requests.used((ours,), DAY)
    await eventually(lambda: not client.failures)
    await asyncio.sleep(0.02)
    requests.used((ours,), DAY)
    await eventually(lambda: len(client.patched) == 1)


async def test_memory_of_what_was_asked_and_used_is_bounded(
    client: FakeClient, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "MAX_REMEMBERED", 10)
    requests = start()
    for n in range(100):
        requests.ask((f"hf://acme/m{n}",))
        requests.used((read_record(new_record(f"hf://acme/m{n}")),), DAY)
        await asyncio.sleep(0)
    await eventually(lambda: len(client.created) == 100)
    assert len(requests._asked) <= 10
    assert len(requests._noted) <= 10
