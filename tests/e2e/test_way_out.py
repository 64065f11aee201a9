"""How running pods get out of a sandbox, or to their end, in a real API server."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.running import FORBIDDEN, QUARANTINED_AT, Api, approval, enforcement, made
from tests.e2e.test_admission import apply
from tests.e2e.workloads import PINNED, deployment, pod

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")


def test_approved_pod_is_released_as_it_is(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    assert apply(control_plane, pod(namespace, "server", *PINNED))[0] == 0
    (before,) = api.run_all(namespace)
    name = policy(FORBIDDEN, enforcement=enforcement(profile(ttl="1h")))
    assert eventually(lambda: len(api.confined(namespace)) == 1, within=10)
    assert apply(control_plane, approval(name, namespace))[0] == 0
    assert eventually(lambda: api.confined(namespace) == [], within=25)
    (after,) = api.pods(namespace)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"], "no deadline is left in it"
    assert QUARANTINED_AT not in after["metadata"]["annotations"]
    assert eventually(lambda: len(api.events(namespace, "QuarantineLifted")) == 1)
    control_plane.kubectl("delete", "modelexception", namespace)
    assert eventually(lambda: len(api.confined(namespace)) == 1, within=10)


def test_owner_of_confined_pods_is_rolled_out_once_they_are_approved(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    sandbox = {"action": "Sandbox", "sandboxProfile": profile(release="Rollout")}
    name = policy(FORBIDDEN, enforcement=sandbox)
    assert eventually(lambda: len(api.network_policies(namespace)) == 1)
    assert apply(control_plane, deployment(namespace, "llm", *PINNED, replicas=2))[0] == 0
    assert eventually(lambda: len(api.confined(namespace)) == 2, within=40)
    api.run_all(namespace)
    confined = {each["metadata"]["uid"] for each in api.confined(namespace)}
    assert apply(control_plane, approval(name, namespace))[0] == 0

    def renewed() -> bool:
        pods = api.run_all(namespace)
        return len(pods) == 2 and not confined & {each["metadata"]["uid"] for each in pods}

    assert eventually(renewed, within=40)
    assert api.confined(namespace) == []
    deployed = api.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/llm")
    assert deployed["spec"]["template"]["metadata"]["annotations"]["weighmaster.dev/rollout"]
    assert deployed["metadata"]["generation"] <= 3
    assert len(api.events(namespace, "RolledOut")) == 1


def test_time_of_a_quarantined_pod_ends_by_its_deadline(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    assert apply(control_plane, pod(namespace, "server", *PINNED))[0] == 0
    api.run_all(namespace)
    policy(FORBIDDEN, enforcement=enforcement(profile(ttl="8s")))
    assert eventually(lambda: len(api.confined(namespace)) == 1, within=10)

    def deadline() -> int:
        (found,) = api.pods(namespace)
        return int(found["spec"].get("activeDeadlineSeconds", 0))

    assert deadline() == 0
    assert eventually(lambda: deadline() > 0, within=15)
    assert 8 <= deadline() < 30
    assert eventually(lambda: len(api.events(namespace, "SandboxExpired")) == 1)


def test_eviction_honours_disruption_budgets(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, api: Api
) -> None:
    workload = deployment(namespace, "llm", *PINNED, replicas=3)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "llm", "namespace": namespace},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "llm"}}},
    }
    assert apply(control_plane, workload, budget)[0] == 0
    assert made(api, namespace, 3)
    api.run_all(namespace)
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/llm"
    assert eventually(
        lambda: api.request("GET", path).get("status", {}).get("disruptionsAllowed") == 1
    )
    pace = {"maxPerMinute": 60, "maxPercent": 100}
    name = policy(FORBIDDEN, enforcement={"action": "Deny", "running": "Evict", "pace": pace})
    assert eventually(lambda: len(api.pods(namespace)) == 2, within=15)
    assert not eventually(lambda: len(api.pods(namespace)) < 2, within=8)
    assert eventually(lambda: len(api.events(namespace, "EvictionBlocked")) >= 1)
    assert eventually(lambda: "PodDisruptionBudgets" in api.running_status(name)["message"])
    control_plane.kubectl("delete", "pdb", "llm", "-n", namespace)
    assert eventually(lambda: api.pods(namespace) == [], within=40)


def test_pod_that_has_given_itself_a_year_to_shut_down_is_evicted_within_minutes(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, api: Api
) -> None:
    lasting = pod(namespace, "lasting", *PINNED)
    # One that no node has yet would be gone at once.
    lasting["spec"] |= {"terminationGracePeriodSeconds": 31_536_000, "nodeName": "n1"}
    assert apply(control_plane, lasting)[0] == 0
    api.run_all(namespace)
    path = f"/api/v1/namespaces/{namespace}/pods/lasting"

    def ends() -> datetime:
        found = api.request("GET", path)["metadata"]
        return datetime.fromisoformat(found["deletionTimestamp"])

    control_plane.kubectl("delete", "pod", "lasting", "-n", namespace, "--wait=false")
    assert ends() > datetime.now(UTC) + timedelta(days=300)
    pace = {"maxPerMinute": 60, "maxPercent": 100}
    policy(FORBIDDEN, enforcement={"action": "Deny", "running": "Evict", "pace": pace})
    assert eventually(lambda: ends() < datetime.now(UTC) + timedelta(minutes=11), within=20)
    control_plane.kubectl(
        *("delete", "pod", "lasting", "-n", namespace, "--force", "--grace-period=0")
    )
