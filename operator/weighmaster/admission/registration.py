"""Which requests the API server must send: the webhook configurations, from one list of kinds."""

from collections.abc import Mapping
from typing import Any

from weighmaster.core.enforce.confinement.network import NAME_PREFIX, SANDBOX_LABEL
from weighmaster.core.enforce.guard import REACHING
from weighmaster.core.workload_kinds import INTERCEPTED

Json = dict[str, Any]


_SANDBOXED = {"matchExpressions": [{"key": SANDBOX_LABEL, "operator": "Exists"}]}
"""Selects objects that have the label of a sandbox, or had it before they were changed."""

_METADATA_CHANGES = "request.subResource != 'status' || " + " || ".join(
    f"(has(object.metadata.{part}) ? object.metadata.{part} : {{}})"
    f" != (has(oldObject.metadata.{part}) ? oldObject.metadata.{part} : {{}})"
    for part in ("labels", "annotations")
)
"""Kubelets write the status of every pod all the time; but metadata can be written by it (CEL)."""

_TRAFFIC = (
    f"(object == null ? oldObject : object).metadata.name.startsWith('{NAME_PREFIX}')"
    " || request.operation != 'DELETE' && (has(object.spec.ingress) || has(object.spec.egress))"
)
"""NetworkPolicies that allow something, or are ours. Others open no sandbox (CEL)."""


_COPIED = (
    "request.userInfo.username != 'system:kube-scheduler'"
    " && (has(object.metadata.labels) || has(object.metadata.annotations))"
)
"""Bindings that put something on their pod; what the scheduler's have is of the node (CEL)."""


def rules() -> list[Json]:
    """The ``rules`` of both configurations: create and update, in every version."""
    return [
        _rule(intercepted.group, intercepted.resources, "CREATE", "UPDATE")
        for intercepted in INTERCEPTED
    ]


def guards() -> dict[str, Json]:
    """What the validating stage is also sent, to keep sandboxes closed, by the webhook's name."""
    reaching = tuple(f"pods/{subresource}" for subresource in sorted(REACHING))
    return {
        # The pod's labels are not in these requests, so there is no selecting.
        "reach": {"rules": [_rule("", reaching, "CONNECT")]},
        "sandboxes": {
            "rules": [_rule("", ("pods/resize", "pods/status"), "UPDATE")],
            "objectSelector": _SANDBOXED,
            "matchConditions": [{"name": "metadata-changes", "expression": _METADATA_CHANGES}],
        },
        "bindings": {
            "rules": [_rule("", ("bindings", "pods/binding"), "CREATE")],
            "matchConditions": [{"name": "puts-something-on-the-pod", "expression": _COPIED}],
        },
        "networkpolicies": {
            "rules": [
                _rule("networking.k8s.io", ("networkpolicies",), "CREATE", "UPDATE", "DELETE")
            ],
            "matchConditions": [{"name": "allows-traffic-or-is-ours", "expression": _TRAFFIC}],
        },
    }


def configurations(client: Mapping[str, Any], exempt_namespaces: tuple[str, ...]) -> list[Json]:
    """The mutating and the validating webhook configuration.

    ``client`` is the ``clientConfig`` without its path: a ``service`` or a ``url``, and the
    ``caBundle``. Namespaces are exempt by name, through a label that nobody can set
    (``kubernetes.io/metadata.name``).
    """
    mutating = {"rules": rules(), "reinvocationPolicy": "IfNeeded"}
    return [
        _configuration("Mutating", {"mutating": mutating}, client, exempt_namespaces),
        _configuration(
            "Validating", {"validating": {"rules": rules()}, **guards()}, client, exempt_namespaces
        ),
    ]


def _rule(group: str, resources: tuple[str, ...], *operations: str) -> Json:
    return {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
        "scope": "*",
    }


def _configuration(
    stage: str,
    webhooks: Mapping[str, Json],
    client: Mapping[str, Any],
    exempt_namespaces: tuple[str, ...],
) -> Json:
    path = "/mutate" if stage == "Mutating" else "/validate"
    common: Json = {
        "admissionReviewVersions": ["v1"],
        "clientConfig": _with_path(client, path),
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": 10,
        "namespaceSelector": {
            "matchExpressions": [
                {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": list(exempt_namespaces),
                }
            ]
        },
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{stage}WebhookConfiguration",
        "metadata": {
            "name": "weighmaster",
            "labels": {"app.kubernetes.io/name": "weighmaster"},
        },
        "webhooks": [
            {"name": f"{name}.weighmaster.dev", **common, **webhook}
            for name, webhook in webhooks.items()
        ],
    }


def _with_path(client: Mapping[str, Any], path: str) -> Json:
    if "url" in client:
        return {**client, "url": f"{str(client['url']).rstrip('/')}{path}"}
    return {**client, "service": {**client["service"], "path": path}}
