"""``make cluster``: a control plane with Weighmaster in it, and a kubeconfig to play with."""

import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from tests.cluster.installation import ROOT, Installation
from tests.controlplane.binaries import ensure_binaries
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import ControlPlaneUnavailableError

NAMESPACES = ("chat", "dev", "lab", "research", "search", "web")
"""Those of the demo's manifests, so that they can be applied here too."""

KUBECONFIG = ROOT / ".cluster" / "kubeconfig"


def main() -> int:
    """Run until interrupted."""
    try:
        binaries = ensure_binaries(_say)
    except ControlPlaneUnavailableError as error:
        _say(f"no control plane: {error}")
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("controlplane", "weighmaster"):
            (folder / part).mkdir()
        _say("starting etcd, kube-apiserver, kube-controller-manager and Weighmaster ...")
        with (
            ControlPlane(binaries, folder / "controlplane") as control_plane,
            Installation(control_plane, folder / "weighmaster"),
        ):
            control_plane.kubectl("apply", "-f", str(ROOT / "policies" / "publishers"))
            for namespace in NAMESPACES:
                control_plane.kubectl("create", "namespace", namespace)
            KUBECONFIG.parent.mkdir(exist_ok=True)
            shutil.copy(control_plane.kubeconfig, KUBECONFIG)
            _say(_GREETING.format(kubectl=binaries.kubectl, kubeconfig=KUBECONFIG, logs=folder))
            stop.wait()
            _say("stopping ...")
        KUBECONFIG.unlink(missing_ok=True)
    return 0


_GREETING = """\
ready. In another terminal:

  export KUBECONFIG={kubeconfig}
  export PATH={kubectl.parent}:$PATH
  kubectl apply -f policies/trusted-publishers/policy.yaml
  kubectl get weighmaster
  kubectl apply -f tests/demo/manifests/compliant.yaml
  kubectl apply -f tests/demo/manifests/refused.yaml

logs are in {logs}; Ctrl-C stops everything.
"""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
