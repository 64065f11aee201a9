"""Running pods that policy turns against, in a real API server.

There is no kubelet and no CNI: the tests write the status of pods, and what is seen of isolation is
that the NetworkPolicy is there and selects the pod. The controller acts as its own service account.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.installation import Installation, Role
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.running import LABEL, QUARANTINED_AT, Api, connected
from tests.e2e.test_admission import apply
from tests.e2e.test_content import CLAIM, admitted, report, spec
from tests.e2e.test_content import pod as mounting_pod
from tests.e2e.test_evidence import arguments, outcome, signed
from tests.e2e.verifier import run
from tests.e2e.workloads import PINNED, deployment, pod
from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.signing.bundles import public_pem
from tests.signing.models import write_model
from weighmaster.core.verify.authorities import key_authority

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")

FORBIDDEN = {"expression": {"cel": "model.runtime == 'none'", "message": "is forbidden"}}
ALLOWED = {"reference": {"require": ["Known"]}}
KEY = ec.generate_private_key(ec.SECP256R1())
ALL_AT_ONCE = {"maxPerMinute": 1000, "maxPercent": 100}
CONTROLLER = "system:serviceaccount:weighmaster-system:weighmaster-controller"


@pytest.fixture
def api(control_plane: ControlPlane) -> Iterator[Api]:
    with connected(control_plane) as opened:
        yield opened


@pytest.fixture
def profile(control_plane: ControlPlane, namespace: str) -> Iterator[Callable[..., str]]:
    """Makes the sandbox profile of the test."""
    name = f"{namespace}-isolated"

    def make(**spec: Any) -> str:
        control_plane.apply(
            {
                "apiVersion": "weighmaster.dev/v1alpha1",
                "kind": "SandboxProfile",
                "metadata": {"name": name},
                "spec": spec,
            }
        )
        return name

    yield make
    control_plane.kubectl("delete", "sandboxprofile", name, "--ignore-not-found")


def enforcement(profile: str, **fields: Any) -> Json:
    """Of a policy that has running pods quarantined, all at once."""
    usual = {"action": "Deny", "running": "Quarantine", "sandboxProfile": profile}
    return {**usual, "pace": ALL_AT_ONCE, **fields}


def made(api: Api, namespace: str, count: int) -> bool:
    return eventually(lambda: len(api.pods(namespace)) == count, within=40)


def test_revoked_key_quarantines_running_pods_within_ten_seconds(
    control_plane: ControlPlane,
    hub: Hub,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    repository = hub.add(signed(model(f"{namespace}-acme/llm"), KEY))
    publisher: Json = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelPublisher",
        "metadata": {"name": f"{namespace}-acme"},
        "spec": {
            "displayName": "Acme",
            "references": [f"hf://{namespace}-acme/**"],
            "identities": [{"key": {"pem": public_pem(KEY)}}],
        },
    }
    control_plane.apply(publisher)
    rule: Json = {"signature": {"authorities": [{"publisher": {}}]}}
    name = policy(rule, enforcement=enforcement(profile()))
    assert "created" in outcome(control_plane, namespace, repository)
    workload = deployment(namespace, "llm", *arguments(repository), replicas=5)
    assert apply(control_plane, workload)[0] == 0
    assert made(api, namespace, 5)
    before = api.run_all(namespace)
    time.sleep(6)
    assert api.confined(namespace) == []
    other_key = {"key": {"pem": public_pem(ec.generate_private_key(ec.SECP256R1()))}}
    publisher["spec"]["identities"] = [other_key]
    control_plane.apply(publisher)
    revoked = time.monotonic()
    assert eventually(lambda: len(api.confined(namespace)) == 5, within=10)
    print(f"quarantined within {time.monotonic() - revoked:.1f} s")  # noqa: T201
    after = {each["metadata"]["uid"]: each for each in api.pods(namespace)}
    for each in before:
        found = after[each["metadata"]["uid"]]
        assert found["spec"] == each["spec"], "nothing of it was changed"
        assert found["metadata"]["labels"][LABEL] == f"{namespace}-isolated"
    assert eventually(lambda: api.running_status(name).get("quarantined") == 5)
    event = api.events(namespace, "Quarantined")[0]
    assert "[NotSigned]" in event["message"]
    owners = {each["involvedObject"]["kind"] for each in api.events(namespace, "Quarantined")}
    assert owners == {"Pod", "Deployment"}
    control_plane.kubectl("delete", "modelpublisher", publisher["metadata"]["name"])


def test_key_that_a_content_rule_names_quarantines_what_it_has_verified_when_it_is_withdrawn(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
    tmp_path: Path,
) -> None:
    """Weights on a claim, with the signature beside them; what is run is the very container."""
    repository = signed(model(f"{namespace}-acme/llm"), KEY)
    write_model(tmp_path / "volume" / "m", repository.files)

    def content(key: ec.EllipticCurvePrivateKey) -> Json:
        return {"content": {"verify": "BeforeStart", "authorities": [{"key": pem_of(key)}]}}

    enforced = enforcement(profile())
    name = policy(content(KEY), enforcement=enforced)
    made_of = spec(repository, CLAIM)
    del made_of["initContainers"]
    for number in range(2):
        verified = admitted(control_plane, mounting_pod(namespace, f"llm-{number}", made_of))
        folder = tmp_path / f"container-{number}"
        report(control_plane, verified, *run(verified, {"weights": tmp_path / "volume"}, folder))
    api.run_all(namespace)
    time.sleep(5)
    assert api.confined(namespace) == []
    policy(content(ec.generate_private_key(ec.SECP256R1())), name=name, enforcement=enforced)
    withdrawn = time.monotonic()
    assert eventually(lambda: len(api.confined(namespace)) == 2, within=10)
    print(f"quarantined within {time.monotonic() - withdrawn:.1f} s")  # noqa: T201
    assert eventually(lambda: len(api.events(namespace, "Quarantined")) == 2)
    event = api.events(namespace, "Quarantined")[0]
    assert "[NotSigned]" in event["message"]
    assert key_authority(public_pem(KEY)).fingerprint in event["message"]


def pem_of(key: ec.EllipticCurvePrivateKey) -> Json:
    return {"pem": public_pem(key)}


def test_network_policy_is_there_before_the_first_pod_is_labelled_by_the_controller_itself(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    assert apply(control_plane, pod(namespace, "server", *PINNED))[0] == 0
    api.run_all(namespace)
    policy(FORBIDDEN, enforcement=enforcement(profile()))
    assert eventually(lambda: len(api.confined(namespace)) == 1, within=10)

    def at(verb: str, resource: str) -> datetime:
        (event,) = (
            event
            for event in control_plane.audit_events()
            if event["verb"] == verb
            and event["objectRef"].get("namespace") == namespace
            and event["objectRef"]["resource"] == resource
            and not event["objectRef"].get("subresource")
        )
        assert event["user"]["username"] == CONTROLLER
        return datetime.fromisoformat(event["stageTimestamp"])

    assert eventually(lambda: at("patch", "pods") is not None)
    assert at("create", "networkpolicies") < at("patch", "pods")


def test_network_policy_appears_at_once_is_put_back_and_goes_when_nothing_needs_it(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    peer = {"podSelector": {"matchLabels": {"app": "dns"}}}
    egress = [{"to": [peer], "ports": [{"protocol": "UDP", "port": 53}]}]
    name = f"weighmaster-sandbox-{profile(networkPolicy={'egress': egress})}"
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}"
    policed = policy(
        ALLOWED, enforcement={"action": "Sandbox", "sandboxProfile": f"{namespace}-isolated"}
    )

    def spec() -> Json:
        found: Json = api.network_policies(namespace).get(name, {}).get("spec", {})
        return found

    begun = time.monotonic()
    assert eventually(lambda: bool(spec()), within=5)
    print(f"there after {time.monotonic() - begun:.2f} s")  # noqa: T201
    wanted = spec()
    assert wanted["policyTypes"] == ["Ingress", "Egress"]
    assert wanted["egress"] == egress
    assert "ingress" not in wanted
    version = api.request("GET", path)["metadata"]["resourceVersion"]
    uid = api.request("GET", path)["metadata"]["uid"]
    # The webhook lets nobody do so but the controller: as if it had been away.
    api.request("PATCH", path, {"spec": {"ingress": [{}], "podSelector": {}}}, CONTROLLER)
    begun = time.monotonic()
    assert eventually(lambda: spec() == wanted, within=5)
    print(f"corrected after {time.monotonic() - begun:.2f} s")  # noqa: T201
    api.request("DELETE", path, user=CONTROLLER)
    begun = time.monotonic()
    assert eventually(lambda: spec() == wanted, within=5)
    assert api.request("GET", path)["metadata"]["uid"] != uid
    print(f"put back after {time.monotonic() - begun:.2f} s")  # noqa: T201
    settled = api.request("GET", path)["metadata"]["resourceVersion"]
    assert settled != version
    time.sleep(5)
    assert api.request("GET", path)["metadata"]["resourceVersion"] == settled, "no write storm"
    profile(networkPolicy={})
    assert eventually(lambda: "egress" not in spec(), within=5)
    control_plane.kubectl("delete", "clustermodelpolicy", policed)
    assert not eventually(lambda: not spec(), within=5)
    assert eventually(lambda: not spec(), within=40)


def test_new_namespace_gets_its_network_policy(
    control_plane: ControlPlane, namespace: str, profile: Callable[..., str], api: Api
) -> None:
    label = {"weighmaster-test": namespace}
    name = f"{namespace}-later"
    control_plane.apply(
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ClusterModelPolicy",
            "metadata": {"name": name},
            "spec": {
                "match": {"namespaceSelector": {"matchLabels": label}},
                "enforcement": {"action": "Sandbox", "sandboxProfile": profile()},
                "rules": [{"name": "known", **ALLOWED}],
            },
        }
    )
    made_later: Json = {"name": name, "labels": label}
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": made_later})
    assert eventually(lambda: len(api.network_policies(name)) == 1, within=5)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
    control_plane.kubectl("delete", "clustermodelpolicy", name)


def test_fifty_pods_are_quarantined_at_the_pace_of_the_policy_and_no_faster(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    for number in range(5):
        workload = deployment(namespace, f"llm-{number}", *PINNED, replicas=10)
        assert apply(control_plane, workload)[0] == 0
    assert made(api, namespace, 50)
    api.run_all(namespace)
    pace = {"maxPerMinute": 10, "maxPercent": 60}
    name = policy(FORBIDDEN, enforcement=enforcement(profile(), pace=pace))
    assert eventually(lambda: len(api.confined(namespace)) == 10, within=10)
    assert not eventually(lambda: len(api.confined(namespace)) > 10, within=15)
    apps = {each["metadata"]["labels"]["app"] for each in api.confined(namespace)}
    assert len(apps) == 5, "two of each"
    assert eventually(lambda: api.running_status(name).get("waiting") == 40)
    assert "maxPerMinute (10)" in api.running_status(name)["message"]
    pace = {"maxPerMinute": 1000, "maxPercent": 60}
    policy(FORBIDDEN, name=name, enforcement=enforcement(profile(), pace=pace))
    assert eventually(lambda: len(api.confined(namespace)) == 30, within=10)
    assert not eventually(lambda: len(api.confined(namespace)) > 30, within=5)
    assert "30 of 50 pods" in api.running_status(name)["message"]
    policy(FORBIDDEN, name=name, enforcement=enforcement(profile()))
    begun = time.monotonic()
    assert eventually(lambda: len(api.confined(namespace)) == 50, within=10)
    print(f"the last 20 after {time.monotonic() - begun:.1f} s")  # noqa: T201


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


def approval(policy: str, namespace: str) -> Json:
    """An exception for everything in a namespace that the policy's first rule is against."""
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelException",
        "metadata": {"name": namespace},
        "spec": {
            "policies": [{"name": policy, "rules": ["rule-0"]}],
            "namespaces": [namespace],
            "references": ["hf://**"],
            "reason": "it has been audited",
            "approvedBy": "security",
            "expiresAt": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
        },
    }


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


def test_network_policy_that_opens_the_sandbox_is_told_of(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
) -> None:
    opening = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-dns", "namespace": namespace},
        "spec": {"podSelector": {}, "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}]},
    }
    assert apply(control_plane, opening, pod(namespace, "server", *PINNED))[0] == 0
    api.run_all(namespace)
    name = policy(FORBIDDEN, enforcement=enforcement(profile()))
    assert eventually(lambda: api.running_status(name).get("exposed") == 1)
    assert "allow-dns" in api.events(namespace, "SandboxOpened")[0]["message"]
    assert len(api.events(namespace, "OpensSandbox")) == 1
    control_plane.kubectl("delete", "networkpolicy", "allow-dns", "-n", namespace)
    assert eventually(lambda: api.running_status(name).get("exposed") == 0)


def test_outage_and_restart_neither_quarantine_nor_release_nor_repeat_anything(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
    installation: Installation,
) -> None:
    assert apply(control_plane, pod(namespace, "lawful", *PINNED))[0] == 0
    assert apply(control_plane, pod(namespace, "unlawful", "--model=evil/m"))[0] == 0
    api.run_all(namespace)
    rule = {"expression": {"cel": "model.location != 'hf://evil/m'", "message": "is evil"}}
    policy(rule, enforcement=enforcement(profile()))
    assert eventually(lambda: len(api.confined(namespace)) == 1, within=10)
    before = {each["metadata"]["name"]: each["metadata"] for each in api.pods(namespace)}
    events = len(api.events(namespace, "Quarantined"))
    api.connection.close()
    control_plane.stop_apiserver()
    time.sleep(3)
    control_plane.start_apiserver()
    control_plane.restart_controller_manager()
    installation.controller.stop()
    installation.controller.start()
    time.sleep(8)
    after = {each["metadata"]["name"]: each["metadata"] for each in api.pods(namespace)}
    assert {name: each["resourceVersion"] for name, each in after.items()} == {
        name: each["resourceVersion"] for name, each in before.items()
    }
    assert len(api.events(namespace, "Quarantined")) == events


def test_successor_goes_on_at_the_same_pace(
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
    installation: Installation,
    tmp_path: Path,
) -> None:
    control_plane = installation.control_plane
    workload = deployment(namespace, "llm", *PINNED, replicas=8)
    assert apply(control_plane, workload)[0] == 0
    assert made(api, namespace, 8)
    api.run_all(namespace)
    successor = Role(
        "controller", [], installation.controller_kubeconfig, tmp_path / "successor.log"
    )
    successor.start()
    try:
        pace = {"maxPerMinute": 4, "maxPercent": 100}
        name = policy(FORBIDDEN, enforcement=enforcement(profile(), pace=pace))
        assert eventually(lambda: len(api.confined(namespace)) == 4, within=10)
        begun = time.monotonic()
        installation.controller.stop(signal.SIGKILL)
        assert eventually(
            lambda: "weighmaster_leader 1.0" in successor.get("/metrics")[1], within=25
        )
        assert not eventually(lambda: len(api.confined(namespace)) > 4, within=10)
        assert time.monotonic() - begun < 50, "the minute was not over yet"
        policy(FORBIDDEN, name=name, enforcement=enforcement(profile()))
        assert eventually(lambda: len(api.confined(namespace)) == 8, within=10)
    finally:
        successor.stop()
        installation.controller.start()


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


def test_violations_are_a_column_of_policies(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, api: Api
) -> None:
    assert apply(control_plane, pod(namespace, "server", *PINNED))[0] == 0
    api.run_all(namespace)
    name = policy(FORBIDDEN)
    assert eventually(lambda: api.running_status(name).get("violating") == 1)
    table = control_plane.kubectl("get", "clustermodelpolicy", name).stdout.splitlines()
    assert "VIOLATIONS" in table[0]
    assert table[1].split()[2] == "1"
    assert eventually(lambda: len(api.events(namespace, "PolicyViolation")) == 1)
    assert json.dumps(api.confined(namespace)) == "[]"
