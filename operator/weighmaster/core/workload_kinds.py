"""Kinds of workloads: what the API server must send, by group and resource.

What the webhook is not sent it cannot refuse, so the list names every kind that carries or creates
pods or names weights, as far as it is known; and Pods, which are the enforcement point whatever
made them.
"""

from msgspec import Struct


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

FIXED = frozenset({"pods", "pods/ephemeralcontainers", "jobs", "jobsets", "revisions", "workflows"})
"""Resources whose pods are what they are once they exist."""

CHANGEABLE = tuple(
    Intercepted(each.group, found)
    for each in INTERCEPTED
    if (found := tuple(name for name in each.resources if name not in FIXED))
)
"""Resources whose objects can still be given another form."""
