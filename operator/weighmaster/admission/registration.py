"""Which requests the API server must send: the webhook configurations, from one list of kinds.

What the webhook is not sent it cannot refuse, so the list names every kind that carries or creates
pods or names weights, as far as it is known; and Pods, which are the enforcement point whatever
made them.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

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


def rules() -> list[Json]:
    """The ``rules`` of both configurations: create and update, in every version."""
    return [
        {
            "apiGroups": [intercepted.group],
            "apiVersions": ["*"],
            "operations": ["CREATE", "UPDATE"],
            "resources": list(intercepted.resources),
            "scope": "*",
        }
        for intercepted in INTERCEPTED
    ]


def configurations(client: Mapping[str, Any], exempt_namespaces: tuple[str, ...]) -> list[Json]:
    """The mutating and the validating webhook configuration.

    ``client`` is the ``clientConfig`` without its path: a ``service`` or a ``url``, and the
    ``caBundle``. Namespaces are exempt by name, through a label that nobody can set
    (``kubernetes.io/metadata.name``).
    """
    return [
        _configuration("Mutating", "/mutate", client, exempt_namespaces),
        _configuration("Validating", "/validate", client, exempt_namespaces),
    ]


def _configuration(
    stage: str, path: str, client: Mapping[str, Any], exempt_namespaces: tuple[str, ...]
) -> Json:
    webhook: Json = {
        "name": f"{stage.lower()}.weighmaster.dev",
        "admissionReviewVersions": ["v1"],
        "clientConfig": _with_path(client, path),
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": 10,
        "rules": rules(),
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
    if stage == "Mutating":
        webhook["reinvocationPolicy"] = "IfNeeded"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{stage}WebhookConfiguration",
        "metadata": {
            "name": "weighmaster",
            "labels": {"app.kubernetes.io/name": "weighmaster"},
        },
        "webhooks": [webhook],
    }


def _with_path(client: Mapping[str, Any], path: str) -> Json:
    if "url" in client:
        return {**client, "url": f"{str(client['url']).rstrip('/')}{path}"}
    return {**client, "service": {**client["service"], "path": path}}
