"""What the benchmark sends: a review of a Deployment of 8 KB, and 20 policies to decide it by."""

import json
from pathlib import Path
from typing import Any

import yaml

from weighmaster.core.evaluate.records import new_record

REVIEW_BYTES = 8 * 1024
MODEL = "mistralai/Mistral-7B-Instruct-v0.3"
COMMIT = "e0bc86c23ce5aae1db576c8cca6f06f1f73af2db"

Json = dict[str, Any]


def deployment() -> Json:
    """A vLLM Deployment as a model team would write it, with what the API server adds."""
    environment: list[Json] = [
        {"name": f"VLLM_SETTING_{number}", "value": f"value-{number}"} for number in range(24)
    ]
    environment.append(
        {
            "name": "HF_TOKEN",
            "valueFrom": {"secretKeyRef": {"name": "hub-token", "key": "token"}},
        }
    )
    container = {
        "name": "server",
        "image": "registry.bank.example/vllm/vllm-openai:v0.11.0",
        "args": [
            f"--model={MODEL}",
            f"--revision={COMMIT}",
            "--served-model-name=assistant",
            "--max-model-len=16384",
            "--gpu-memory-utilization=0.92",
            "--tensor-parallel-size=2",
        ],
        "env": environment,
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "resources": {"limits": {"nvidia.com/gpu": "2", "memory": "96Gi", "cpu": "16"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 10},
        "livenessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 30},
        "volumeMounts": [
            {"name": "cache", "mountPath": "/root/.cache/huggingface"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "assistant",
            "namespace": "chat",
            "labels": {"app": "assistant", "team": "retail"},
            "annotations": {"deployment.kubernetes.io/revision": "3"},
        },
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "assistant"}},
            "template": {
                "metadata": {"labels": {"app": "assistant", "team": "retail"}},
                "spec": {
                    "containers": [container],
                    "volumes": [
                        {"name": "cache", "persistentVolumeClaim": {"claimName": "hub-cache"}},
                        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
                    ],
                    "nodeSelector": {"accelerator": "h100"},
                    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                },
            },
        },
    }


def review_body(name: str = "assistant", size: int = REVIEW_BYTES) -> bytes:
    """An AdmissionReview of about ``size`` bytes; managedFields fill it up, as they do in life."""
    document = deployment()
    document["metadata"]["name"] = name
    fields: Json = {}
    document["metadata"]["managedFields"] = [
        {
            "manager": "kubectl-client-side-apply",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": "2026-11-24T12:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
    ]
    review = {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "requestKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "requestResource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": name,
            "namespace": "chat",
            "operation": "CREATE",
            "userInfo": {"username": "team@bank.example", "groups": ["system:authenticated"]},
            "object": document,
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    }
    number = 0
    while len(json.dumps(review)) < size - 40:
        fields[f"f:field-{number}"] = {"f:value": {}}
        number += 1
    return json.dumps(review).encode()


def write_policies(folder: Path) -> None:
    """Twenty cluster policies, all of which match the review, and what they ask for."""
    publisher = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelPublisher",
        "metadata": {"name": "mistral", "labels": {"weighmaster.dev/reviewed": "true"}},
        "spec": {
            "displayName": "Mistral AI",
            "jurisdiction": "FR",
            "references": ["hf://mistralai/**"],
        },
    }
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "chat", "labels": {"env": "production"}},
    }
    rules: list[Json] = [
        {"reference": {"require": ["Known", "Pinned"]}},
        {"origin": {"publishers": {"allow": ["mistral"]}, "assurance": "Namespace"}},
        {"code": {"remote": "Forbid", "runtimeAdapters": "Forbid", "originOverrides": "Forbid"}},
        {"expression": {"cel": "model.scheme == 'hf' && model.pinned", "message": "from the hub"}},
    ]
    policies = [
        {
            "apiVersion": "weighmaster.dev/v1alpha1",
            "kind": "ClusterModelPolicy",
            "metadata": {"name": f"policy-{number:02}"},
            "spec": {
                "match": {
                    "namespaceSelector": {"matchLabels": {"env": "production"}},
                    "references": ["hf://**"],
                },
                "enforcement": {"action": "Deny"},
                "rules": [{"name": "rule", **rules[number % len(rules)]}],
            },
        }
        for number in range(20)
    ]
    reference = f"hf://{MODEL}@{COMMIT}"
    record = new_record(reference) | {"status": {"state": "Resolved", "resolved": reference}}
    text = yaml.safe_dump_all([publisher, namespace, record, *policies])
    (folder / "policies.yaml").write_text(text)
