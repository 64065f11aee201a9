"""Events tell each thing once, also to the owner, and never hold anything up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from tests.unit.cluster.conftest import eventually
from tests.unit.quarantine.cluster import MemoryCluster
from tests.unit.quarantine.situations import replica
from tests.unit.quarantine.test_plan import pods_of
from tests.unit.records.cluster import Time
from weighmaster.errors import ClusterError
from weighmaster.quarantine import events as events_module
from weighmaster.quarantine.events import Events
from weighmaster.quarantine.incidents import Incident, exposure, of_pod
from weighmaster.quarantine.networks import Networks
from weighmaster.quarantine.owners import Owners
from weighmaster.quarantine.pods import Owner, Pod
from weighmaster.quarantine.terms import Terms
from weighmaster.telemetry import SandboxMetrics

Json = dict[str, Any]


def a_pod(name: str = "web-a") -> Pod:
    (held,) = pods_of(replica(name))
    return held


@pytest.fixture
async def events(
    cluster: MemoryCluster, time: Time, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Events]:
    monkeypatch.setattr(events_module, "INTERVAL", 0)
    metrics = SandboxMetrics(CollectorRegistry())
    made = Events(cluster, Owners(cluster), metrics, Terms(wall=time))
    task = asyncio.create_task(made.run())
    yield made
    assert not task.done(), "it has ended"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def told(cluster: MemoryCluster) -> list[str]:
    return sorted(event["involvedObject"]["name"] for event in cluster.events("Happened"))


def happened(name: str = "web-a", **fields: Any) -> Incident:
    return of_pod(a_pod(name), "Happened", "it happened", **fields)


async def test_owner_is_told_once_for_all_its_pods(cluster: MemoryCluster, events: Events) -> None:
    for name in ("web-a", "web-b", "web-c"):
        events.tell(happened(name, which="strict"))
    await eventually(lambda: len(told(cluster)) == 4)
    await asyncio.sleep(0.05)
    assert told(cluster) == ["web-a", "web-b", "web-c", "web-rs"]
    message = next(
        event["message"]
        for event in cluster.events("Happened")
        if event["involvedObject"]["kind"] == "ReplicaSet"
    )
    assert message == "pod web-a: it happened"


async def test_same_thing_is_told_again_after_an_hour_only(
    cluster: MemoryCluster, events: Events, time: Time
) -> None:
    for _ in range(3):
        events.tell(happened())
        await eventually(lambda: len(told(cluster)) == 2)
        time.pass_by(minutes=29)
    assert len(cluster.writes) == 2
    time.pass_by(minutes=5)
    events.tell(happened())
    await eventually(lambda: len(cluster.writes) == 4)
    assert len(told(cluster)) == 2, "their names say what they are about"


async def test_another_policy_or_another_time_is_another_thing(
    cluster: MemoryCluster, events: Events
) -> None:
    events.tell(happened(which="a"))
    events.tell(happened(which="b"))
    events.tell(happened(which="b", when="later"))
    await eventually(lambda: told(cluster).count("web-a") == 3)
    await asyncio.sleep(0.05)
    assert told(cluster).count("web-rs") == 2


async def test_event_that_is_not_taken_is_told_later(
    cluster: MemoryCluster, events: Events
) -> None:
    cluster.failures["create events"] = [ClusterError("no", status=500)]
    events.tell(happened())
    await eventually(lambda: len(cluster.writes) == 1)
    await asyncio.sleep(0.02)
    events.tell(happened())
    await eventually(lambda: len(told(cluster)) == 2)


async def test_event_in_a_namespace_that_is_gone_is_no_failure(
    cluster: MemoryCluster, events: Events
) -> None:
    cluster.failures["create events"] = [ClusterError("no", status=404)] * 2
    events.tell(happened())
    await eventually(lambda: len(cluster.writes) == 2)
    events.tell(happened("web-b"))
    await eventually(lambda: told(cluster) == ["web-b"])


async def test_more_than_can_be_told_is_left_for_later(cluster: MemoryCluster, time: Time) -> None:
    made = Events(cluster, Owners(cluster), SandboxMetrics(CollectorRegistry()), Terms(wall=time))
    number = 0
    while not made.full:
        made.tell(happened(when=str(number)))
        number += 1
    made.tell(happened(when="one more"))
    assert number == events_module.MAX_WAITING
    await made._queue.get()
    made.tell(happened(when="one more"))
    assert made._queue.qsize() == number


async def test_who_leads_no_more_tells_nothing(cluster: MemoryCluster, time: Time) -> None:
    terms = Terms(wall=time, leads=lambda: False)
    made = Events(cluster, Owners(cluster), SandboxMetrics(CollectorRegistry()), terms)
    task = asyncio.create_task(made.run())
    made.tell(happened())
    await asyncio.sleep(0.05)
    task.cancel()
    assert cluster.writes == []


async def test_event_is_one_that_the_api_server_takes(
    cluster: MemoryCluster, events: Events
) -> None:
    long = Incident(
        namespace="",
        about=Owner("weighmaster.dev/v1alpha1", "SandboxProfile", "x" * 253, "uid"),
        reason="Happened",
        message="m" * 5000,
    )
    events.tell(long)
    await eventually(lambda: len(cluster.events("Happened")) == 1)
    (event,) = cluster.events("Happened")
    assert event["metadata"]["namespace"] == "default", "what is in no namespace is told there"
    assert len(event["metadata"]["name"]) <= 253
    assert len(event["message"]) == 1024
    assert event["type"] == "Warning"


async def test_replica_set_that_is_gone_or_another_by_now_stands_for_itself(
    cluster: MemoryCluster,
) -> None:
    owners = Owners(cluster)
    owner = a_pod().owner
    assert owner is not None
    assert await owners.root("default", owner) == owner
    cluster.put(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "web-rs", "namespace": "default", "uid": "another"},
        }
    )
    other = msgspec.structs.replace(owner, uid="uid-2")
    assert await owners.root("default", other) == other
    job = Owner("batch/v1", "Job", "j", "uid-3")
    assert await owners.root("default", job) == job


def test_pod_with_many_openings_is_told_of_in_a_few_words() -> None:
    networks = Networks(lambda: None)
    opening = [
        networks.keep({"metadata": {"name": f"n{number}", "namespace": "default", "uid": "u"}})
        for number in range(10)
    ]
    incidents = list(exposure(a_pod(), opening))
    assert "n0, n1, n2 and 7 more" in incidents[0].message
    assert "DoesNotExist" in incidents[0].message
    assert len(incidents) == 11
