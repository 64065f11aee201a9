"""kubectl, as the administrator of a control plane."""

import base64
import json
import os
import subprocess
from pathlib import Path

from tests.controlplane.errors import KubectlError
from tests.controlplane.pki import KeyPair

_TIMEOUT = 60


class Kubectl:
    """Runs kubectl with a kubeconfig and caches of its own."""

    def __init__(self, program: Path, kubeconfig: Path, directory: Path) -> None:
        self._program = program
        self._environment = {
            "KUBECONFIG": str(kubeconfig),
            # Discovery is cached by address and port, which another control plane may have had.
            "KUBECACHEDIR": str(directory / "kubectl-cache"),
            "HOME": str(directory),
            "PATH": os.environ.get("PATH", os.defpath),
        }

    def __call__(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; with `check`, raise KubectlError unless it succeeds."""
        completed = subprocess.run(
            [str(self._program), *arguments],
            env=self._environment,
            # Never the caller's: a kubectl that waits for input would wait for the terminal.
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if check and completed.returncode != 0:
            raise KubectlError(completed)
        return completed


def write_kubeconfig(path: Path, server: str, authority: Path, client: KeyPair | str) -> None:
    """Write a kubeconfig that carries its certificates, so that it can be copied elsewhere.

    ``client`` is a certificate or a bearer token.
    """
    name = "weighmaster-tests"
    if isinstance(client, str):
        user = {"token": client}
    else:
        user = {
            "client-certificate-data": _encoded(client.certificate),
            "client-key-data": _encoded(client.key),
        }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": _encoded(authority)},
            }
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}
        ],
        "current-context": name,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2))  # JSON is YAML


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
