"""Confined pods get out when they have become lawful, and their time ends."""

from typing import Any

from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import KNOWN, exception, policy
from tests.unit.quarantine.cluster import MemoryCluster
from tests.unit.quarantine.conftest import Start, pass_by, quiet
from tests.unit.quarantine.situations import (
    LABEL,
    confined,
    pod,
    profile,
    quarantining,
    replica,
)
from tests.unit.records.cluster import Time

Json = dict[str, Any]
AT, BY = "weighmaster.dev/quarantined-at", "weighmaster.dev/quarantined-by"


async def test_quarantined_pod_is_released_as_it_is_when_it_is_approved(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    before = cluster.get_one("Pod", "server", "default")
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    cluster.put(exception())
    await pass_by(time, 4)
    await quiet()
    assert confined(cluster) == ["server"], "not before it has stood for a while"
    await pass_by(time, 11)
    await eventually(lambda: confined(cluster) == [])
    after = cluster.get_one("Pod", "server", "default")
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("annotations", {}) == {}
    await eventually(lambda: len(cluster.events("QuarantineLifted")) == 1)
    cluster.remove("ModelException", "granted")
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    await eventually(lambda: len(cluster.events("Quarantined")) == 2)


async def test_policy_that_is_replaced_leaves_no_gap(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    for _ in range(3):
        cluster.remove("ClusterModelPolicy", "strict")
        await pass_by(time, 3)
        cluster.put(quarantining())
        await pass_by(time, 3)
    assert confined(cluster) == ["server"]
    assert len(cluster.all("NetworkPolicy")) == 1


async def test_what_cannot_be_decided_any_more_is_not_released(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    document = pod()
    document["spec"]["containers"][0]["args"] += ["--revision", "a" * 40]
    cluster.put(document)
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    cluster.put(quarantining({"license": {"allow": ["MIT"]}}))
    await pass_by(time, 30)
    await quiet()
    assert confined(cluster) == ["server"]


def admitted_confined(name: str = "web-a") -> Json:
    return replica(name, labels={"app": "web", LABEL: "isolated"})


def put_owner(cluster: MemoryCluster) -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web"}
    metadata = {"name": "web-rs", "namespace": "default", "uid": "uid-web-rs"}
    owners = {"ownerReferences": [{**deployment, "controller": True}]}
    cluster.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {**metadata, **owners}})
    cluster.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default", "uid": "uid-web"},
            "spec": {"template": {"metadata": {"labels": {"app": "web"}}}},
        }
    )


def rollouts(cluster: MemoryCluster) -> list[str]:
    return [path for verb, path in cluster.writes if verb == "patch" and "deployments" in path]


async def test_pods_that_were_admitted_confined_are_rolled_out_once_where_the_profile_says_so(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(profile(release="Rollout"))
    put_owner(cluster)
    for name in ("web-a", "web-b"):
        cluster.put(admitted_confined(name))
    sandbox = {"action": "Sandbox", "running": "Report"}
    cluster.put(quarantining(enforcement=sandbox))
    start()
    await pass_by(time, 30)
    assert rollouts(cluster) == []
    assert cluster.events("PolicyViolation") == [], "it is where the policy wants it"
    cluster.put(exception())
    await pass_by(time, 12)
    await eventually(lambda: len(rollouts(cluster)) == 1)
    template = cluster.get_one("Deployment", "web", "default")["spec"]["template"]
    assert len(template["metadata"]["annotations"]["weighmaster.dev/rollout"]) == 16
    for _ in range(5):
        await pass_by(time, 60)
    assert len(rollouts(cluster)) == 1
    assert confined(cluster) == ["web-a", "web-b"], "their labels stay: their spec is confined"
    assert len(cluster.events("RolledOut")) == 1


async def test_owner_is_told_how_to_get_out_by_default(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    put_owner(cluster)
    cluster.put(admitted_confined())
    cluster.put(policy(KNOWN))
    start()
    await pass_by(time, 1)
    await pass_by(time, 12)
    await eventually(lambda: len(cluster.events("SandboxReleasable")) == 2)
    message = cluster.events("SandboxReleasable")[0]["message"]
    assert "kubectl rollout restart deployment/web -n default" in message
    assert rollouts(cluster) == []


async def test_bare_pod_is_never_deleted_to_get_it_out(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(profile(release="Rollout"))
    cluster.put(pod("bare", labels={LABEL: "isolated"}))
    start()
    await pass_by(time, 1)
    await pass_by(time, 12)
    await eventually(lambda: len(cluster.events("SandboxReleasable")) == 1)
    assert "delete it and create it again" in cluster.events("SandboxReleasable")[0]["message"]
    assert [verb for verb, path in cluster.writes if "/pods/" in path] == []


async def test_time_of_a_quarantined_pod_ends_by_a_deadline_that_is_over(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(profile(ttl="1h"))
    cluster.put(pod())
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    await pass_by(time, 3000)
    spec = cluster.get_one("Pod", "server", "default")["spec"]
    assert "activeDeadlineSeconds" not in spec, "it could not be taken away again"
    await pass_by(time, 700)
    await eventually(
        lambda: "activeDeadlineSeconds" in cluster.get_one("Pod", "server", "default")["spec"]
    )
    deadline = cluster.get_one("Pod", "server", "default")["spec"]["activeDeadlineSeconds"]
    assert 3600 + 3600 < deadline <= 3600 + 3704, "since its start at 11:00"
    await eventually(lambda: len(cluster.events("SandboxExpired")) == 1)
    await pass_by(time, 600)
    assert (
        sum(verb == "patch" and path.endswith("pods/server") for verb, path in cluster.writes) == 2
    )
