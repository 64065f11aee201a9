"""Which requests the API server must send: the webhook configurations, from one list of kinds.

What the webhook is not sent it cannot refuse, so the list names every kind that carries or creates
pods or names weights, as far as it is known; and Pods, which are the enforcement point whatever
made them.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from weighmaster.core.enforce.confinement.network import NAME_PREFIX, SANDBOX_LABEL
from weighmaster.core.enforce.guard import REACHING

Json = dict[str, Any]


class Intercepted(Struct, frozen=True):
    """Resources of one API group, in every version."""

    group: str
    resources: tuple[str, ...]


INTERCEPTED = (
    Intercepted("", ("pods", "pods/ephemeralcontainers", "replicationcontrollers")),
    Intercepted("apps", ("deployments", "replicasets", "statefulsets", "daemonsets")),
    Intercepted("batch", ("jobs", "cronjobs")),
    Intercepted(
        "serving.kserve.io",
        (
            "inferenceservices",
            "llminferenceservices",
            "llminferenceserviceconfigs",
            "servingruntimes",
            "clusterservingruntimes",
            "localmodelcaches",
            "localmodelnamespacecaches",
            "trainedmodels",
            "predictors",
        ),
    ),
    Intercepted("leaderworkerset.x-k8s.io", ("leaderworkersets",)),
    Intercepted("jobset.x-k8s.io", ("jobsets",)),
    Intercepted("serving.knative.dev", ("services", "configurations", "revisions")),
    Intercepted("ray.io", ("rayservices", "rayjobs", "rayclusters")),
    Intercepted("apps.nvidia.com", ("nimservices", "nimcaches", "nimpipelines", "nimbuilds")),
    Intercepted("nvidia.com", ("dynamographdeployments", "dynamocomponentdeployments")),
    Intercepted("kaito.sh", ("workspaces", "inferencesets", "ragengines", "multiroleinferences")),
    Intercepted("kubeai.org", ("models",)),
    Intercepted("orchestration.aibrix.ai", ("stormservices", "rayclusterfleets", "podsets")),
    Intercepted("model.aibrix.ai", ("modeladapters", "modelclaims")),
    Intercepted("workloads.x-k8s.io", ("rolebasedgroups", "rolebasedgroupsets")),
    Intercepted("workload.serving.volcano.sh", ("modelservings", "modelboosters")),
    Intercepted("mlops.seldon.io", ("models", "servers", "experiments")),
    Intercepted("machinelearning.seldon.io", ("seldondeployments",)),
    Intercepted("inference.llmkube.dev", ("models", "inferenceservices")),
    Intercepted("llmaz.io", ("openmodels",)),
    Intercepted("inference.llmaz.io", ("playgrounds", "services")),
    Intercepted("ome.io", ("inferenceservices", "basemodels", "clusterbasemodels")),
    Intercepted("kubeflow.org", ("pytorchjobs", "mpijobs", "tfjobs", "notebooks")),
    Intercepted(
        "trainer.kubeflow.org", ("trainjobs", "trainingruntimes", "clustertrainingruntimes")
    ),
    Intercepted("argoproj.io", ("rollouts", "workflows", "cronworkflows")),
)


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
