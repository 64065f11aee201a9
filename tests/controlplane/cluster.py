"""A Kubernetes control plane on loopback, with its own data, ports and certificates."""

import http.client
import json
import random
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.controlplane.binaries import Binaries
from tests.controlplane.commands import (
    AUDIT_POLICY,
    HOST,
    Layout,
    apiserver_command,
    controller_manager_command,
    etcd_command,
)
from tests.controlplane.errors import ComponentError, ControlPlaneError
from tests.controlplane.kubectl import Kubectl, write_kubeconfig
from tests.controlplane.pki import make_pki
from tests.controlplane.processes import Component, Guard

ComponentName = Literal["etcd", "kube-apiserver", "kube-controller-manager"]

_PORTS = range(20_000, 30_000)
"""Below those that systems hand out to outgoing connections: a stopped API server finds its port
free when it is started again."""

_READY_TIMEOUT = 45.0
_POLL_INTERVAL = 0.05


class ControlPlane:
    """etcd, kube-apiserver and kube-controller-manager, running while the context is open.

    Everything is written below `directory`, which is made and must be empty. Logs, certificates
    and kubeconfig stay there afterwards, the data does not. Pods stay Pending: there is no node.
    """

    def __init__(self, binaries: Binaries, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        if any(self.directory.iterdir()):
            raise ControlPlaneError(f"{self.directory} is not empty")
        etcd_port, apiserver_port = _free_ports(2)
        self.pki = pki = make_pki(self.directory / "pki")
        self._layout = layout = Layout(self.directory, pki, etcd_port, apiserver_port)

        self.server = layout.server
        self.kubeconfig = layout.kubeconfig
        self.audit_log = layout.audit_log
        self.kubectl = Kubectl(binaries.kubectl, self.kubeconfig, self.directory)
        layout.audit_policy.write_text(json.dumps(AUDIT_POLICY))
        ca_file = pki.authority.certificate
        write_kubeconfig(self.kubeconfig, self.server, ca_file, pki.admin)
        write_kubeconfig(
            layout.controller_manager_kubeconfig, self.server, ca_file, pki.controller_manager
        )
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._tls.load_cert_chain(pki.admin.certificate, pki.admin.key)
        self._guard = guard = Guard()
        self._components: dict[ComponentName, Component] = {
            "etcd": Component(etcd_command(binaries, layout), self.directory, guard),
            "kube-apiserver": Component(apiserver_command(binaries, layout), self.directory, guard),
            "kube-controller-manager": Component(
                controller_manager_command(binaries, layout), self.directory, guard
            ),
        }
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._exit.callback(shutil.rmtree, self._layout.etcd_data, ignore_errors=True)
            self._exit.enter_context(self._guard)
            for name, component in self._components.items():
                self._exit.callback(component.stop)
                component.start()
                if name == "kube-apiserver":
                    # The controller manager gives up when its roles are not there yet.
                    self.wait_ready()
            self._wait_for("the service account default/default", self._has_default_account)
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    def apply(self, *manifests: Mapping[str, Any] | str) -> subprocess.CompletedProcess[str]:
        """`kubectl apply` objects and YAML texts, in order; raises KubectlError on a refusal."""
        # As documents: the items of a List would be validated by kubectl and not by the server.
        documents = (each if isinstance(each, str) else json.dumps(each) for each in manifests)
        return self.kubectl("apply", "--filename", "-", stdin="\n---\n".join(documents))

    def create_token(self, namespace: str, service_account: str) -> str:
        """A bearer token of an existing service account, good for some hours."""
        lifetime = ("--duration", "8h")
        issued = self.kubectl(
            *("create", "token", service_account, "--namespace", namespace), *lifetime
        )
        return issued.stdout.strip()

    def log_in(self, namespace: str, service_account: str, kubeconfig: Path) -> None:
        """Write a kubeconfig of an existing service account."""
        token = self.create_token(namespace, service_account)
        write_kubeconfig(kubeconfig, self.server, self.pki.authority.certificate, token)

    def logs(self, component: ComponentName) -> str:
        """All that a component has printed, over its restarts."""
        return self._components[component].log_text()

    def process_id(self, component: ComponentName) -> int | None:
        """Its process; None while it is stopped."""
        return self._components[component].process_id

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """The audit events written so far. An event may follow its response: poll for it."""
        if not self.audit_log.exists():
            return
        with self.audit_log.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):  # else it is still being written
                    yield json.loads(line)

    def stop_apiserver(self) -> None:
        """Stop the API server and leave it to its clients to notice."""
        self._components["kube-apiserver"].stop()

    def start_apiserver(self) -> None:
        """Start it again, at the same address and with the same data; return when it is ready."""
        self._components["kube-apiserver"].start()
        self.wait_ready()

    def restart_controller_manager(self) -> None:
        """Start it afresh. After outages its informers back off for up to half a minute each."""
        self._components["kube-controller-manager"].stop()
        self._components["kube-controller-manager"].start()

    def wait_ready(self) -> None:
        """Return when the API server says that it is ready, with its bootstrap done."""
        self._wait_for("kube-apiserver", lambda: self._answers("/readyz"))

    def _wait_for(self, subject: str, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT
        while not is_there():
            for component in self._components.values():
                component.check()
            if time.monotonic() > deadline:
                tails = [f"{name}:\n{each.log_tail()}" for name, each in self._components.items()]
                raise ComponentError(
                    f"{subject} was not ready within {_READY_TIMEOUT:.0f} s\n" + "\n".join(tails)
                )
            time.sleep(_POLL_INTERVAL)

    def _has_default_account(self) -> bool:
        return self._answers("/api/v1/namespaces/default/serviceaccounts/default")

    def _answers(self, path: str) -> bool:
        """Whether a GET succeeds."""
        connection = http.client.HTTPSConnection(
            HOST, self._layout.apiserver_port, context=self._tls, timeout=5
        )
        with closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; random, so that parallel runs rarely choose alike."""
    found: list[int] = []
    for port in random.sample(_PORTS, k=len(_PORTS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ControlPlaneError(f"no free port from {_PORTS.start} to {_PORTS.stop - 1}")
