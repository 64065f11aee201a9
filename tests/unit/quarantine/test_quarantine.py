"""Running pods that policy turns against are isolated, at a pace."""

from typing import Any

import pytest

from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import FORBIDDEN, exception, policy
from tests.unit.quarantine.cluster import NETWORKS, PODS, MemoryCluster
from tests.unit.quarantine.conftest import Start, pass_by, quiet
from tests.unit.quarantine.situations import (
    LABEL,
    confined,
    namespace,
    pod,
    profile,
    quarantining,
    replica,
    running_status,
)
from tests.unit.records.cluster import Time
from weighmaster.errors import ClusterError

Json = dict[str, Any]
AT, BY = "weighmaster.dev/quarantined-at", "weighmaster.dev/quarantined-by"


async def test_pod_that_policy_turns_against_is_isolated_and_keeps_its_spec(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    before = cluster.get_one("Pod", "server", "default")["spec"]
    start()
    await quiet()
    assert cluster.writes == []
    cluster.put(quarantining())
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    metadata = cluster.get_one("Pod", "server", "default")["metadata"]
    assert metadata["labels"][LABEL] == "isolated"
    assert metadata["annotations"] == {AT: "2026-11-24T12:00:04Z", BY: "strict"}
    assert cluster.get_one("Pod", "server", "default")["spec"] == before
    await eventually(lambda: running_status(cluster).get("quarantined") == 1)
    assert running_status(cluster)["violating"] == 1
    assert running_status(cluster)["waiting"] == 0


async def test_network_policy_is_there_before_the_first_pod_is_labelled(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(quarantining())
    cluster.failures["create networkpolicies"] = [ClusterError("not yet", status=500)] * 3
    start()
    await pass_by(time, 4)
    await quiet()
    assert confined(cluster) == []
    await eventually(lambda: "is not there yet" in running_status(cluster).get("message", ""))
    for _ in range(4):
        await pass_by(time, 3)
    await eventually(lambda: confined(cluster) == ["server"])
    kinds = [path for verb, path in cluster.writes if verb in ("create", "patch")]
    assert max(kinds.index(path) for path in kinds if "networkpolicies" in path) < min(
        kinds.index(path) for path in kinds if path.endswith("/pods/server")
    )


async def test_network_policy_that_a_watch_has_not_shown_does_not_count(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.silent.add(NETWORKS)
    start()
    await quiet()
    cluster.put(quarantining())
    await pass_by(time, 4)
    await eventually(lambda: len(cluster.all("NetworkPolicy")) == 1)
    await quiet()
    assert confined(cluster) == []
    cluster.speak(NETWORKS)
    await eventually(lambda: confined(cluster) == ["server"])


@pytest.mark.parametrize("missing", ["profile", "unusable"])
async def test_without_a_usable_profile_nothing_is_quarantined_and_the_status_says_so(
    cluster: MemoryCluster, start: Start, time: Time, missing: str
) -> None:
    if missing == "profile":
        cluster.remove("SandboxProfile", "isolated")
    else:
        cluster.put(profile(networkPolicy={"egress": "all"}))
    cluster.put(pod())
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: "no SandboxProfile" in running_status(cluster).get("message", ""))
    assert confined(cluster) == []
    cluster.put(profile())
    await eventually(lambda: confined(cluster) == ["server"])


async def test_verdict_that_stands_for_a_moment_only_is_not_acted_on(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    start()
    await quiet()
    for _ in range(5):
        cluster.put(quarantining())
        await pass_by(time, 2)
        cluster.put(exception())
        await pass_by(time, 2)
        cluster.remove("ModelException", "granted")
    assert confined(cluster) == []


async def test_report_tells_pod_and_owner_and_counts_and_does_nothing_else(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web"}
    cluster.put(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": "web-rs",
                "namespace": "default",
                "uid": "uid-web-rs",
                "ownerReferences": [{**owner, "controller": True}],
            },
        }
    )
    for name in ("a", "b"):
        cluster.put(replica(name))
    cluster.put(policy(FORBIDDEN))
    running = start()
    await pass_by(time, 4)
    await eventually(lambda: len(cluster.events("PolicyViolation")) == 3)
    told = {
        (event["involvedObject"]["kind"], event["involvedObject"]["name"])
        for event in cluster.events("PolicyViolation")
    }
    assert told == {("Pod", "a"), ("Pod", "b"), ("Deployment", "web")}
    message = cluster.events("PolicyViolation")[0]["message"]
    assert 'policy "strict", rule "rule-0"' in message
    await eventually(lambda: running_status(cluster).get("violating") == 2)
    assert running.metric("policy_violating_pods", policy="strict") == 2
    assert confined(cluster) == []
    await quiet()
    start()
    await pass_by(time, 4)
    await quiet()
    assert len(cluster.events("PolicyViolation")) == 3


async def test_policy_that_only_warns_counts_violations_and_tells_nobody(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(quarantining(enforcement={"action": "Warn"}))
    start()
    await pass_by(time, 4)
    await eventually(lambda: running_status(cluster).get("violating") == 1)
    assert confined(cluster) == []
    assert cluster.events("PolicyViolation") == []


async def test_missing_evidence_is_asked_for_and_never_acted_on(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod(model="acme/m --revision " + "a" * 40))
    cluster.put(pod("pinned"))
    document = pod("pinned")
    document["spec"]["containers"][0]["args"] += ["--revision", "a" * 40]
    cluster.put(document)
    cluster.put(quarantining({"license": {"allow": ["MIT"]}}))
    start()
    await pass_by(time, 4)
    await eventually(lambda: running_status(cluster).get("undecided", 0) >= 1)
    for _ in range(5):
        await pass_by(time, 60)
    assert confined(cluster) == []
    await eventually(lambda: len(cluster.all("ModelRecord")) >= 1)
    references = [record["spec"]["reference"] for record in cluster.all("ModelRecord")]
    assert f"hf://acme/m@{'a' * 40}" in references


async def test_unusable_policy_acts_on_nobody(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(quarantining({"watermark": {}}))
    start()
    await pass_by(time, 4)
    await quiet()
    assert confined(cluster) == []


async def test_exempt_namespace_is_left_alone(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(namespace("kube-system"))
    cluster.put(pod(namespace="kube-system"))
    cluster.put(pod("other"))
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["other"])
    assert running_status(cluster)["violating"] == 1
    assert {stored["metadata"]["namespace"] for stored in cluster.all("NetworkPolicy")} == {
        "default"
    }


async def test_pace_is_kept_for_fifty_pods_and_over_restarts(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    for number in range(50):
        cluster.put(replica(f"web-{number:02}", owner=f"web-{number % 5}"))
    cluster.put(quarantining(enforcement={"pace": {"maxPerMinute": 10, "maxPercent": 60}}))
    counts = []
    for _ in range(12):
        start()
        await pass_by(time, 5)
        await quiet()
        counts.append(len(confined(cluster)))
        time.pass_by(seconds=15)
    assert counts[0] == 10
    assert all(later - earlier <= 10 for earlier, later in zip(counts, counts[3:], strict=False))
    assert counts[-1] == 30
    await eventually(
        lambda: "30 of 50 pods that serve models" in running_status(cluster)["message"]
    )
    assert running_status(cluster)["waiting"] == 20
    by_owner = {name.split("-")[1]: 0 for name in confined(cluster)}
    assert len(by_owner) > 1
    cluster.put(quarantining())
    await pass_by(time, 4)
    await eventually(lambda: len(confined(cluster)) == 50)


async def test_leader_that_no_longer_leads_stops_at_once(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    running = start()
    await quiet()
    running.leads = False
    cluster.put(quarantining())
    await pass_by(time, 60)
    await quiet()
    assert cluster.writes == []
    running.leads = True
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])


async def test_while_a_watch_is_broken_nothing_is_done_by_what_was_known_before(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(quarantining())
    start()
    await quiet()
    cluster.cut(off=True)
    await pass_by(time, 30)
    assert confined(cluster) == []
    cluster.put(exception())
    cluster.cut(off=False)
    await pass_by(time, 30)
    await pass_by(time, 30)
    assert confined(cluster) == []


async def test_quarantine_that_does_not_show_yet_is_not_repeated(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    start()
    await quiet()
    cluster.put(quarantining())
    cluster.silent.add(PODS)
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])
    await pass_by(time, 4)
    assert sum(path.endswith("pods/server") for _, path in cluster.writes) == 1
    cluster.speak(PODS)
    await pass_by(time, 60)
    assert sum(path.endswith("pods/server") for _, path in cluster.writes) == 1


async def test_failing_api_server_is_asked_less_and_less(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(quarantining())
    cluster.failures["patch pods"] = [ClusterError("webhook is down", status=500)] * 6
    running = start()
    await pass_by(time, 4)
    for _ in range(50):
        time.pass_by(seconds=1)
        await quiet()
    patches = [path for verb, path in cluster.writes if verb == "patch"]
    assert 5 <= len(patches) <= 8
    assert running.metric("running_pod_action_failures_total", action="quarantine") == 1
    await pass_by(time, 60)
    await eventually(lambda: confined(cluster) == ["server"])


async def test_pod_of_the_same_name_is_not_taken_for_the_one_that_was_judged(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    start()
    await quiet()
    cluster.put(quarantining())
    cluster.silent.add(PODS)
    cluster.remove("Pod", "server", "default")
    cluster.put(pod(uid="another", model="acme/other"))
    await pass_by(time, 4)
    await quiet()
    assert confined(cluster) == []


async def test_pod_that_is_being_deleted_is_quarantined_all_the_same(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod(deletionTimestamp="2026-11-24T12:00:00Z"))
    cluster.put(quarantining())
    start()
    await pass_by(time, 4)
    await eventually(lambda: confined(cluster) == ["server"])


async def test_status_is_written_when_it_changes_and_not_each_time_it_is_looked_at(
    cluster: MemoryCluster, start: Start, time: Time
) -> None:
    cluster.put(pod())
    cluster.put(policy(FORBIDDEN))
    start()
    await pass_by(time, 4)
    await eventually(lambda: running_status(cluster).get("violating") == 1)
    written = len(cluster.writes)
    for _ in range(20):
        await pass_by(time, 3)
    assert len(cluster.writes) == written
