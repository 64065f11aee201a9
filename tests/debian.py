"""Programs of Debian packages: fetched and unpacked; nothing is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class PackageUnavailableError(Exception):
    """The package cannot be fetched; the message says why."""


def find_program(package: str, name: str) -> Path:
    """The program ``name``: the one on the PATH, else that of the package, kept in the cache.

    Raises PackageUnavailableError.
    """
    if found := shutil.which(name):
        return Path(found)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = base / "weighmaster" / package
    program = directory / "usr" / "bin" / name
    if not program.is_file():
        _fetch(package, directory)
    if not program.is_file():
        raise PackageUnavailableError(f"the package {package} has no {name}")
    return program


def _fetch(package: str, directory: Path) -> None:
    """Fetch and unpack the package; another process may do so at the same time."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise PackageUnavailableError(f"no {package} here, and no apt-get to fetch it with")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            try:
                _run(["apt-get", "download", package], scratch)
            except PackageUnavailableError:
                # A fresh machine has no package lists yet.
                _run(["apt-get", "update"], scratch)
                _run(["apt-get", "download", package], scratch)
            packages = list(Path(scratch).glob("*.deb"))
            if len(packages) != 1:
                raise PackageUnavailableError(f"apt-get download gave no {package}")
            unpacked = Path(scratch) / "unpacked"
            _run(["dpkg", "-x", str(packages[0]), str(unpacked)], scratch)
            if not directory.exists():
                unpacked.rename(directory)
    except OSError as error:
        raise PackageUnavailableError(f"nothing can be kept in {directory}: {error}") from error


def _run(command: list[str], directory: str) -> None:
    try:
        subprocess.run(
            command, cwd=directory, check=True, capture_output=True, text=True, timeout=120
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no output"])[-1]
        raise PackageUnavailableError(f"{' '.join(command)} failed: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise PackageUnavailableError(f"{' '.join(command)} took over 120 s") from error
