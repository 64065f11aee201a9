"""The types of chart values that both Deployments and the rest are made of."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from weighmaster.settings import LONGEST_DELAY, LONGEST_WAIT, MAX_STALENESS, WebhookSettings

_WEBHOOK = WebhookSettings(certificate=Path(), key=Path())


class Values(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Base of everything in ``values.yaml``: what is not known here is a mistake."""


def described(description: str, **limits: Any) -> Meta:
    """What a value means, and its limits."""
    return Meta(description=description, **limits)


Name = Annotated[str, Meta(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Labels = dict[str, str]
Host = Annotated[str, Meta(min_length=1, max_length=261, pattern=r"^[A-Za-z0-9.:\[\]-]+$")]
Cidr = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$")]
Duration = Annotated[str, Meta(pattern=r"^([0-9]+(ms|s|m|h))+$")]
"""As both Go and Prometheus write them."""

HttpUrl = Annotated[str, Meta(pattern=r"^(https?://[^\s]+)?$")]
Quantity = (
    int | float | Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]
)
_AMOUNT = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]+\.[0-9]*[1-9][0-9]*)(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
Amount = (
    Annotated[int, Meta(gt=0)]
    | Annotated[float, Meta(gt=0)]
    | Annotated[str, Meta(pattern=_AMOUNT)]
)
"""A quantity of something that there has to be some of."""

PodFields = Annotated[dict[str, Any], Meta(extra_json_schema={"type": "object"})]
"""A part of the pod specification, which the API server checks."""


class LogLevel(StrEnum):
    """Log from this level upwards."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Image(Values, frozen=True):
    """Where the image is. All roles, and the containers added to pods, run the same one."""

    repository: Annotated[
        str,
        described(
            "Repository of the image, with its registry. There is no default: build the image"
            " (`make image`) and push it where your cluster pulls from."
        ),
    ] = ""
    tag: Annotated[str, described("Tag; empty for the version of the chart.")] = ""
    digest: Annotated[
        str,
        described(
            "Digest, which wins over the tag. Needed for policies that verify bytes before start:"
            " the containers that do so are added by digest only.",
            pattern=r"^(sha256:[0-9a-f]{64})?$",
        ),
    ] = ""
    pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"], described("When the image is pulled.")
    ] = "IfNotPresent"


class NamedObject(Values, frozen=True):
    """The name of an object in the namespace of the release."""

    name: Annotated[Name, described("Its name.")]


class Toleration(Values, frozen=True):
    """A taint that is tolerated (core/v1 Toleration)."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None


class Amounts(Values, frozen=True):
    """Amounts of what a container uses."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    ephemeral_storage: Quantity | None = field(default=None, name="ephemeral-storage")


class Resources(Values, frozen=True):
    """What a container asks for, and what it is held to."""

    requests: Annotated[Amounts, described("What the scheduler sets aside.")] = Amounts()
    limits: Annotated[Amounts, described("What the container is held to.")] = Amounts()


class Verifier(Values, frozen=True):
    """The containers that verify weights in pods before their servers start."""

    cpu: Annotated[
        Amount,
        described("CPU of each, request and limit. Hashing uses all of it, so more is sooner."),
    ] = _WEBHOOK.installation.verifier_cpu
    memory: Annotated[
        Amount,
        described("Memory of each, request and limit; the same for weights of any size."),
    ] = _WEBHOOK.installation.verifier_memory


class ExtraAuthorities(Values, frozen=True):
    """Certificates to trust besides the system's, for hubs, registries and the proxy."""

    config_map: Annotated[Name, described("ConfigMap that holds them; empty for none.")] = ""
    key: Annotated[str, described("Its entry, PEM.", min_length=1)] = "ca.crt"


class Staging(Values, frozen=True):
    """The containers that download models in pods before their servers start.

    They reach the hub as the controller does (`controller.gathering`, `proxy`, `extraCAs`), but for
    what is said here.
    """

    cpu: Annotated[Amount, described("CPU of each, request and limit.")] = (
        _WEBHOOK.installation.staging_cpu
    )
    memory: Annotated[
        Amount,
        described("Memory of each, request and limit; the same for models of any size."),
    ] = _WEBHOOK.installation.staging_memory
    endpoint: Annotated[
        HttpUrl,
        described("The mirror of Hugging Face for pods; empty for the one of the controller."),
    ] = ""
    proxy: Annotated[
        HttpUrl, described("URL of the proxy for pods; empty for the one of the controller.")
    ] = ""
    no_proxy: Annotated[
        list[Host],
        described("Public hosts that pods reach without it. Internal ones never need it."),
    ] = field(default_factory=list)
    extra_authorities: Annotated[
        ExtraAuthorities,
        described(
            "Certificates for pods, at most 32 KiB; a configMap that is empty is for those of the"
            " controller."
        ),
    ] = field(default=ExtraAuthorities(), name="extraCAs")


class DisruptionBudget(Values, frozen=True):
    """A PodDisruptionBudget: drained nodes wait for a replacement."""

    enabled: Annotated[bool, described("Whether there is one.")] = True
    min_available: Annotated[
        int | Annotated[str, Meta(pattern=r"^[0-9]{1,3}%$")],
        described("Replicas that must stay, a number or a percentage."),
    ] = 1


class ServiceAccount(Values, frozen=True):
    """The service account of a role."""

    create: Annotated[bool, described("Whether the chart makes it.")] = True
    name: Annotated[Name, described("Its name; empty for the name of the Deployment.")] = ""
    annotations: Annotated[Labels, described("Annotations, such as a cloud identity.")] = field(
        default_factory=dict
    )


class Workload(Values, frozen=True):
    """What both Deployments have."""

    replicas: Annotated[int, described("Number of replicas.", ge=1, le=50)] = 2
    log_level: Annotated[LogLevel, described("Log from this level upwards.")] = LogLevel.INFO
    resources: Annotated[Resources, described("Resources of the container.")] = Resources()
    priority_class_name: Annotated[
        Name,
        described(
            "Priority class. Without these pods others cannot start, so they must not be evicted"
            " for them."
        ),
    ] = "system-cluster-critical"
    node_selector: Annotated[Labels, described("Labels of the nodes to run on.")] = field(
        default_factory=lambda: {"kubernetes.io/os": "linux"}
    )
    tolerations: Annotated[list[Toleration], described("Taints that are tolerated.")] = field(
        default_factory=list
    )
    affinity: Annotated[PodFields, described("Affinity (core/v1 Affinity).")] = field(
        default_factory=dict
    )
    topology_spread_constraints: Annotated[
        list[PodFields],
        described(
            "How replicas are spread; empty for over nodes and zones, where there are several."
        ),
    ] = field(default_factory=list)
    pod_labels: Annotated[Labels, described("More labels of the pods.")] = field(
        default_factory=dict
    )
    pod_annotations: Annotated[Labels, described("More annotations of the pods.")] = field(
        default_factory=dict
    )
    service_account: Annotated[ServiceAccount, described("The service account.")] = ServiceAccount()
    disruption_budget: Annotated[
        DisruptionBudget, described("The PodDisruptionBudget; not with a single replica.")
    ] = DisruptionBudget()
    health_port: Annotated[Port, described("Port for probes and metrics, plain HTTP.")] = (
        _WEBHOOK.health_port
    )


class Webhook(Workload, frozen=True):
    """The Deployment that answers the API server."""

    resources: Annotated[
        Resources, described("Resources of the container. A CPU limit would slow admission.")
    ] = Resources(requests=Amounts(cpu="100m", memory="192Mi"), limits=Amounts(memory="512Mi"))
    port: Annotated[Port, described("Port that the API server is answered on.")] = _WEBHOOK.port
    host_network: Annotated[
        bool,
        described(
            "Run in the network of the node, where the API server cannot reach pods (some managed"
            " clusters with a network plugin of one's own)."
        ),
    ] = False
    max_staleness_seconds: Annotated[
        int,
        described(
            "Seconds without word from the API server after which requests are refused.",
            ge=90,
            le=int(MAX_STALENESS),
        ),
    ] = int(_WEBHOOK.max_staleness)
    evidence_wait_seconds: Annotated[
        float,
        described(
            "Seconds to wait for evidence that is being gathered. At least 2 less than"
            " admission.timeoutSeconds.",
            ge=0,
            le=LONGEST_WAIT,
        ),
    ] = _WEBHOOK.evidence_wait
    shutdown_delay_seconds: Annotated[
        int,
        described(
            "Seconds to go on serving when told to stop, until no API server sends requests any"
            " more.",
            ge=0,
            le=int(LONGEST_DELAY),
        ),
    ] = 10
