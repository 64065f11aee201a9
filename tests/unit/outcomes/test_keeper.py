"""What containers say at their end comes to be known: in records, events and metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from msgspec import Struct
from prometheus_client import CollectorRegistry

from tests.unit.cluster.conftest import eventually
from tests.unit.outcomes.test_reports import HUB, REFUSED, STORE, VERIFIED, ended, pod
from tests.unit.quarantine.cluster import MemoryCluster
from tests.unit.records.cluster import NOW, Time
from weighmaster.cluster import reflector
from weighmaster.core.evaluate.records import record_name
from weighmaster.core.installation import LOCAL
from weighmaster.core.mounted import CONTAINER, Result, Verdict
from weighmaster.errors import ClusterError
from weighmaster.outcomes import keeper as keeper_module
from weighmaster.outcomes.keeper import Metrics, OutcomeKeeper
from weighmaster.quarantine import events, looking
from weighmaster.quarantine.terms import Terms
from weighmaster.telemetry import OutcomeMetrics, SandboxMetrics, StoreMetrics

Json = dict[str, Any]

SOON = NOW + timedelta(seconds=1)
PLACE = record_name(f"{STORE} in default")
FAILED = Verdict(result=Result.FAILED, message="out of memory")


class Running(Struct):
    """A keeper at work. ``leads`` may be taken from it."""

    task: asyncio.Task[None]
    looks: list[None]
    leads: bool = True

    async def quiet(self) -> None:
        """Long enough for several looks."""
        seen = len(self.looks)
        await eventually(lambda: len(self.looks) > seen + 3, within=20)


class Place(Struct):
    """Where keepers work, one after the other, in one process."""

    cluster: MemoryCluster
    registry: CollectorRegistry
    time: Time
    start: Callable[[], Running]

    def counted(self, result: Result, reason: str = "") -> float:
        labels = {"result": result.value, "reason": reason}
        name = "weighmaster_content_verifications_total"
        return self.registry.get_sample_value(name, labels) or 0.0

    def content(self, record: str) -> list[Json]:
        status = self.cluster.get_one("ModelRecord", record).get("status") or {}
        found: list[Json] = status.get("content", [])
        return found

    def told(self, reason: str) -> list[tuple[str, str]]:
        """Whom of what, in order."""
        return [
            (event["involvedObject"]["kind"], event["involvedObject"]["name"])
            for event in self.cluster.events(reason)
        ]


@pytest.fixture
async def place(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A ReplicaSet of a Deployment, whose pods are called m."""
    monkeypatch.setattr(keeper_module, "PATIENCE", 0.01)
    monkeypatch.setattr(keeper_module, "AGAIN_AFTER", 0.01)
    monkeypatch.setattr(looking, "FLOCK", 0.002)
    monkeypatch.setattr(events, "INTERVAL", 0)
    monkeypatch.setattr(reflector, "BACKOFF", (0.005,) * 6)
    cluster, registry, time = MemoryCluster(), CollectorRegistry(), Time()
    metrics = Metrics(StoreMetrics(registry), OutcomeMetrics(registry), SandboxMetrics(registry))
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "m", "uid": "d1"}
    named = {"name": "rs", "namespace": "default", "uid": "u1"}
    replicas = {**named, "ownerReferences": [{**owner, "controller": True}]}
    cluster.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": replicas, "spec": {}})
    look, started = OutcomeKeeper._look, list[Running]()

    async def counting(self: OutcomeKeeper) -> float:
        started[-1].looks.append(None)
        return await look(self)

    monkeypatch.setattr(OutcomeKeeper, "_look", counting)

    def start() -> Running:
        for running in started:
            running.task.cancel()
        terms = Terms(leads=lambda: started[-1].leads, wall=time)
        keeper = OutcomeKeeper(cluster, LOCAL.image, metrics, terms)
        started.append(Running(asyncio.create_task(keeper.run()), []))
        return started[-1]

    yield Place(cluster, registry, time, start)
    assert not started[-1].task.done(), "the keeper has ended"
    for running in started:
        running.task.cancel()
        with suppress(asyncio.CancelledError):
            await running.task


def record(reference: str, name: str, **spec: str) -> Json:
    """A stored record."""
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": name},
        "spec": {"reference": reference, **spec},
        "status": {"state": "Resolved"},
    }


async def test_refused_weights_are_told_of_counted_and_noted_where_they_lie(place: Place) -> None:
    place.start()
    place.cluster.put(pod())
    place.cluster.put(ended(REFUSED, SOON))
    await eventually(lambda: place.cluster.all("ModelRecord") != [] and place.content(PLACE) != [])
    (entry,) = place.content(PLACE)
    assert entry == {
        "namespace": "default",
        "outcome": "Refused",
        "at": "2026-11-24T12:00:01Z",
        "pod": "m",
        "reason": "Mismatch",
        "message": '1 files differ: "config.json"',
        "files": ["config.json"],
    }
    await eventually(lambda: place.told("WeightsRefused") == [("Pod", "m"), ("Deployment", "m")])
    of_pod, of_owner = place.cluster.events("WeightsRefused")
    assert "config.json" in of_pod["message"]
    assert STORE in of_pod["message"]
    assert of_owner["message"] == f"pod m: {of_pod['message']}"
    assert of_pod["type"] == "Warning"
    assert place.counted(Result.REFUSED, "Mismatch") == 1


async def test_verified_weights_are_noted_in_the_records_there_are_and_nobody_is_disturbed(
    place: Place,
) -> None:
    place.cluster.put(record(HUB, "of-the-hub"))
    running = place.start()
    place.cluster.put(ended(VERIFIED, SOON))
    await eventually(lambda: place.content("of-the-hub") != [])
    (entry,) = place.content("of-the-hub")
    assert (entry["outcome"], entry["pod"]) == ("Verified", "m")
    await running.quiet()
    assert len(place.cluster.all("ModelRecord")) == 1
    assert place.cluster.objects.get("/api/v1/events", {}) == {}
    assert place.counted(Result.VERIFIED) == 1
    assert place.registry.get_sample_value("weighmaster_content_verified_bytes_total") == 10
    name = "weighmaster_content_verification_duration_seconds_sum"
    assert place.registry.get_sample_value(name) == 2.5


async def test_a_verification_that_could_not_be_made_is_told_of_and_noted_nowhere(
    place: Place,
) -> None:
    place.cluster.put(record(HUB, "of-the-hub"))
    running = place.start()
    place.cluster.put(ended(FAILED, SOON))
    await eventually(lambda: len(place.told("VerificationFailed")) == 2)
    await running.quiet()
    assert place.content("of-the-hub") == []
    assert len(place.cluster.all("ModelRecord")) == 1
    assert place.counted(Result.FAILED) == 1


async def test_what_has_been_said_is_said_once_however_often_it_is_looked_at(place: Place) -> None:
    running = place.start()
    place.cluster.put(ended(REFUSED, SOON))
    await eventually(lambda: place.cluster.all("ModelRecord") != [] and place.content(PLACE) != [])
    await eventually(lambda: len(place.told("WeightsRefused")) == 2)
    written = list(place.cluster.writes)
    place.cluster.put({**ended(REFUSED, SOON), "other": "something else about the pod has changed"})
    await running.quiet()
    assert place.cluster.writes == written
    assert place.counted(Result.REFUSED, "Mismatch") == 1


async def test_a_keeper_that_takes_over_repeats_neither_events_nor_records_nor_counts(
    place: Place,
) -> None:
    place.start()
    place.cluster.put(ended(REFUSED, SOON))
    await eventually(lambda: place.cluster.all("ModelRecord") != [] and place.content(PLACE) != [])
    await eventually(lambda: len(place.told("WeightsRefused")) == 2)
    told = list(place.cluster.objects["/api/v1/events"])
    noted = place.cluster.get_one("ModelRecord", PLACE)["metadata"]["resourceVersion"]
    assert place.counted(Result.REFUSED, "Mismatch") == 1
    place.time.pass_by(seconds=5)
    running = place.start()
    await running.quiet()
    assert list(place.cluster.objects["/api/v1/events"]) == told
    assert place.cluster.get_one("ModelRecord", PLACE)["metadata"]["resourceVersion"] == noted
    assert place.counted(Result.REFUSED, "Mismatch") == 1
    place.cluster.put(ended(REFUSED, SOON + timedelta(seconds=9), name="another"))
    await eventually(lambda: place.counted(Result.REFUSED, "Mismatch") == 2)


async def test_what_was_found_while_nobody_led_is_noted_by_who_leads_next(place: Place) -> None:
    place.cluster.put(ended(REFUSED, SOON - timedelta(minutes=1)))
    place.start()
    await eventually(lambda: place.cluster.all("ModelRecord") != [] and place.content(PLACE) != [])
    await eventually(lambda: len(place.told("WeightsRefused")) == 2)


async def test_a_write_that_failed_is_tried_again(place: Place) -> None:
    away = ClusterError("the API server is away", status=503)
    place.cluster.failures = {"create modelrecords": [away], "status modelrecords": [away]}
    place.start()
    place.cluster.put(ended(REFUSED, SOON))
    await eventually(lambda: place.cluster.all("ModelRecord") != [] and place.content(PLACE) != [])
    assert place.cluster.failures == {"create modelrecords": [], "status modelrecords": []}


async def test_who_leads_no_more_writes_nothing(place: Place) -> None:
    running = place.start()
    running.leads = False
    place.cluster.put(ended(REFUSED, SOON))
    await running.quiet()
    assert place.cluster.writes == []


def _as_another_command(stored: Json) -> None:
    for container in stored["spec"]["initContainers"]:
        if container["name"] == CONTAINER:
            container["command"] = ["sh", "-c", "cat /forged > /dev/termination-log"]


def _without_the_label(stored: Json) -> None:
    stored["metadata"]["labels"] = {}


@pytest.mark.parametrize("forge", [_as_another_command, _without_the_label])
async def test_a_verdict_of_a_container_that_is_not_ours_leads_to_nothing(
    place: Place, forge: Callable[[Json], None]
) -> None:
    running = place.start()
    stored = ended(REFUSED, SOON)
    forge(stored)
    place.cluster.put(stored)
    await running.quiet()
    assert place.cluster.writes == []
    assert place.counted(Result.REFUSED, "Mismatch") == 0


@pytest.mark.parametrize(
    "text", ["", "OOMKilled", "{}", '{"result": "refused"', '{"result": 1}', "[" * 4000, "\ud800"]
)
async def test_garbage_leads_to_nothing_and_keeps_no_other_pod_from_being_heard(
    place: Place, text: str
) -> None:
    running = place.start()
    place.cluster.put(ended(text, SOON, name="garbage"))
    place.cluster.put({**ended(REFUSED, SOON, name="shapeless"), "status": [None, 7]})
    await running.quiet()
    assert place.cluster.writes == []
    place.cluster.put(ended(REFUSED, SOON))
    await eventually(lambda: place.cluster.all("ModelRecord") != [] and place.content(PLACE) != [])
    assert {name for _, name in place.told("WeightsRefused")} == {"m"}


async def test_a_reason_that_is_none_of_ours_makes_no_series_of_its_own(place: Place) -> None:
    place.start()
    made_up = Verdict(
        result=Result.REFUSED, reason="x" * 60, message="m", reference=HUB, store=STORE
    )
    place.cluster.put(ended(made_up, SOON))
    await eventually(lambda: place.counted(Result.REFUSED) == 1)
    assert place.counted(Result.REFUSED, "x" * 60) == 0


@pytest.mark.parametrize("reason", ["VolumeFull", "RateLimited"])
async def test_why_a_model_could_not_be_downloaded_is_counted(place: Place, reason: str) -> None:
    place.start()
    failed = Verdict(result=Result.FAILED, reason=reason, message="m", reference=HUB, store=STORE)
    place.cluster.put(ended(failed, SOON))
    await eventually(lambda: place.counted(Result.FAILED, reason) == 1)
