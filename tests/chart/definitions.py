"""The definitions of others whose resources the chart has: fetched as Go modules, by their sums."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.errors import ControlPlaneUnavailableError
from tests.controlplane.toolchain import exclusively, find_go, go_environment


@dataclass(frozen=True)
class Module:
    """A release of a Go module: its sum (as in a go.sum), and where its definitions are."""

    path: str
    version: str
    sum: str
    folder: str
    files: tuple[str, ...]


CERT_MANAGER = Module(
    "github.com/cert-manager/cert-manager",
    "v1.21.2",
    "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
    "deploy/crds",
    ("cert-manager.io_certificates.yaml", "cert-manager.io_issuers.yaml"),
)
PROMETHEUS_OPERATOR = Module(
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
    "example/prometheus-operator-crd",
    ("monitoring.coreos.com_prometheusrules.yaml", "monitoring.coreos.com_servicemonitors.yaml"),
)


def definitions(module: Module, scratch: Path) -> list[Path]:
    """Files with CustomResourceDefinitions, in Go's cache.

    Raises ControlPlaneUnavailableError when the module cannot be had or is another than it was.
    """
    name = f"{module.path}@{module.version}"
    # The sum is compared here, so that no other server has to be asked for it.
    environment = {**go_environment(), "GONOSUMDB": module.path}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighmaster"
    cache.mkdir(parents=True, exist_ok=True)
    with exclusively(cache / ".helm-lock", print):
        go = find_go(cache, print)
    try:
        ran = subprocess.run(
            [go, "mod", "download", "-json", name],
            cwd=scratch,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ControlPlaneUnavailableError(f"{name} cannot be fetched") from error
    found = json.loads(ran.stdout)
    if found["Sum"] != module.sum:
        raise ControlPlaneUnavailableError(f"{name} has the sum {found['Sum']}")
    return [Path(found["Dir"]) / module.folder / file for file in module.files]
