"""What others do to a pod whose bytes are verified: webhooks, and whoever changes it later."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.e2e.asking import admitted
from tests.e2e.contents import (
    CONTENT,
    EMPTY,
    init_names,
    pod,
    pods,
    spec,
)
from tests.e2e.test_admission import apply
from tests.e2e.webhooks import mutating
from tests.hub.repositories import Repository
from weighmaster.core.enforce.verification import LABEL
from weighmaster.core.mounted import CONTAINER

MakePolicy = Callable[..., str]
Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("installation")


def test_existing_pod_keeps_its_verification(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(CONTENT)
    made = admitted(control_plane, pod(namespace, "m", spec(repository, EMPTY)))
    index = init_names(made).index(CONTAINER)
    for patch in (
        {"op": "replace", "path": f"/spec/initContainers/{index}/image", "value": "busybox"},
        {"op": "remove", "path": f"/metadata/labels/{LABEL.replace('/', '~1')}"},
    ):
        result = control_plane.kubectl(
            *("patch", "pod", "m", "-n", namespace, "--type=json", "-p", json.dumps([patch])),
            check=False,
        )
        assert "[VerificationProtected]" in result.stderr or "stays" in result.stderr, result
        assert result.returncode != 0
    control_plane.kubectl("annotate", "pod", "m", "-n", namespace, "anything=else")
    debugger = {
        "name": "debugger",
        "image": "busybox",
        "targetContainerName": "vllm",
        "volumeMounts": [{"name": "weights", "mountPath": "/w"}],
    }
    control_plane.kubectl(
        *("patch", "pod", "m", "-n", namespace, "--subresource=ephemeralcontainers"),
        *("-p", json.dumps({"spec": {"ephemeralContainers": [debugger]}})),
    )
    (now,) = pods(control_plane, namespace)
    (mount,) = now["spec"]["ephemeralContainers"][0]["volumeMounts"]
    assert mount["readOnly"] is True


def injecting(container: Json) -> Callable[[Json], list[Json]]:
    """Appends an init container, unless it is there."""

    def change(document: Json) -> list[Json]:
        listed = document["spec"].get("initContainers") or []
        if any(each["name"] == container["name"] for each in listed):
            return []
        if not listed:
            return [{"op": "add", "path": "/spec/initContainers", "value": [container]}]
        return [{"op": "add", "path": "/spec/initContainers/-", "value": container}]

    return change


def test_init_container_that_another_webhook_adds_later_comes_before_the_verification(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    policy(CONTENT)
    late = {
        "name": "late",
        "image": "busybox",
        "volumeMounts": [{"name": "weights", "mountPath": "/w"}],
    }
    first = admitted(control_plane, pod(namespace, "first", spec(repository, EMPTY)))
    assert init_names(first) == ["fetch", CONTAINER]
    with mutating(control_plane, namespace, injecting(late)):
        manifest = pod(namespace, "m", spec(repository, EMPTY))
        manifest["spec"]["volumes"].append({"name": "scratch", "emptyDir": {}})
        made = admitted(control_plane, manifest)
    assert init_names(made) == ["fetch", "late", CONTAINER]


def test_what_kserve_adds_later_is_verified_too(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, repository: Repository
) -> None:
    """The shape of KServe's storage initializer, which its own webhook puts into the pods."""
    policy(CONTENT)
    initializer = {
        "name": "storage-initializer",
        "image": "kserve/storage-initializer:v0.15.0",
        "args": [f"hf://{repository.name}:{repository.commit}", "/mnt/models"],
        "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
    }
    mount = {
        "name": "kserve-provision-location",
        "mountPath": "/mnt/models",
        "readOnly": True,
    }
    server = {
        "name": "kserve-container",
        "image": "kserve/huggingfaceserver:v0.15.0",
        "args": ["--model_name=m", "--model_dir=/mnt/models"],
        "volumeMounts": [mount],
    }
    made_of = {
        "containers": [server],
        "volumes": [{"name": "kserve-provision-location", "emptyDir": {}}],
    }

    def change(document: Json) -> list[Json]:
        return [] if document["spec"]["containers"][0]["name"] == "shell" else inject(document)

    inject = injecting(initializer)
    with mutating(control_plane, namespace, change):
        made = admitted(control_plane, pod(namespace, "m", made_of))
    assert init_names(made) == ["storage-initializer", CONTAINER]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/spec/containers/0/volumeMounts/0/readOnly", False),
        ("/spec/initContainers/1/image", "busybox"),
        ("/spec/initContainers/1/env/0/value", "[]"),
        ("/spec/initContainers/1/command", ["true"]),
    ],
)
def test_what_another_webhook_changes_after_the_verification_was_added_is_refused(
    control_plane: ControlPlane,
    namespace: str,
    policy: MakePolicy,
    repository: Repository,
    path: str,
    value: object,
) -> None:
    policy(CONTENT)
    admitted(control_plane, pod(namespace, "before", spec(repository, EMPTY)))

    def change(document: Json) -> list[Json]:
        listed = document["spec"].get("initContainers") or []
        if len(listed) < 2:
            return []
        return [{"op": "replace", "path": path, "value": value}]

    with mutating(control_plane, namespace, change, reinvocation="IfNeeded"):
        code, said = apply(control_plane, pod(namespace, "m", spec(repository, EMPTY)))
    assert code != 0
    assert "[VerificationIncomplete]" in said
