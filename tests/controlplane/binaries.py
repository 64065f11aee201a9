"""The programs of a control plane: found, or built once and kept.

They are looked for in `$KUBEBUILDER_ASSETS`, in `/usr/local/kubebuilder/bin` and in the cache, and
are otherwise built from the Go module in `build/`, which takes two cores some minutes, once.
A directory counts when it has all four: an API server and a controller manager of different
releases would be a skew that Kubernetes does not support. (The assets that envtest downloads
lack the controller manager.)

``python -m tests.controlplane.binaries`` reports progress on stderr and prints the directory.
"""

import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.errors import ControlPlaneUnavailableError
from tests.controlplane.toolchain import Progress, build_program, exclusively, find_go

_MODULE = Path(__file__).parent / "build"
_KUBEBUILDER_DIRECTORY = Path("/usr/local/kubebuilder/bin")

_PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}


@dataclass(frozen=True)
class Binaries:
    """A directory with every program of a control plane."""

    directory: Path

    @property
    def etcd(self) -> Path:
        return self.directory / "etcd"

    @property
    def kube_apiserver(self) -> Path:
        return self.directory / "kube-apiserver"

    @property
    def kube_controller_manager(self) -> Path:
        return self.directory / "kube-controller-manager"

    @property
    def kubectl(self) -> Path:
        return self.directory / "kubectl"


def ensure_binaries(progress: Progress) -> Binaries:
    """The binaries, wherever they are; built when they are nowhere yet.

    Raises ControlPlaneUnavailableError when that fails.
    """
    return find_binaries(progress) or _build_once(progress)


def find_binaries(progress: Progress) -> Binaries | None:
    """The binaries, if this machine has them."""
    if (assets := os.environ.get("KUBEBUILDER_ASSETS")) and not _is_complete(Path(assets)):
        missing = ", ".join(name for name in _PACKAGES if not _is_program(Path(assets) / name))
        progress(f"KUBEBUILDER_ASSETS={assets} is not used: it lacks {missing}")
    for directory in (Path(assets) if assets else None, _KUBEBUILDER_DIRECTORY, _built_directory()):
        if directory is not None and _is_complete(directory):
            return Binaries(directory)
    return None


def _is_complete(directory: Path) -> bool:
    return all(_is_program(directory / name) for name in _PACKAGES)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "weighmaster" / "controlplane"


def _built_directory() -> Path:
    """Where the build of the module as it is now goes; another module, another directory."""
    contents = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        contents.update((_MODULE / name).read_bytes())
    contents.update(_linker_flags().encode())
    system = f"{platform.system()}-{platform.machine()}".lower()
    return _cache() / f"{_kubernetes_version()}-{system}-{contents.hexdigest()[:12]}"


def _kubernetes_version() -> str:
    required = re.search(r"\bk8s\.io/kubernetes (v\d\S*)", (_MODULE / "go.mod").read_text())
    if required is None:
        raise ControlPlaneUnavailableError(f"{_MODULE}/go.mod does not require k8s.io/kubernetes")
    return required[1]


def _linker_flags() -> str:
    """Stamp the version in: a server that calls itself v0.0.0-master confuses its clients."""
    version = _kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamps = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "archive",
        # Of no release, but a date: clients parse it. Fixed, so that builds are reproducible.
        "buildDate": "2026-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    settings = [f"-X {package}.{key}={stamps[key]}" for package in packages for key in stamps]
    return " ".join(["-s", "-w", *settings])


def _build_once(progress: Progress) -> Binaries:
    cache = _cache()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with exclusively(cache / ".lock", progress):
            destination = _built_directory()
            # Another process may have built them while this one waited.
            if not _is_complete(destination):
                _build(destination, progress)
            return Binaries(destination)
    except OSError as error:
        raise ControlPlaneUnavailableError(f"nothing can be built in {cache}: {error}") from error


def _build(destination: Path, progress: Progress) -> None:
    go = find_go(destination.parent, progress)
    progress(
        f"building Kubernetes {_kubernetes_version()} with {go} for the end-to-end tests: "
        "about 5 minutes on two cores, once"
    )
    # Under the lock nobody else builds, so these are what killed builds have left.
    for stale in destination.parent.glob(".building-*"):
        shutil.rmtree(stale)
    temporary = Path(tempfile.mkdtemp(dir=destination.parent, prefix=".building-"))
    try:
        for count, (name, package) in enumerate(_PACKAGES.items(), start=1):
            started = time.monotonic()
            progress(f"[{count}/{len(_PACKAGES)}] {name}: go build {package}")
            build_program(go, _MODULE, package, temporary / name, _linker_flags())
            progress(f"[{count}/{len(_PACKAGES)}] {name}: {time.monotonic() - started:.0f} s")
        temporary.chmod(0o755)
        if destination.exists():
            shutil.rmtree(destination)
        temporary.rename(destination)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _main() -> int:
    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    try:
        binaries = ensure_binaries(report)
    except ControlPlaneUnavailableError as error:
        report(f"no control plane: {error}")
        return 1
    print(binaries.directory)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(_main())
