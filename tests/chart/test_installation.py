"""The chart's life in a real control plane, by real Helm: the tests build on each other, in order.

Pods run on the node of ``tests.node``: with the chart's arguments, service accounts, mounts and
security contexts; real controllers roll Deployments out and keep EndpointSlices. What it leaves out
is said there. Load stays in a network namespace that is made for this module.
"""

import json
import os
import re
import signal
import ssl
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.chart.installed import (
    BAD,
    CONFIGURATIONS,
    GOOD,
    LOAD,
    NAMESPACE,
    PLAIN,
    POLICY,
    RELEASE,
    SECRET,
    WEBHOOK,
    Cluster,
    Load,
    bundles,
    decoded,
    emergency,
    empty_bundles,
    families,
    gone,
    leading_pod,
    lease_holder,
    older_chart,
    record_columns,
    running_cluster,
    secret_uid,
    served,
    soon,
    written_by,
)
from tests.chart.program import CHART, settings
from tests.cluster.rights import asked, granted
from tests.controlplane.binaries import Binaries
from tests.node.network import is_possible
from weighmaster.certificates.stored import ISSUED_AFTER

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

QUICK = settings(certificates__settleSeconds=5, webhook__shutdownDelaySeconds=6)
"""As the defaults, only sooner: a rotation and a roll-out take minutes otherwise."""


@pytest.fixture(scope="module")
def cluster(
    control_plane_binaries: Binaries,
    helm_program: Path,
    tmp_path_factory: pytest.TempPathFactory,
    audit_logs: list[Path],
) -> Iterator[Cluster]:
    """A control plane and a node in a network namespace of their own."""
    if problem := is_possible():
        if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
            pytest.fail(f"CI needs it: {problem}", pytrace=False)
        pytest.skip(f"NO NODE, SO NOT TESTED: {problem}")
    folder = tmp_path_factory.mktemp("installation")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    with running_cluster(control_plane_binaries, helm_program, folder) as running:
        audit_logs.append(running.control_plane.audit_log)
        running.values += QUICK
        yield running


def test_first_install_fails_closed_and_becomes_ready_by_itself(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With failurePolicy Fail, and no certificate when the API server first asks for one."""
    begun = time.monotonic()
    cluster.install(chart=older_chart(tmp_path_factory.mktemp("charts")))
    took = time.monotonic() - begun
    assert (cluster.ready("webhook"), cluster.ready("controller")) == (2, 2)
    assert len(bundles(cluster)) == 1
    assert "" not in bundles(cluster)
    assert cluster.outcome(GOOD) == "admitted"
    assert cluster.outcome(PLAIN) == "admitted without a decision"
    for kind in CONFIGURATIONS:
        assert {each["failurePolicy"] for each in cluster.get(kind, RELEASE)["webhooks"]} == {
            "Fail"
        }
    assert took < 100, f"ready after {took:.0f} s"


def test_policy_decides(cluster: Cluster) -> None:
    cluster.control_plane.apply(POLICY)
    soon(cluster.checks, "pods are not checked")


def test_helm_test_asks_the_api_server_whether_it_asks_us(cluster: Cluster) -> None:
    said = cluster.helm("test", RELEASE, "--namespace", NAMESPACE, "--logs", check=False)
    assert "Phase:          Succeeded" in said.stdout, said.stdout + said.stderr
    assert "the webhook has answered" in cluster.node.log(f"{RELEASE}-test")


def test_two_replicas_answer_alike(cluster: Cluster) -> None:
    """The same request, asked of each: by its address and with the name of the Service."""
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "a-b",
            "operation": "CREATE",
            "namespace": LOAD,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": GOOD,
            "userInfo": {"username": "somebody"},
        },
    }
    (bundle,) = bundles(cluster)
    context = ssl.create_default_context(cadata=decoded(bundle))
    context.check_hostname = False
    answers = []
    for pod in cluster.pods("webhook"):
        for path in ("mutate", "validate"):
            url = f"https://{pod['status']['podIP']}:9443/{path}"
            request = urllib.request.Request(url, data=json.dumps(review).encode())
            with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                answers.append((path, json.load(answer)))
    assert len(answers) == 4
    assert answers[:2] == answers[2:]


def test_metrics_are_as_prometheus_wants_them_and_all_that_alerts_ask_for_is_there(
    cluster: Cluster, promtool: Path
) -> None:
    """Labels are left out: some series only appear with the first event."""
    alerts = (CHART / "files" / "alerts.yaml").read_text()
    asked = set(re.findall(r"\bweighmaster_[a-z_]+", alerts))
    by_role = {role: families(cluster, promtool, role) for role in ("webhook", "controller")}
    assert {name.removesuffix("_bucket") for name in asked} <= set().union(*by_role.values())
    for line in alerts.splitlines():
        for job, role in (("WEBHOOK", "webhook"), ("CONTROLLER", "controller")):
            for name in re.findall(rf'(weighmaster_\w+){{[^}}]*job="{job}"', line):
                assert name in by_role[role], f"{role} has no {name}"


def test_rolling_restart_under_load_loses_no_request(
    cluster: Cluster, record_testsuite_property: Any
) -> None:
    before = {pod["metadata"]["name"] for pod in cluster.pods("webhook")}
    with Load(cluster) as load:
        restart = ("rollout", "restart", f"deployment/{WEBHOOK}", "-n", NAMESPACE)
        cluster.control_plane.kubectl(*restart)
        cluster.rolled_out("webhook")
        soon(lambda: not gone(cluster, before), "old pods do not end")
    record_testsuite_property("rolling restart", load.figures())
    assert load.wrong == []
    assert load.answered > 100
    assert not before & {pod["metadata"]["name"] for pod in cluster.pods("webhook")}


def test_rotation_under_load_loses_no_request(
    cluster: Cluster, record_testsuite_property: Any
) -> None:
    """Asked for by an annotation; otherwise it is the one that takes place every two months."""
    old = cluster.get("secret", SECRET)["data"]
    now = datetime.now(UTC).isoformat()
    with Load(cluster) as load:
        annotate = ("annotate", "secret", SECRET, "-n", NAMESPACE, f"{ISSUED_AFTER}={now}")
        cluster.control_plane.kubectl(*annotate)
        soon(
            lambda: (
                cluster.get("secret", SECRET)["data"]["tls.crt"] != old["tls.crt"]
                and served(cluster) == {"new"}
            ),
            "the new certificate is not served everywhere",
        )
    record_testsuite_property("rotation", load.figures())
    assert load.wrong == []
    assert load.answered > 100
    new = cluster.get("secret", SECRET)["data"]
    assert old["ca.crt"] != new["ca.crt"]
    (bundle,) = bundles(cluster)
    for data in (old, new):
        assert decoded(data["ca.crt"]) in decoded(bundle)


def test_upgrade_under_load_loses_no_request_and_brings_the_definitions_up_to_date(
    cluster: Cluster, record_testsuite_property: Any
) -> None:
    columns, trusted = record_columns(cluster), bundles(cluster)
    with Load(cluster) as load:
        cluster.upgrade()
    record_testsuite_property("upgrade", load.figures())
    assert load.wrong == []
    assert record_columns(cluster) == columns + 1
    assert bundles(cluster) == trusted
    images = {pod["spec"]["containers"][0]["image"] for pod in cluster.pods("webhook")}
    assert images == {"registry.example/weighmaster:0.1.0"}


def test_rollback_under_load_loses_no_request(
    cluster: Cluster, record_testsuite_property: Any
) -> None:
    trusted = bundles(cluster)
    with Load(cluster) as load:
        cluster.helm(
            *("rollback", RELEASE, "1", "--namespace", NAMESPACE, "--wait", "--timeout", "100s")
        )
    record_testsuite_property("rollback", load.figures())
    assert load.wrong == []
    assert bundles(cluster) == trusted
    cluster.upgrade()


def test_bundle_that_somebody_empties_is_put_back(cluster: Cluster) -> None:
    authority = decoded(cluster.get("secret", SECRET)["data"]["ca.crt"])
    empty_bundles(cluster)
    soon(
        lambda: all(authority in decoded(bundle) for bundle in bundles(cluster)),
        "the bundle is not put back",
    )
    soon(cluster.checks, "pods are not checked")


def test_certificate_that_somebody_deletes_is_made_anew_and_meanwhile_served(
    cluster: Cluster, record_testsuite_property: Any
) -> None:
    """What is mounted stays; the new one is of another CA, which has to be trusted first."""
    old = cluster.get("secret", SECRET)["metadata"]["uid"]
    with Load(cluster) as load:
        cluster.control_plane.kubectl("delete", "secret", SECRET, "-n", NAMESPACE)
        soon(lambda: secret_uid(cluster) not in ("", old), "it is not made anew")
        soon(lambda: served(cluster) == {"new"}, "the new certificate is not served everywhere")
    record_testsuite_property("deleted certificate", load.figures())
    assert load.wrong == []


def test_controller_that_dies_is_succeeded_within_15_seconds(
    cluster: Cluster, record_testsuite_property: Any
) -> None:
    """Its process is killed; the node starts it again, and it finds another leading."""
    soon(lambda: leading_pod(cluster) != "", "no pod of the latest roll-out leads")
    leader = lease_holder(cluster)
    os.kill(cluster.node.process_id(leading_pod(cluster)), signal.SIGKILL)
    begun = time.monotonic()
    soon(lambda: lease_holder(cluster) not in ("", leader), "nobody else leads", within=20)
    took = time.monotonic() - begun
    record_testsuite_property("fail-over of a killed controller", f"{took:.1f} s")
    assert took < 15


def test_leader_that_freezes_writes_nothing_more_when_it_thaws(cluster: Cluster) -> None:
    """By its own clock it leads for a moment, and there is something to mend."""
    soon(lambda: leading_pod(cluster) != "", "no pod of the latest roll-out leads")
    leader, pod = lease_holder(cluster), leading_pod(cluster)
    process = cluster.node.process_id(pod)
    begun = datetime.now(UTC) - timedelta(minutes=5)
    assert written_by(cluster, pod, begun), "nothing is known of what it wrote"
    os.kill(process, signal.SIGSTOP)
    soon(lambda: lease_holder(cluster) not in ("", leader), "nobody else leads", within=25)
    thawed = datetime.now(UTC)
    empty_bundles(cluster)
    os.kill(process, signal.SIGCONT)
    soon(lambda: "no longer leading" in cluster.node.log(pod), "it does not notice")
    soon(cluster.checks, "the bundle is not put back")
    assert written_by(cluster, pod, thawed) == set()


def test_drained_node_never_takes_the_last_replica(cluster: Cluster) -> None:
    names = [pod["metadata"]["name"] for pod in cluster.pods("webhook")]
    outcomes = []
    for name in names:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        try:
            cluster.api.request("POST", path, eviction)
            outcomes.append("evicted")
        except Exception as error:  # noqa: BLE001 - whatever refuses it
            outcomes.append("429" if "429" in str(error) else str(error))
    assert outcomes == ["evicted", "429"]
    soon(lambda: cluster.ready("webhook") == 2, "no replacement comes")


def test_all_pods_gone_at_once_come_back_by_themselves(cluster: Cluster) -> None:
    """They are of an exempt namespace: nobody has to be asked about them."""
    for role in ("webhook", "controller"):
        cluster.control_plane.kubectl(
            *("delete", "pods", "-n", NAMESPACE, "--grace-period=0", "--force"),
            *("-l", f"app.kubernetes.io/component={role}"),
        )
    soon(lambda: cluster.ready("webhook") == 2, "the webhook does not come back")
    soon(cluster.checks, "pods are not checked")


def test_cluster_that_loses_its_power_comes_back_by_itself(cluster: Cluster) -> None:
    """The node and the API server are off at once, with failurePolicy Fail in force."""
    cluster.node.power_off()
    cluster.control_plane.stop_apiserver()
    cluster.control_plane.start_apiserver()
    cluster.control_plane.restart_controller_manager()
    soon(lambda: "failed calling webhook" in cluster.outcome(GOOD), "something answers")
    cluster.node.power_on()
    soon(cluster.checks, "pods are not checked", within=60)


def test_one_namespace_can_be_exempted_while_no_webhook_answers(cluster: Cluster) -> None:
    """The gentler way of docs/operations.md."""
    cluster.node.power_off()
    assert "failed calling webhook" in cluster.outcome(GOOD)
    upgrade = ("upgrade", RELEASE, str(CHART), "-n", NAMESPACE, "--reset-then-reuse-values")
    cluster.helm(*upgrade, *settings(admission__exemptNamespaces=["kube-system", LOAD]))
    soon(lambda: cluster.outcome(GOOD) == "admitted without a decision", "pods are still refused")
    cluster.node.power_on()
    cluster.upgrade(*settings(admission__exemptNamespaces=["kube-system"]))
    soon(cluster.checks, "pods are not checked again")


def test_emergency_procedure_of_the_docs_works(cluster: Cluster) -> None:
    """No webhook answers, and something must be created now: the commands are the page's."""

    def run(program: str, *arguments: str) -> str:
        here = [str(CHART) if each == "charts/weighmaster" else each for each in arguments]
        if program == "kubectl":
            return cluster.control_plane.kubectl(*here).stdout
        assert program == "helm"
        return cluster.helm(*here).stdout

    stop_asking, put_back, ask, show_policies, show_events = emergency()
    cluster.control_plane.kubectl("scale", f"deployment/{WEBHOOK}", "--replicas=0", "-n", NAMESPACE)
    soon(lambda: "failed calling webhook" in cluster.outcome(GOOD), "something still answers")
    run(*stop_asking)
    soon(lambda: cluster.outcome(GOOD) == "admitted without a decision", "pods are still refused")
    cluster.control_plane.apply(BAD)
    run(*put_back)
    assert "Succeeded" in run(*ask)
    soon(cluster.checks, "pods are not checked again")
    soon(lambda: "pod/bad" in run(*show_events), "nobody tells of what came in meanwhile")
    assert "pinned" in run(*show_policies)
    cluster.control_plane.kubectl("delete", "pod", "bad", "-n", LOAD, "--force")


def test_uninstall_leaves_nothing_in_the_way_when_all_pods_are_gone(cluster: Cluster) -> None:
    kubectl = cluster.control_plane.kubectl
    cluster.node.power_off()
    assert "failed calling webhook" in cluster.outcome(GOOD)
    cluster.helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    soon(lambda: cluster.outcome(GOOD) == "admitted without a decision", "pods are refused")
    for kind in CONFIGURATIONS:
        assert kubectl("get", kind, "-o", "name").stdout == ""
    left = kubectl("get", "clusterroles,clusterrolebindings", "-o", "name").stdout
    assert RELEASE not in left
    # What people have written stays.
    assert "pinned" in kubectl("get", "clustermodelpolicies", "-o", "name").stdout


def test_uninstall_deletes_the_configurations_before_the_pods(cluster: Cluster) -> None:
    """Whatever fails after that, no fail-closed webhook is left without anybody behind it."""
    deleted = [
        event["objectRef"]["resource"]
        for event in cluster.control_plane.audit_events()
        if event["verb"] == "delete"
        and event["objectRef"].get("name") in (RELEASE, WEBHOOK)
        and event["objectRef"]["resource"] in ("deployments", *(f"{k}s" for k in CONFIGURATIONS))
        and "helm" in event.get("userAgent", "").lower()
    ]
    last = deleted[-3:]
    assert set(last[:2]) == {f"{kind}s" for kind in CONFIGURATIONS}
    assert last[2] == "deployments"


def test_install_after_an_uninstall_takes_up_what_was_left(cluster: Cluster) -> None:
    cluster.node.power_on()
    soon(lambda: cluster.pods("webhook") == [], "old pods do not go")
    cluster.install()
    soon(cluster.checks, "pods are not checked")


def test_roles_ask_for_nothing_that_they_have_no_right_to(cluster: Cluster) -> None:
    """An API server that has just started refuses everybody until it has read the rights."""
    refused = asked(cluster.control_plane.audit_events(), NAMESPACE, "forbid")
    assert refused - granted() == set()
