"""Confined pods that are not isolated are said loudly."""

from typing import Any

from tests.unit.cluster.conftest import eventually
from tests.unit.quarantine.cluster import MemoryCluster
from tests.unit.quarantine.conftest import Start, pass_by
from tests.unit.quarantine.situations import (
    LABEL,
    confined,
    pod,
    quarantining,
    running_status,
)
from tests.unit.records.cluster import Time

Json = dict[str, Any]
AT, BY = "weighmaster.dev/quarantined-at", "weighmaster.dev/quarantined-by"


async def test_policy_that_opens_a_sandboxed_pod_is_said_loudly(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(quarantining())
    running = start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    assert running.metric("exposed_pods") == 0
    opening: Json = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-dns", "namespace": "default", "uid": "uid-dns"},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"ports": [{"port": 53}]}],
        },
    }
    cluster.put(opening)
    await eventually(lambda: running_status(cluster).get("exposed") == 1)
    assert "are not isolated" in running_status(cluster)["message"]
    assert running.metric("exposed_pods") == 1
    await eventually(lambda: len(cluster.events("OpensSandbox")) == 1)
    assert "allow-dns" in cluster.events("SandboxOpened")[0]["message"]
    assert cluster.events("OpensSandbox")[0]["involvedObject"]["name"] == "allow-dns"
    opening["spec"]["podSelector"] = {
        "matchExpressions": [{"key": LABEL, "operator": "DoesNotExist"}]
    }
    cluster.put(opening)
    await eventually(lambda: running_status(cluster).get("exposed") == 0)


async def test_pod_on_its_nodes_network_cannot_be_isolated_and_is_said_loudly(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    document = pod()
    document["spec"]["hostNetwork"] = True
    cluster.put(document)
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: running_status(cluster).get("exposed") == 1)
    await eventually(lambda: len(cluster.events("SandboxOpened")) == 1)
    assert "its node's network" in cluster.events("SandboxOpened")[0]["message"]
