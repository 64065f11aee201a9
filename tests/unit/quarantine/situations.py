"""What the tests of the sandbox are about: pods that serve models, policies and profiles."""

from typing import Any

from tests.unit.core.builders import FORBIDDEN, policy
from tests.unit.core.builders import pod as pod_of
from tests.unit.quarantine.cluster import MemoryCluster

Json = dict[str, Any]

LABEL = "weighmaster.dev/sandbox"

COMMIT = "a" * 40
MODEL = f"acme/m@{COMMIT}"


def pod(name: str = "server", namespace: str = "default", **metadata: Any) -> Json:
    """A running Pod with a vLLM container."""
    model = metadata.pop("model", "acme/m")
    made = pod_of(model, name=name, **{"namespace": namespace, **metadata})
    made["metadata"].setdefault("uid", f"uid-{namespace}-{name}")
    made["status"] = {"phase": "Running", "startTime": "2026-11-24T11:00:00Z"}
    return made


def replica(name: str, owner: str = "web", **metadata: Any) -> Json:
    """A Pod of a ReplicaSet."""
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{owner}-rs"}
    return pod(
        name,
        **{
            "generateName": f"{owner}-rs-",
            "labels": {"app": owner},
            "ownerReferences": [{**reference, "uid": f"uid-{owner}-rs", "controller": True}],
            **metadata,
        },
    )


def profile(name: str = "isolated", **spec: Any) -> Json:
    """A SandboxProfile."""
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "SandboxProfile",
        "metadata": {"name": name},
        "spec": spec,
    }


def quarantining(*rules: Json, name: str = "strict", **fields: Any) -> Json:
    """A policy that has running pods quarantined, all at once; by default whatever they serve."""
    enforcement = {
        "action": "Deny",
        "running": "Quarantine",
        "sandboxProfile": "isolated",
        "pace": {"maxPerMinute": 1000, "maxPercent": 100},
        **fields.pop("enforcement", {}),
    }
    return policy(*(rules or (FORBIDDEN,)), name=name, enforcement=enforcement, **fields)


def namespace(name: str = "default", **labels: str) -> Json:
    """A Namespace as the API server labels it."""
    named = {"kubernetes.io/metadata.name": name}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {**labels, **named}},
    }


def confined(cluster: MemoryCluster) -> list[str]:
    """Names of the pods with the label of a sandbox."""
    return [
        stored["metadata"]["name"]
        for stored in cluster.all("Pod")
        if LABEL in stored["metadata"].get("labels", {})
    ]


def running_status(cluster: MemoryCluster, name: str = "strict") -> Json:
    """What a policy's status says of running pods."""
    status = cluster.get_one("ClusterModelPolicy", name).get("status") or {}
    found: Json = status.get("running") or {}
    return found
