"""Evictions."""

from itertools import pairwise
from typing import Any

from tests.unit.quarantine.cluster import MemoryCluster
from tests.unit.quarantine.conftest import Start, pass_by, quiet
from tests.unit.quarantine.situations import (
    quarantining,
    replica,
    running_status,
)
from tests.unit.records.cluster import Time

Json = dict[str, Any]
AT, BY = "weighmaster.dev/quarantined-at", "weighmaster.dev/quarantined-by"


async def test_eviction_comes_in_slowly_and_waits_for_disruption_budgets(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    for number in range(6):
        cluster.put(replica(f"web-{number}"))
    cluster.budgets = {"web-0", "web-1"}
    pace = {"maxPerMinute": 6, "maxPercent": 100}
    cluster.put(quarantining(enforcement={"running": "Evict", "pace": pace}))
    start()
    await pass_by(time, 4)
    await quiet()
    assert len(cluster.all("Pod")) == 6, "who has just taken over does not know what was evicted"
    left = []
    for _ in range(10):
        await pass_by(time, 10)
        left.append(len(cluster.all("Pod")))
    assert all(earlier - later <= 2 for earlier, later in pairwise(left))
    assert left[-1] == 2
    assert len(cluster.events("EvictionBlocked")) >= 2
    assert running_status(cluster)["waiting"] == 2
    assert "PodDisruptionBudgets" in running_status(cluster)["message"]
    cluster.budgets = set()
    for _ in range(8):
        await pass_by(time, 20)
    assert cluster.all("Pod") == []


async def test_evicted_pod_gets_no_more_time_to_shut_down_than_others(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    for name, grace in (("usual", 30), ("slow", 86_400)):
        made = replica(name)
        made["spec"]["terminationGracePeriodSeconds"] = grace
        cluster.put(made)
    pace = {"maxPerMinute": 60, "maxPercent": 100}
    cluster.put(quarantining(enforcement={"running": "Evict", "pace": pace}))
    start()
    for _ in range(3):
        await pass_by(time, 4)
    options = {each["metadata"]["name"]: each["deleteOptions"] for each in cluster.evictions}
    assert options == {
        "usual": {"preconditions": {"uid": "uid-default-usual"}},
        "slow": {"preconditions": {"uid": "uid-default-slow"}, "gracePeriodSeconds": 600},
    }
