"""How the components are set up: pure functions from a layout to command lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.binaries import Binaries
from tests.controlplane.pki import SERVICE_IP_RANGE, Pki

HOST = "127.0.0.1"

Command = Sequence[str | Path]

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    # Metadata includes the annotations that admission webhooks add.
    "rules": [{"level": "Metadata"}],
}

_UNUSED_CONTROLLERS = (
    # They serve nodes and their volumes, of which there are none. Fewer controllers start sooner.
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "node-route-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "taint-eviction-controller",
)


@dataclass(frozen=True)
class Layout:
    """The files and ports of one control plane."""

    directory: Path
    pki: Pki
    etcd_port: int
    apiserver_port: int

    @property
    def server(self) -> str:
        return f"https://{HOST}:{self.apiserver_port}"

    @property
    def etcd_url(self) -> str:
        return f"http://{HOST}:{self.etcd_port}"

    @property
    def etcd_data(self) -> Path:
        return self.directory / "etcd"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def controller_manager_kubeconfig(self) -> Path:
        return self.directory / "kube-controller-manager.kubeconfig"

    @property
    def audit_policy(self) -> Path:
        return self.directory / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        return self.directory / "audit.log"


def etcd_command(binaries: Binaries, layout: Layout) -> Command:
    return (
        binaries.etcd,
        f"--data-dir={layout.etcd_data}",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        # A single member has no peers; port 0 is any free one.
        f"--listen-peer-urls=http://{HOST}:0",
        # The data does not outlive the test run.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def apiserver_command(binaries: Binaries, layout: Layout) -> Command:
    pki = layout.pki
    return (
        binaries.kube_apiserver,
        f"--etcd-servers={layout.etcd_url}",
        f"--bind-address={HOST}",
        f"--secure-port={layout.apiserver_port}",
        # Endpoints may not be loopback addresses, so the `kubernetes` Service has none.
        f"--advertise-address={HOST}",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={pki.serving.certificate}",
        f"--tls-private-key-file={pki.serving.key}",
        f"--client-ca-file={pki.authority.certificate}",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICE_IP_RANGE}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki.service_account_key}",
        f"--service-account-signing-key-file={pki.service_account_key}",
        "--allow-privileged=true",
        # Without kube-proxy, webhooks behind a Service are reached at its endpoints.
        "--enable-aggregator-routing=true",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-mode=blocking",
        "--profiling=false",
        # Open watches would otherwise hold up its end until it is killed.
        "--shutdown-watch-termination-grace-period=1s",
    )


def controller_manager_command(binaries: Binaries, layout: Layout) -> Command:
    controllers = ",".join(["*", *(f"-{name}" for name in _UNUSED_CONTROLLERS)])
    return (
        binaries.kube_controller_manager,
        f"--kubeconfig={layout.controller_manager_kubeconfig}",
        f"--controllers={controllers}",
        "--leader-elect=false",
        # Each controller acts under its own name, which admission policies can tell apart.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={layout.pki.service_account_key}",
        f"--root-ca-file={layout.pki.authority.certificate}",
        # One token for each controller at the start: the default of 20 requests a second is felt.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        # No health endpoint: the service account that it makes shows that it works.
        "--secure-port=0",
    )
