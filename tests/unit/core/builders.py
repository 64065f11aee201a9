"""Builders of what the pipeline works on: policies, snapshots, workloads and model uses."""

from datetime import UTC, datetime
from typing import Any

from weighmaster.cluster.sandboxes import SandboxStore
from weighmaster.cluster.store import PolicyStore
from weighmaster.core import references
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.evaluate.subject import Subject, Workload
from weighmaster.core.values import ModelReference, ModelUse, Process, Role
from weighmaster.pipeline import AdmissionRequest, Operation, Stage
from weighmaster.policy_files import add_document, add_to_cluster

Json = dict[str, Any]

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
API_VERSION = "weighmaster.dev/v1alpha1"
KNOWN = {"reference": {"require": ["Known"]}}
FORBIDDEN = {"expression": {"cel": "!model.known && model.known", "message": "never"}}
"""A rule that no model use satisfies."""


def policy(*rules: Json, name: str = "strict", action: str = "Deny", **spec: Any) -> Json:
    """A ClusterModelPolicy; its rules get names of their own."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterModelPolicy",
        "metadata": {"name": name},
        "spec": {
            "enforcement": {"action": action},
            "rules": [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules or (KNOWN,))],
            **spec,
        },
    }


def namespaced(*rules: Json, namespace: str = "default", **fields: Any) -> Json:
    """A ModelPolicy."""
    made = policy(*rules, **fields)
    made["kind"] = "ModelPolicy"
    made["metadata"]["namespace"] = namespace
    return made


def publisher(name: str, *globs: str, **spec: Any) -> Json:
    """A ModelPublisher."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelPublisher",
        "metadata": {"name": name},
        "spec": {"displayName": name, "references": list(globs), **spec},
    }


def exception(**spec: Any) -> Json:
    """A ModelException for rule-0 of the policy "strict" in the namespace "default"."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelException",
        "metadata": {"name": "granted", "creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": {
            "policies": [{"name": "strict", "rules": ["rule-0"]}],
            "namespaces": ["default"],
            "references": ["hf://acme/**"],
            "reason": "an audit is under way",
            "approvedBy": "security",
            "expiresAt": "2027-01-01T00:00:00Z",
            **spec,
        },
    }


def namespace(name: str, **labels: str) -> Json:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def snapshot(*documents: Json) -> Snapshot:
    """Everything in the documents, compiled as a store does it."""
    store, sandboxes = PolicyStore(), SandboxStore()
    for document in documents:
        assert add_document(store, document) or add_to_cluster(sandboxes, document)
    return store.snapshot().within(sandboxes.cluster())


def pod(*models: str, name: str = "server", **metadata: Any) -> Json:
    """A Pod with a vLLM container for each model."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {
            "containers": [
                {"name": f"c{n}", "image": "vllm/vllm-openai:v0.11.0", "args": ["--model", model]}
                for n, model in enumerate(models)
            ]
        },
    }


def request(document: Json | None, **fields: Any) -> AdmissionRequest:
    """A validating CREATE request."""
    return AdmissionRequest(
        **{
            "stage": Stage.VALIDATE,
            "operation": Operation.CREATE,
            "subresource": "",
            "namespace": "default",
            "name": "server",
            "document": document,
            **fields,
        }
    )


def use(reference: str | ModelReference = "hf://acme/m", path: str = "spec.x") -> ModelUse:
    """A use of a reference as a base model by vLLM."""
    if isinstance(reference, str):
        reference = references.parse(reference)
    return ModelUse(
        reference=reference,
        role=Role.BASE,
        path=path,
        process=Process(runtime="vllm", container="c0"),
        reason="--model",
    )


def workload(**fields: Any) -> Workload:
    """A Deployment in the namespace "default"."""
    return Workload(
        **{"group": "apps", "kind": "Deployment", "namespace": "default", "name": "x", **fields}
    )


def subject(reference: str | ModelReference = "hf://acme/m", *documents: Json) -> Subject:
    """A use of a reference as rules see it."""
    return Subject(use(reference), workload(label_sets=({"team": "a"},)), snapshot(*documents), NOW)
