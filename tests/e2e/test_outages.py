"""Outages: nothing is let through that should not be, and everything recovers by itself."""

import json
import signal
import ssl
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.installation import Installation
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.test_admission import PINNED_RULE, apply
from tests.e2e.workloads import PINNED, UNPINNED, deployment, pod

MakePolicy = Callable[..., str]


def refused(control_plane: ControlPlane, namespace: str) -> bool:
    """Whether an unpinned pod is refused by a rule, not by an outage."""
    code, said = apply(control_plane, pod(namespace, "probe", *UNPINNED), dry_run=True)
    return code != 0 and "[NotPinned]" in said


def admitted(control_plane: ControlPlane, namespace: str) -> bool:
    """Whether a pinned pod is admitted."""
    return apply(control_plane, pod(namespace, "probe", *PINNED), dry_run=True)[0] == 0


def test_without_a_webhook_requests_fail_closed_and_a_restart_brings_it_back(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, installation: Installation
) -> None:
    policy(PINNED_RULE)
    assert eventually(lambda: refused(control_plane, namespace))
    assert installation.webhook.stop() == 0
    try:
        code, said = apply(control_plane, pod(namespace, "p", *PINNED))
        assert code != 0
        assert "failed calling webhook" in said
    finally:
        installation.webhook.start()
    assert eventually(lambda: admitted(control_plane, namespace))
    assert refused(control_plane, namespace)


def test_killed_webhook_serves_no_request_before_it_has_listed_every_policy(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, installation: Installation
) -> None:
    policy(PINNED_RULE)
    assert eventually(lambda: refused(control_plane, namespace))
    installation.webhook.stop(signal.SIGKILL)
    installation.webhook.start(wait=False)
    while not installation.webhook.ready():
        code, _said = apply(control_plane, pod(namespace, "probe", *UNPINNED), dry_run=True)
        assert code != 0
    assert refused(control_plane, namespace)


def test_api_server_restart_loses_no_policy_and_the_operator_recovers(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, installation: Installation
) -> None:
    name = policy(PINNED_RULE)
    assert eventually(lambda: refused(control_plane, namespace))
    control_plane.stop_apiserver()
    control_plane.start_apiserver()
    control_plane.restart_controller_manager()
    assert installation.webhook.running()
    assert installation.controller.running()
    assert eventually(lambda: refused(control_plane, namespace))
    policy(PINNED_RULE, name=name, action="Warn")
    assert eventually(lambda: not refused(control_plane, namespace), within=40)
    assert eventually(lambda: ready_condition(control_plane, name)["observedGeneration"] == 2)


def ready_condition(control_plane: ControlPlane, policy: str) -> dict[str, Any]:
    stored = control_plane.kubectl("get", "clustermodelpolicy", policy, "-o", "json").stdout
    conditions = json.loads(stored).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {"observedGeneration": 0})


@pytest.mark.parametrize("path", ["/", "/validate/x", "/mutating", "/validate-pods"])
def test_unknown_path_is_a_refusal_even_where_failures_are_ignored(
    installation: Installation, path: str
) -> None:
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "a-b", "operation": "CREATE", "object": deployment("x", "y")},
    }
    request = urllib.request.Request(
        f"https://127.0.0.1:{installation.port}{path}", data=json.dumps(review).encode()
    )
    context = ssl.create_default_context(cafile=str(installation.certificate_file))
    with urllib.request.urlopen(request, context=context, timeout=5) as answer:
        response = json.load(answer)["response"]
    assert response["uid"] == "a-b"
    assert response["allowed"] is False


def test_roles_started_while_the_api_server_is_away_wait_for_it(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, installation: Installation
) -> None:
    policy(PINNED_RULE)
    assert eventually(lambda: refused(control_plane, namespace))
    control_plane.stop_apiserver()
    try:
        for role in (installation.webhook, installation.controller):
            role.stop()
            role.start(wait=False)
        # kopf with its own retries has given up by then.
        assert not eventually(
            lambda: not (installation.webhook.running() and installation.controller.running()),
            within=18,
        )
        status, said = installation.webhook.get("/readyz")
        assert (status, "not been listed yet" in said) == (503, True)
    finally:
        control_plane.start_apiserver()
        control_plane.restart_controller_manager()
    assert eventually(installation.webhook.ready)
    assert eventually(lambda: refused(control_plane, namespace))
    assert eventually(installation.controller.ready)
