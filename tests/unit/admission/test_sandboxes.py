"""Requests around sandboxes as they arrive, and what is said before anything is known."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.admission.reviews import assert_refusal, body, new_handler, response_of
from tests.unit.core.builders import API_VERSION, NOW, pod, policy, request, snapshot
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.reasons import Reason
from weighmaster.pipeline import review
from weighmaster.policy_files import FileStore

Json = dict[str, Any]

PROFILE: Json = {
    "apiVersion": API_VERSION,
    "kind": "SandboxProfile",
    "metadata": {"name": "isolated"},
    "spec": {"access": {"users": ["auditor"]}},
}
SANDBOXED = pod("acme/m", labels={SANDBOX_LABEL: "isolated"})
EXEC: Json = {
    "operation": "CONNECT",
    "resource": {"group": "", "version": "v1", "resource": "pods"},
    "subResource": "exec",
    "userInfo": {"username": "mallory", "groups": ["system:masters"]},
}
OPTIONS = {"apiVersion": "v1", "kind": "PodExecOptions", "command": ["sh"]}


def test_exec_into_a_sandbox_is_refused_by_the_name_of_the_request() -> None:
    handler = new_handler(snapshot(PROFILE, SANDBOXED))
    said = assert_refusal(handler.handle("/validate", body(OPTIONS, **EXEC)).body)
    assert "is not allowed" in said["status"]["message"]
    other = {**EXEC, "name": "other"}
    assert response_of(handler.handle("/validate", body(OPTIONS, **other)).body)["allowed"] is True
    auditor = {**EXEC, "userInfo": {"username": "auditor"}}
    assert response_of(handler.handle("/validate", body(OPTIONS, **auditor)).body)["allowed"]


def test_exec_is_refused_while_nobody_knows_which_pods_are_in_sandboxes() -> None:
    said = assert_refusal(new_handler(ready=False).handle("/validate", body(OPTIONS, **EXEC)).body)
    assert "not completely known yet" in said["status"]["message"]


def test_without_a_cluster_nothing_runs_in_a_sandbox_and_nobody_reaches_into_pods(
    tmp_path: Path,
) -> None:
    pinned = {"reference": {"require": ["Pinned"]}}
    enforcement = {"action": "Sandbox", "sandboxProfile": "isolated"}
    file = tmp_path / "policies.yaml"
    file.write_text(yaml.safe_dump_all([policy(pinned, enforcement=enforcement), PROFILE]))
    handler = new_handler(FileStore([file]).snapshot())
    said = assert_refusal(handler.handle("/validate", body(pod("acme/m"))).body)
    assert "SandboxNetworkMissing" in said["status"]["message"]
    said = assert_refusal(handler.handle("/validate", body(OPTIONS, **EXEC)).body)
    assert "is not known" in said["status"]["message"]


@pytest.mark.parametrize("labels", [{}, {"app": "x"}])
def test_own_label_is_nothing_that_a_policy_selects_by(labels: Json) -> None:
    selector = {"matchExpressions": [{"key": SANDBOX_LABEL, "operator": "DoesNotExist"}]}
    held = snapshot(
        policy({"reference": {"require": ["Pinned"]}}, match={"objectSelector": selector})
    )
    forged = pod("acme/m", labels={**labels, SANDBOX_LABEL: "isolated"})
    answer = review(request(forged), held, NOW)
    assert answer.response.reasons == (Reason.NOT_PINNED,)
    assert not answer.response.allowed
