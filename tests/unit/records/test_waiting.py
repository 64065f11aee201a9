"""Workloads that wait for evidence are touched once it is there, and not before."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.detect.manifests import container, deployment
from tests.unit.records.cluster import Time
from weighmaster.cluster.client import ApiClient, Keep, Listing, everything
from weighmaster.core.enforce import AWAITING
from weighmaster.core.evaluate.records import new_record
from weighmaster.errors import ClusterError
from weighmaster.records.held import Held, hold
from weighmaster.records.waiting import AGAIN_AFTER, DISCOVER_EVERY, WaitingWorkloads

Json = dict[str, Any]
DEPLOYMENTS = "/apis/apps/v1/deployments"


class Cluster(ApiClient):
    """An API server with Deployments and a kind of KServe's, of which one version is served."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, list[Json]] = {}
        self.patches: list[tuple[str, Mapping[str, Any]]] = []
        self.listed: list[str] = []
        self.refusing = False
        self.away = False
        self.groups = ["apps", "serving.kserve.io", "example.com"]

    async def get(self, path: str, *, metadata_only: bool = False) -> Json:
        assert not metadata_only
        if self.away:
            raise ClusterError("away", status=503)
        if path == "/apis":
            return {
                "groups": [
                    {"name": group, "preferredVersion": {"groupVersion": f"{group}/v1"}}
                    for group in self.groups
                ]
            }
        names = {
            "/api/v1": ["pods", "replicationcontrollers"],
            "/apis/apps/v1": ["deployments", "deployments/status", "statefulsets"],
            "/apis/serving.kserve.io/v1": ["inferenceservices"],
        }
        return {"resources": [{"name": name} for name in names.get(path, ())]}

    async def list(
        self,
        path: str,
        *,
        metadata_only: bool = False,
        keep: Keep = everything,
        selector: str = "",
    ) -> Listing:
        assert selector == AWAITING
        assert keep is everything
        assert not metadata_only
        self.listed.append(path)
        return Listing(list(self.waiting.get(path, ())), "1")

    async def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        self.patches.append((path, changes))
        if self.refusing:
            raise ClusterError("refused", status=403)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def waiting(*repositories: str) -> Json:
    made = deployment(*(container("vllm", "serve", name) for name in repositories))
    made["metadata"] |= {"uid": "1", "labels": {AWAITING: "true"}}
    return made


def record(reference: str, **status: Any) -> Held:
    made = hold({**new_record(reference), "status": status})
    assert made is not None
    return made


def resolved(reference: str) -> Held:
    return record(reference, state="Resolved", resolved=f"{reference}@{'a' * 40}")


async def touched(cluster: Cluster, time: Time, *records: Held) -> list[str]:
    await WaitingWorkloads(cluster, lambda: records, clock=time).look()
    return [path for path, _ in cluster.patches]


async def test_a_workload_whose_reference_is_known_by_now_loses_the_label(
    cluster: Cluster, time: Time
) -> None:
    cluster.waiting[DEPLOYMENTS] = [waiting("a/b")]
    assert await touched(cluster, time, resolved("hf://a/b")) == [
        "/apis/apps/v1/namespaces/ml/deployments/model"
    ]
    assert cluster.patches[0][1] == {"metadata": {"labels": {AWAITING: None}}}


async def test_a_workload_waits_for_all_that_is_looked_for(cluster: Cluster, time: Time) -> None:
    cluster.waiting[DEPLOYMENTS] = [waiting("a/b", "c/d")]
    assert await touched(cluster, time, resolved("hf://a/b"), record("hf://c/d")) == []
    assert len(await touched(cluster, time, resolved("hf://a/b"), resolved("hf://c/d"))) == 1


async def test_a_hub_that_is_away_is_waited_for(cluster: Cluster, time: Time) -> None:
    cluster.waiting[DEPLOYMENTS] = [waiting("a/b")]
    away = record("hf://a/b", state="Unavailable", failures=[{"reason": "x", "message": "y"}])
    assert await touched(cluster, time, away) == []


async def test_what_nobody_has_asked_for_is_asked_for_by_a_touch(
    cluster: Cluster, time: Time
) -> None:
    cluster.waiting[DEPLOYMENTS] = [waiting("a/b")]
    assert len(await touched(cluster, time)) == 1


async def test_what_is_to_be_pinned_anew_waits_for_what_it_had_asked_for(
    cluster: Cluster, time: Time
) -> None:
    made = deployment(container("vllm", "serve", "a/b", f"--revision={'b' * 40}"))
    place = "spec.template.spec.containers[0].args[1]"
    made["metadata"] |= {
        "uid": "1",
        "labels": {AWAITING: "repin"},
        "annotations": {"weighmaster.dev/pinned": f"{place}=hf://a/b"},
    }
    cluster.waiting[DEPLOYMENTS] = [made]
    assert await touched(cluster, time, record("hf://a/b")) == []
    assert len(await touched(cluster, time, resolved("hf://a/b"))) == 1


async def test_only_kinds_that_there_are_and_that_can_change_are_looked_at(
    cluster: Cluster, time: Time
) -> None:
    await touched(cluster, time)
    assert cluster.listed == [
        "/api/v1/replicationcontrollers",
        DEPLOYMENTS,
        "/apis/apps/v1/statefulsets",
        "/apis/serving.kserve.io/v1/inferenceservices",
    ]


async def test_kinds_that_are_installed_later_are_found(cluster: Cluster, time: Time) -> None:
    cluster.groups.remove("serving.kserve.io")
    looking = WaitingWorkloads(cluster, list, clock=time)
    await looking.look()
    cluster.groups.append("serving.kserve.io")
    time.now += DISCOVER_EVERY
    cluster.listed.clear()
    await looking.look()
    assert "/apis/serving.kserve.io/v1/inferenceservices" in cluster.listed


async def test_a_change_that_was_refused_is_not_tried_again_at_once(
    cluster: Cluster, time: Time
) -> None:
    cluster.waiting[DEPLOYMENTS] = [waiting("a/b")]
    cluster.refusing = True
    looking = WaitingWorkloads(cluster, lambda: [resolved("hf://a/b")], clock=time)
    await looking.look()
    await looking.look()
    assert len(cluster.patches) == 1
    time.now += AGAIN_AFTER + timedelta(seconds=1)
    await looking.look()
    assert len(cluster.patches) == 2


async def test_an_api_server_that_is_away_ends_nothing(cluster: Cluster, time: Time) -> None:
    cluster.away = True
    looking = WaitingWorkloads(cluster, list, clock=time)
    await looking.look()
    cluster.away = False
    await looking.look()
    assert cluster.listed
