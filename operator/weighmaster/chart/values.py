"""The values of the chart, typed: ``values.yaml``, its schema and its table are made from these.

Defaults and limits that the program has too are those of its settings.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from weighmaster.certificates.plan import Timing
from weighmaster.chart.workloads import (
    Amounts,
    Cidr,
    Duration,
    ExtraAuthorities,
    Host,
    HttpUrl,
    Image,
    Labels,
    Name,
    NamedObject,
    PodFields,
    Port,
    Resources,
    Staging,
    Values,
    Verifier,
    Webhook,
    Workload,
    described,
)
from weighmaster.gather.settings import DEFAULT_ENDPOINTS
from weighmaster.handlers.settings import MAX_CREDENTIALS_SECRETS

_TIMING = Timing()


class MatchCondition(Values, frozen=True):
    """A condition of a webhook (admissionregistration.k8s.io/v1 MatchCondition)."""

    name: Annotated[str, described("Its name.", min_length=1, max_length=63)]
    expression: Annotated[str, described("CEL; true for what is to be checked.", min_length=1)]


class FailurePolicy(StrEnum):
    """What happens to a request that no webhook answers."""

    FAIL = "Fail"
    IGNORE = "Ignore"


class Admission(Values, frozen=True):
    """What the API server sends, and what it does when nobody answers."""

    register: Annotated[
        bool,
        described(
            "Whether the webhook configurations are installed. Without them nothing is checked;"
            " turn it on in a second step to have everything running before it counts."
        ),
    ] = True
    failure_policy: Annotated[
        FailurePolicy,
        described(
            "What happens to a request that no webhook answers. With Ignore, models run unchecked"
            " while Weighmaster is down."
        ),
    ] = FailurePolicy.FAIL
    timeout_seconds: Annotated[
        int, described("Seconds that the API server waits for an answer.", ge=3, le=30)
    ] = 10
    exempt_namespaces: Annotated[
        list[Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]],
        described(
            "Namespaces that are not checked, by name, besides the release's own. Whoever may"
            " create pods in one of them can run any model."
        ),
    ] = field(default_factory=lambda: ["kube-system"])
    match_conditions: Annotated[
        list[MatchCondition],
        described("More conditions (CEL) for a request to be checked. Each one is a way round."),
    ] = field(default_factory=list)
    annotations: Annotated[Labels, described("Annotations of the webhook configurations.")] = field(
        default_factory=dict
    )


class Gathering(Values, frozen=True):
    """Where evidence about models is gathered from."""

    endpoints: Annotated[
        dict[str, HttpUrl],
        described(
            f"Mirrors in place of hubs, by scheme ({', '.join(DEFAULT_ENDPOINTS)}), such as"
            " `hf: https://hub.example`.",
            extra_json_schema={"propertyNames": {"enum": list(DEFAULT_ENDPOINTS)}},
        ),
    ] = field(default_factory=dict)
    internal_hosts: Annotated[
        list[Host], described("Hosts that may have private addresses, HOST or HOST:PORT.")
    ] = field(default_factory=list)
    plain_http_hosts: Annotated[
        list[Host], described("Hosts to speak to without TLS, HOST or HOST:PORT.")
    ] = field(default_factory=list)
    credentials_secrets: Annotated[
        list[Name],
        described(
            "Secrets in the namespace of the release with credentials for records that name none.",
            max_length=MAX_CREDENTIALS_SECRETS,
        ),
    ] = field(default_factory=list)


class Controller(Workload, frozen=True):
    """The Deployment that gathers evidence and keeps resources; one replica acts at a time."""

    resources: Annotated[Resources, described("Resources of the container.")] = Resources(
        requests=Amounts(cpu="100m", memory="256Mi"), limits=Amounts(memory="1Gi")
    )
    gathering: Annotated[Gathering, described("Where evidence is gathered from.")] = Gathering()


class Proxy(Values, frozen=True):
    """The proxy for hubs and registries."""

    url: Annotated[
        HttpUrl,
        described("URL of the proxy for everything but internal hosts; empty for none."),
    ] = ""


class CertificateSource(StrEnum):
    """Who issues the serving certificate of the webhook."""

    BUILTIN = "builtin"
    CERT_MANAGER = "cert-manager"
    SECRET = "secret"  # noqa: S105 - a kind of source


class IssuerRef(Values, frozen=True):
    """An issuer of cert-manager."""

    name: Annotated[
        Name, described("Its name; empty for a CA that the chart makes in this namespace.")
    ] = ""
    kind: Annotated[Literal["Issuer", "ClusterIssuer"], described("Its kind.")] = "Issuer"
    group: Annotated[str, described("Its API group.")] = "cert-manager.io"


class CertManager(Values, frozen=True):
    """With `source: cert-manager`."""

    issuer_ref: Annotated[IssuerRef, described("Who issues.")] = IssuerRef()
    duration: Annotated[Duration, described("Lifetime of the certificate.")] = "2160h"
    renew_before: Annotated[Duration, described("How long before its end it is renewed.")] = "720h"


class SuppliedCertificate(Values, frozen=True):
    """With `source: secret`."""

    name: Annotated[Name, described("Secret with `tls.crt` and `tls.key`.")] = ""
    ca_bundle: Annotated[
        str,
        described(
            "The CAs that the API server is to trust, PEM. Empty for those in the Secret's"
            " `ca.crt`, which the controller then keeps in the webhook configurations.",
            pattern=r"^(-----BEGIN CERTIFICATE-----[\s\S]*)?$",
        ),
    ] = ""


class Certificates(Values, frozen=True):
    """The serving certificate of the webhook."""

    source: Annotated[
        CertificateSource,
        described(
            "Who issues it: builtin (the controller, which also rotates it), cert-manager, or"
            " secret (somebody else, who also rotates it)."
        ),
    ] = CertificateSource.BUILTIN
    lifetime_days: Annotated[
        int,
        described(
            "Days for which the controller issues it; renewed after two thirds.", ge=2, le=825
        ),
    ] = _TIMING.lifetime.days
    settle_seconds: Annotated[
        int,
        described(
            "Seconds for which API servers trust a new CA before a certificate of it is served.",
            ge=0,
            le=3600,
        ),
    ] = int(_TIMING.settle.total_seconds())
    extra_names: Annotated[
        list[Host], described("More DNS names and addresses that the webhook is called by.")
    ] = field(default_factory=list)
    cert_manager: Annotated[CertManager, described("With source cert-manager.")] = CertManager()
    secret: Annotated[SuppliedCertificate, described("With source secret.")] = SuppliedCertificate()


class Rights(Values, frozen=True):
    """Roles and bindings."""

    create: Annotated[bool, described("Whether the chart makes those of both roles.")] = True
    aggregate: Annotated[
        bool,
        described(
            "Whether the default roles view, edit and admin get rights about our resources"
            " (docs/rbac.md)."
        ),
    ] = True


class NetworkPolicies(Values, frozen=True):
    """NetworkPolicies for Weighmaster itself."""

    enabled: Annotated[bool, described("Whether there are any.")] = True
    api_server_ports: Annotated[
        list[Port], described("Ports on which pods reach the API server.")
    ] = field(default_factory=lambda: [443, 6443])
    api_server_cidrs: Annotated[
        list[Cidr],
        described("Addresses of the API server (CIDR); empty for any, since few know them."),
    ] = field(default_factory=list)
    metrics_from: Annotated[
        list[PodFields],
        described("Who may fetch metrics (NetworkPolicyPeer); empty for everybody."),
    ] = field(default_factory=list)


class ServiceMonitor(Values, frozen=True):
    """A ServiceMonitor for each role (Prometheus Operator)."""

    enabled: Annotated[bool, described("Whether there is one for each role.")] = False
    labels: Annotated[Labels, described("Labels by which your Prometheus finds it.")] = field(
        default_factory=dict
    )
    interval: Annotated[Duration, described("How often metrics are fetched.")] = "30s"


class PrometheusRule(Values, frozen=True):
    """A PrometheusRule with the alerts of docs/runbooks."""

    enabled: Annotated[bool, described("Whether there is one.")] = False
    labels: Annotated[Labels, described("Labels by which your Prometheus finds it.")] = field(
        default_factory=dict
    )
    runbook_url: Annotated[
        HttpUrl, described("Where the pages of docs/runbooks are; an alert links to URL/NAME.md.")
    ] = ""


class Dashboard(Values, frozen=True):
    """A ConfigMap with a Grafana dashboard."""

    enabled: Annotated[bool, described("Whether there is one.")] = False
    labels: Annotated[Labels, described("Labels by which your Grafana finds it.")] = field(
        default_factory=lambda: {"grafana_dashboard": "1"}
    )


class Monitoring(Values, frozen=True):
    """Metrics, alerts and a dashboard."""

    service_monitor: Annotated[ServiceMonitor, described("ServiceMonitors.")] = ServiceMonitor()
    prometheus_rule: Annotated[PrometheusRule, described("Alerts.")] = PrometheusRule()
    dashboard: Annotated[Dashboard, described("Grafana dashboard.")] = Dashboard()


class Definitions(Values, frozen=True):
    """The CustomResourceDefinitions."""

    enabled: Annotated[bool, described("Whether the chart installs and upgrades them.")] = True
    keep: Annotated[
        bool,
        described(
            "Whether they stay when the chart is uninstalled. With them go all policies, records"
            " and exceptions."
        ),
    ] = True


class Test(Values, frozen=True):
    """What `helm test` does."""

    namespace: Annotated[
        Name,
        described("A namespace that is checked, in which a pod is asked for (and never made)."),
    ] = "default"


class ChartValues(Values, frozen=True):
    """Values of the chart."""

    global_: Annotated[
        dict[str, Any],
        described("What a parent chart shares with its dependencies; nothing of it is used."),
    ] = field(default_factory=dict, name="global")
    name_override: Annotated[Name, described("In place of the chart's name.")] = ""
    fullname_override: Annotated[
        Name,
        described(
            "Prefix of all names, in place of one made of the release's and the chart's name."
        ),
    ] = ""
    image: Annotated[Image, described("The image.")] = Image()
    image_pull_secrets: Annotated[
        list[NamedObject], described("Secrets to pull the image with.")
    ] = field(default_factory=list)
    common_labels: Annotated[Labels, described("More labels of everything.")] = field(
        default_factory=dict
    )
    webhook: Annotated[Webhook, described("The Deployment that answers the API server.")] = (
        Webhook()
    )
    admission: Annotated[Admission, described("What the API server sends.")] = Admission()
    controller: Annotated[
        Controller, described("The Deployment that gathers evidence and keeps resources.")
    ] = Controller()
    verifier: Annotated[
        Verifier, described("The containers that verify weights before servers start.")
    ] = Verifier()
    staging: Annotated[
        Staging, described("The containers that download models before servers start.")
    ] = Staging()
    proxy: Annotated[Proxy, described("The proxy for hubs and registries.")] = Proxy()
    extra_authorities: Annotated[
        ExtraAuthorities, described("Certificates to trust besides the system's.")
    ] = field(default=ExtraAuthorities(), name="extraCAs")
    certificates: Annotated[Certificates, described("The serving certificate.")] = Certificates()
    rbac: Annotated[Rights, described("Roles and bindings.")] = Rights()
    network_policy: Annotated[
        NetworkPolicies, described("NetworkPolicies for Weighmaster itself.")
    ] = NetworkPolicies()
    monitoring: Annotated[Monitoring, described("Metrics, alerts, dashboard.")] = Monitoring()
    crds: Annotated[Definitions, described("The CustomResourceDefinitions.")] = Definitions()
    test: Annotated[Test, described("What `helm test` does.")] = Test()
