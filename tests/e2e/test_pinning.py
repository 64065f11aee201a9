"""Pinning through a real API server: what people apply moves, what is stored does not.

There is no kubelet: pods stay pending, and what they would load is read from their specs.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.test_admission import apply
from tests.e2e.workloads import deployment, pod
from tests.hub.artifacts import Contents, modelpack
from tests.hub.registry import Registry
from tests.hub.repositories import Repository, model, safetensors
from tests.hub.server import Hub

MakePolicy = Callable[..., str]
Json = dict[str, Any]

REWRITE = {"reference": {"require": ["Known", "Pinned"], "pin": "Rewrite"}}
WAIT = 2.5
"""Seconds that the webhook waits for evidence by default."""

pytestmark = pytest.mark.usefixtures("installation")


def stored(control_plane: ControlPlane, namespace: str, kind: str, name: str = "") -> Any:
    names = [name] if name else []
    found = control_plane.kubectl("get", kind, *names, "-n", namespace, "-o", "json").stdout
    return json.loads(found)


def arguments(workload: Json) -> list[str]:
    """What the first container is told, in a pod or in the template of one."""
    spec = workload["spec"]
    spec = spec["template"]["spec"] if "template" in spec else spec
    found: list[str] = spec["containers"][0]["args"]
    return found


def revisions(control_plane: ControlPlane, namespace: str) -> list[list[str]]:
    """What the pods of a namespace are told, each."""
    return [arguments(each) for each in stored(control_plane, namespace, "pods")["items"]]


def move(repository: Repository) -> None:
    """Let the branch go on, and the commit that it was at stay."""
    repository.history.insert(0, repository.commit)
    repository.files["README.md"] = repository.files["README.md"] + b"moved\n"


def in_effect(control_plane: ControlPlane, namespace: str) -> None:
    """Wait until the webhook knows the policy."""
    probe = pod(namespace, "probe", "--model=acme/not-asked-for-by-a-dry-run")
    assert eventually(lambda: apply(control_plane, probe, dry_run=True)[0] != 0)


@contextmanager
def slow(hub: Hub, repository: Repository, seconds: float) -> Iterator[None]:
    """A hub that takes its time with the first question after a repository."""
    asked = 0

    async def misbehave(request: web.Request) -> None:
        nonlocal asked
        if repository.name in request.path and not asked:
            asked += 1
            await asyncio.sleep(seconds)

    hub.misbehave = misbehave
    yield
    hub.misbehave = None


def pinned(repository: Repository, commit: str = "") -> list[str]:
    return [f"--model={repository.name}", f"--revision={commit or repository.commit}"]


def test_deployment_of_a_model_that_nobody_has_seen_is_stored_pinned_at_once(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    """Tried anew for half a minute: after an outage in another test nobody may lead yet."""
    policy(REWRITE)
    in_effect(control_plane, namespace)
    for attempt in range(12):
        repository = hub.add(model(f"acme/{namespace}-first{attempt}"))
        name = f"chat{attempt}"
        started = time.monotonic()
        code, said = apply(control_plane, deployment(namespace, name, f"--model={repository.name}"))
        took = time.monotonic() - started
        assert code == 0, said
        if "Warning" not in said and took < WAIT:
            break
    else:
        pytest.fail(f"took {took:.1f} s: {said}")
    found = stored(control_plane, namespace, "deployment", name)
    assert arguments(found) == pinned(repository)
    noted = found["metadata"]["annotations"]["weighmaster.dev/pinned"]
    assert noted == f"spec.template.spec.containers[0].args[0]=hf://{repository.name}"
    assert "weighmaster.dev/pinned" not in str(found["spec"])
    assert eventually(lambda: pinned(repository) in revisions(control_plane, namespace))


def test_branch_that_moves_between_two_pods_of_a_deployment_gives_both_the_same_weights(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-moving"))
    policy(REWRITE)
    in_effect(control_plane, namespace)
    chat = deployment(namespace, "chat", f"--model={repository.name}")
    assert apply(control_plane, chat)[0] == 0
    first = pinned(repository)
    assert eventually(lambda: revisions(control_plane, namespace) == [first])
    move(repository)
    control_plane.kubectl("scale", "deployment/chat", "--replicas=3", "-n", namespace)
    assert eventually(lambda: revisions(control_plane, namespace) == [first] * 3)
    control_plane.kubectl("delete", "pods", "--all", "-n", namespace, "--force")
    assert eventually(lambda: revisions(control_plane, namespace) == [first] * 3)


def test_manifest_that_is_applied_again_changes_nothing_until_somebody_asks_for_it(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-again"))
    policy(REWRITE)
    in_effect(control_plane, namespace)
    chat = deployment(namespace, "chat", f"--model={repository.name}")
    assert apply(control_plane, chat)[0] == 0
    before = stored(control_plane, namespace, "deployment", "chat")
    first = pinned(repository)
    move(repository)
    for options in ([], ["--server-side", "--force-conflicts"]):
        control_plane.kubectl("apply", *options, "-f", "-", stdin=json.dumps(chat))
        after = stored(control_plane, namespace, "deployment", "chat")
        assert after["spec"] == before["spec"]
    assert len(stored(control_plane, namespace, "replicasets")["items"]) == 1
    control_plane.kubectl("rollout", "restart", "deployment/chat", "-n", namespace)
    assert arguments(stored(control_plane, namespace, "deployment", "chat")) == first
    records = json.loads(control_plane.kubectl("get", "modelrecords", "-o", "json").stdout)["items"]
    moving = next(r for r in records if r["spec"]["reference"] == f"hf://{repository.name}")
    control_plane.kubectl("delete", "modelrecord", moving["metadata"]["name"])
    count = 0

    def moved() -> bool:
        """Asked again, since the webhook may not have heard yet that the record is gone."""
        nonlocal count
        count += 1
        again = f"weighmaster.dev/repin={count}"
        control_plane.kubectl(
            *("annotate", "deployment/chat", again, "--overwrite", "-n", namespace)
        )
        found = stored(control_plane, namespace, "deployment", "chat")
        return arguments(found) == pinned(repository)

    assert eventually(moved, 30)


def test_deployment_that_could_not_be_pinned_in_time_is_pinned_by_itself(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-slow"))
    policy(REWRITE)
    in_effect(control_plane, namespace)
    chat = deployment(namespace, "chat", f"--model={repository.name}", replicas=2)
    with slow(hub, repository, 6):
        code, said = apply(control_plane, chat)
        assert code == 0, said
        assert "PinPending" in said
        found = stored(control_plane, namespace, "deployment", "chat")
        assert found["metadata"]["labels"] == {"weighmaster.dev/awaiting-evidence": "true"}
        assert arguments(found) == [f"--model={repository.name}"]
        assert revisions(control_plane, namespace) == []
        assert eventually(
            lambda: revisions(control_plane, namespace) == [pinned(repository)] * 2, 60
        )
    found = stored(control_plane, namespace, "deployment", "chat")
    assert "weighmaster.dev/awaiting-evidence" not in found["metadata"].get("labels", {})


def test_job_that_could_not_be_pinned_in_time_is_refused_and_can_be_created_again(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-job"))
    policy(REWRITE)
    in_effect(control_plane, namespace)
    spec = {**pod(namespace, "x", f"--model={repository.name}")["spec"], "restartPolicy": "Never"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": namespace},
        "spec": {"template": {"spec": spec}},
    }
    with slow(hub, repository, 6):
        code, said = apply(control_plane, job)
        assert code != 0
        assert "create it again in a moment [PinPending]" in said
        assert eventually(lambda: apply(control_plane, job)[0] == 0, 30)
    assert arguments(stored(control_plane, namespace, "job", "once")) == pinned(repository)
    assert eventually(lambda: revisions(control_plane, namespace) == [pinned(repository)])


def test_deployment_that_is_older_than_the_policy_keeps_its_pods_out_until_it_is_restarted(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-old"))
    chat = deployment(namespace, "chat", f"--model={repository.name}")
    assert apply(control_plane, chat)[0] == 0
    assert eventually(lambda: len(revisions(control_plane, namespace)) == 1)
    policy(REWRITE)
    in_effect(control_plane, namespace)
    control_plane.kubectl("delete", "pods", "--all", "-n", namespace, "--force")

    def told() -> bool:
        said = control_plane.kubectl("get", "events", "-n", namespace, "-o", "json").stdout
        return "kubectl rollout restart deployment/chat [OwnerNotPinned]" in said

    assert eventually(told, 30)
    assert revisions(control_plane, namespace) == []
    control_plane.kubectl("label", "deployment/chat", "team=a", "-n", namespace)
    assert "--revision" not in str(stored(control_plane, namespace, "deployment", "chat"))
    control_plane.kubectl("rollout", "restart", "deployment/chat", "-n", namespace)
    assert eventually(lambda: revisions(control_plane, namespace) == [pinned(repository)], 30)


def test_tag_that_moves_in_a_registry_is_pinned_to_its_digest(
    control_plane: ControlPlane, registry: Registry, namespace: str, policy: MakePolicy
) -> None:
    def push(size: int) -> str:
        contents = Contents()
        top = modelpack(contents, {"model.safetensors": safetensors({"a": [size]})}, "v1")
        registry.push(f"models/{namespace}", contents)
        return str(top["digest"])

    name = f"{registry.address}/models/{namespace}:v1"
    policy(REWRITE)
    in_effect(control_plane, namespace)
    fetch = {
        "name": "fetch",
        "image": "registry.example/tools/oras:1",
        "command": ["oras", "pull", name, "-o", "/models"],
    }
    chat = deployment(namespace, "chat")
    chat["spec"]["template"]["spec"] = {"containers": [fetch]}
    first = push(3)
    code, said = apply(control_plane, chat)
    assert code == 0, said
    command = ["oras", "pull", f"{name}@{first}", "-o", "/models"]

    def commands() -> list[list[str]]:
        listed = stored(control_plane, namespace, "pods")["items"]
        return [each["spec"]["containers"][0]["command"] for each in listed]

    assert eventually(lambda: commands() == [command])
    assert push(5) != first
    control_plane.kubectl("scale", "deployment/chat", "--replicas=2", "-n", namespace)
    assert eventually(lambda: commands() == [command] * 2)


def test_pod_is_pinned_once_however_often_the_mutating_stage_is_asked(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-twice"))
    policy(REWRITE)
    in_effect(control_plane, namespace)
    chat = pod(namespace, "chat", f"--model={repository.name}")
    assert apply(control_plane, chat)[0] == 0
    found = stored(control_plane, namespace, "pod", "chat")
    assert arguments(found) == pinned(repository)
    control_plane.kubectl("delete", "pod", "chat", "-n", namespace, "--force")
    copied = {key: found[key] for key in ("apiVersion", "kind", "spec")}
    metadata = {key: found["metadata"][key] for key in ("name", "namespace", "annotations")}
    code, said = apply(control_plane, {**copied, "metadata": metadata})
    assert code == 0, said
    assert arguments(stored(control_plane, namespace, "pod", "chat")) == pinned(repository)


def test_dry_run_of_a_model_that_is_known_shows_the_pin(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = hub.add(model(f"acme/{namespace}-dry"))
    policy(REWRITE)
    in_effect(control_plane, namespace)
    probe = pod(namespace, "probe", f"--model={repository.name}")
    assert "[PinPending]" in apply(control_plane, probe, dry_run=True)[1]
    assert apply(control_plane, probe)[0] == 0
    control_plane.kubectl("delete", "pod", "probe", "-n", namespace, "--force")
    shown = control_plane.kubectl(
        *("apply", "--dry-run=server", "-o", "json", "-f", "-"), stdin=json.dumps(probe)
    ).stdout
    assert arguments(json.loads(shown)) == pinned(repository)
