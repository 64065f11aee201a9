"""Running pods that policy turns against, in a real API server.

There is no kubelet and no CNI: the tests write the status of pods, and what is seen of isolation is
that the NetworkPolicy is there and selects the pod. The controller acts as its own service account.
"""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.installation import SYSTEM_NAMESPACE, Installation, Role
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.asking import admitted
from tests.e2e.contents import CLAIM, report, spec
from tests.e2e.contents import pod as mounting_pod
from tests.e2e.running import (
    FORBIDDEN,
    LABEL,
    Api,
    enforcement,
    made,
)
from tests.e2e.test_admission import apply
from tests.e2e.test_evidence import arguments, outcome, signed
from tests.e2e.test_supplied import put
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


KEY = ec.generate_private_key(ec.SECP256R1())


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
        assert found["metadata"]["labels"][LABEL] == namespace
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


def test_key_in_a_secret_is_followed_when_it_changes(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    profile: Callable[..., str],
    api: Api,
    tmp_path: Path,
) -> None:
    """The webhook may read no Secret: it has the key from the policy's status."""
    repository = signed(model(f"{namespace}-acme/llm"), KEY)
    write_model(tmp_path / "volume" / "m", repository.files)
    put(control_plane, "Secret", namespace, SYSTEM_NAMESPACE, value=public_pem(KEY))
    kept = {"key": {"secretRef": {"name": namespace}}}
    rule = {"content": {"verify": "BeforeStart", "authorities": [kept]}}
    name = policy(rule, enforcement=enforcement(profile()))
    made_of = spec(repository, CLAIM)
    del made_of["initContainers"]
    verified = admitted(control_plane, mounting_pod(namespace, "llm", made_of))
    folder = tmp_path / "container"
    code, message = run(verified, {"weights": tmp_path / "volume"}, folder)
    assert code == 0, message
    report(control_plane, verified, code, message)
    api.run_all(namespace)
    time.sleep(5)
    assert api.confined(namespace) == []
    other = public_pem(ec.generate_private_key(ec.SECP256R1()))
    put(control_plane, "Secret", namespace, SYSTEM_NAMESPACE, value=other)
    changed = time.monotonic()
    assert eventually(lambda: len(api.confined(namespace)) == 1, within=15)
    print(f"quarantined within {time.monotonic() - changed:.1f} s")  # noqa: T201
    assert eventually(lambda: len(api.events(namespace, "Quarantined")) == 1)
    assert "[NotSigned]" in api.events(namespace, "Quarantined")[0]["message"]
    later = admitted(control_plane, mounting_pod(namespace, "later", made_of))
    assert run(later, {"weights": tmp_path / "volume"}, tmp_path / "later")[0] == 1
    control_plane.kubectl("delete", "secret", namespace, "-n", SYSTEM_NAMESPACE)
    path = f"/apis/weighmaster.dev/v1alpha1/clustermodelpolicies/{name}"
    assert eventually(lambda: api.request("GET", path)["status"].get("keys") == [], within=15)
    warnings = api.request("GET", path)["status"]["warnings"]
    assert any("cannot be read" in warning for warning in warnings)


def pem_of(key: ec.EllipticCurvePrivateKey) -> Json:
    return {"pem": public_pem(key)}


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
        "controller", [], installation.kubeconfigs["controller"], tmp_path / "successor.log"
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
