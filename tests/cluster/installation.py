"""An installation: CRDs, both roles as processes of their own, and the webhook configurations."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.certificates import write_certificate
from tests.cluster.rights import account, rights
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from weighmaster.admission.registration import configurations
from weighmaster.chart.grants import Role as Account

ROOT = Path(__file__).parents[2]
SYSTEM_NAMESPACE = "weighmaster-system"
EXEMPT_NAMESPACES = ("kube-system", SYSTEM_NAMESPACE)
READY_WITHIN = 30.0
OWN_IMAGE = f"registry.example/weighmaster@sha256:{'f' * 64}"
"""What our own image is said to be; nothing runs it here."""


class Role:
    """One role of Weighmaster as a process."""

    def __init__(self, name: str, arguments: list[str], kubeconfig: Path, log: Path) -> None:
        self.name = name
        self.health_port = free_port()
        self._command = [
            *(sys.executable, "-m", "weighmaster", name, *arguments),
            *("--health-host", "127.0.0.1", "--health-port", str(self.health_port)),
        ]
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start it and, unless told otherwise, wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )
        if wait and not eventually(self.ready, READY_WITHIN):
            raise AssertionError(f"{self.name} is not ready:\n{self.log()[-3000:]}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; returns its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(30)
        self._process = None
        return code

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def ready(self) -> bool:
        """What its readiness endpoint says."""
        return self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a path on its health port; status 0 when nothing answers."""
        try:
            url = f"http://127.0.0.1:{self.health_port}{path}"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def log(self) -> str:
        """Everything it has written."""
        return self._log.read_text()


class Installation:
    """Weighmaster in a control plane.

    ``directory`` is for its certificate and logs, ``controller`` and ``webhook`` for more of their
    arguments. Each role acts as its own service account, with the rights that the chart grants it.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        directory: Path,
        controller: tuple[str, ...] = (),
        webhook: tuple[str, ...] = (),
    ) -> None:
        self.control_plane = control_plane
        self.port = free_port()
        self._certificate = write_certificate(directory)
        self.kubeconfigs = {str(role): directory / f"{role}.kubeconfig" for role in Account}
        serving = [
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--tls-cert", str(directory / "tls.crt"), "--tls-key", str(directory / "tls.key")),
            *("--image", OWN_IMAGE),
            *webhook,
        ]
        self.certificate_file = directory / "tls.crt"
        self.webhook = Role(
            "webhook", serving, self.kubeconfigs["webhook"], directory / "webhook.log"
        )
        self.controller = Role(
            "controller",
            [*controller, "--image", OWN_IMAGE],
            self.kubeconfigs["controller"],
            directory / "controller.log",
        )

    def __enter__(self) -> Self:
        self.control_plane.kubectl("apply", "-f", str(ROOT / "crds"))
        self.control_plane.kubectl(
            *("wait", "--for=condition=Established", "--timeout=20s"), "-f", str(ROOT / "crds")
        )
        self.control_plane.kubectl("create", "namespace", SYSTEM_NAMESPACE)
        for role in Account:
            self.control_plane.apply(*rights(role, SYSTEM_NAMESPACE))
            self.control_plane.log_in(SYSTEM_NAMESPACE, account(role), self.kubeconfigs[role])
        try:
            self.webhook.start()
            self.controller.start()
            self.register()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unregister()
        self._stop()

    def register(self) -> None:
        """Create the webhook configurations and wait until the API server uses them."""
        client = {
            "url": f"https://127.0.0.1:{self.port}",
            "caBundle": base64.b64encode(self._certificate).decode(),
        }
        for configuration in configurations(client, EXEMPT_NAMESPACES):
            self.control_plane.apply(configuration)
        time.sleep(1)  # the API server takes new configurations up within a second

    def unregister(self) -> None:
        """Delete the webhook configurations."""
        for stage in ("mutating", "validating"):
            self.control_plane.kubectl(
                *("delete", f"{stage}webhookconfiguration", "weighmaster", "--ignore-not-found"),
                check=False,
            )

    def _stop(self) -> None:
        self.webhook.stop()
        self.controller.stop()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
