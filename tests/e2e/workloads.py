"""Workloads that the end-to-end tests apply."""

from typing import Any

Json = dict[str, Any]

COMMIT = "e0bc86c23ce5aae1db576c8cca6f06f1f73af2db"
PINNED = ("--model=mistralai/Mistral-7B-Instruct-v0.3", f"--revision={COMMIT}")
UNPINNED = ("--model=mistralai/Mistral-7B-Instruct-v0.3",)


def pod_spec(*arguments: str) -> Json:
    """A vLLM container."""
    image = "vllm/vllm-openai:v0.11.0"
    return {"containers": [{"name": "vllm", "image": image, "args": list(arguments)}]}


def pod(namespace: str, name: str, *arguments: str, **metadata: Any) -> Json:
    """A Pod that serves a model by vLLM."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": pod_spec(*arguments),
    }


def deployment(namespace: str, name: str, *arguments: str, replicas: int = 1) -> Json:
    """A Deployment that serves a model by vLLM."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(*arguments)},
        },
    }


def web(namespace: str, name: str) -> Json:
    """A Deployment that serves no model."""
    workload = deployment(namespace, name)
    workload["spec"]["template"]["spec"] = {"containers": [{"name": "web", "image": "nginx:1.29"}]}
    return workload
