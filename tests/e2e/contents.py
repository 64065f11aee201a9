"""Pods whose weights lie on a volume, and what becomes of them where a kubelet would run them."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.controlplane.cluster import ControlPlane
from tests.e2e.verifier import own_container
from tests.hub.repositories import Repository
from weighmaster.core.mounted import CONTAINER

Json = dict[str, Any]

CONTENT = {"content": {"verify": "BeforeStart"}}
EMPTY: Json = {"emptyDir": {}}
CLAIM: Json = {"persistentVolumeClaim": {"claimName": "models"}}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(repository: Repository, source: Json) -> Json:
    """A server, and an init container that fetches its model to a volume."""
    command = [
        *("hf", "download", repository.name, f"--revision={repository.commit}"),
        "--local-dir=/data/m",
    ]
    return {
        "initContainers": [
            {
                "name": "fetch",
                "image": "python:3.12",
                "command": command,
                "securityContext": RESTRICTED,
                "volumeMounts": [{"name": "weights", "mountPath": "/data"}],
            }
        ],
        "containers": [
            {
                "name": "vllm",
                "image": "vllm/vllm-openai:v0.11.0",
                "args": ["--model=/models/m"],
                "securityContext": RESTRICTED,
                "volumeMounts": [{"name": "weights", "mountPath": "/models"}],
            }
        ],
        "volumes": [{"name": "weights", **source}],
    }


def pod(namespace: str, name: str, made_of: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made_of}


def deployment(namespace: str, name: str, made_of: Json) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": made_of}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def pods(control_plane: ControlPlane, namespace: str) -> list[Json]:
    found = control_plane.kubectl("get", "pods", "-n", namespace, "-o", "json").stdout
    listed: list[Json] = json.loads(found)["items"]
    return listed


def init_names(document: Json) -> list[str]:
    return [container["name"] for container in document["spec"]["initContainers"]]


def events(control_plane: ControlPlane, namespace: str, kind: str) -> list[str]:
    found = control_plane.kubectl("get", "events", "-n", namespace, "-o", "json").stdout
    return [
        f"{event['reason']} {event['message']}"
        for event in json.loads(found)["items"]
        if event["involvedObject"]["kind"] == kind
    ]


def report(
    control_plane: ControlPlane, made: Json, code: int, message: str, name: str = CONTAINER
) -> None:
    """Write into a pod's status what a kubelet would once a container of ours has ended."""
    terminated = {
        "exitCode": code,
        "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "startedAt": None,
        "message": message,
    }
    container = own_container(made, name)
    status = {
        "name": name,
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    metadata = made["metadata"]
    control_plane.kubectl(
        *("patch", "pod", metadata["name"], "-n", metadata["namespace"], "--subresource=status"),
        *("--type=merge", "-p", json.dumps({"status": {"initContainerStatuses": [status]}})),
    )
