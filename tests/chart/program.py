"""Helm: found on the PATH, or built once from its Go module and kept.

``python -m tests.chart.program`` prints where it is.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.errors import ControlPlaneUnavailableError
from tests.controlplane.toolchain import Progress, build_program, exclusively, find_go

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "weighmaster"
_MODULE = Path(__file__).parent / "helm"
_PACKAGE = "helm.sh/helm/v4/cmd/helm"
_USABLE = re.compile(r"v(3\.(1[89]|[2-9]\d)|4)\.")
_TIMEOUT = 120

Json = dict[str, Any]


def find_helm(progress: Progress) -> Path:
    """The program: ``$HELM``, the one on the PATH if it is recent, or one that is built.

    Raises ControlPlaneUnavailableError.
    """
    for named in (os.environ.get("HELM"), shutil.which("helm")):
        if named and _USABLE.match(helm_version(Path(named))):
            return Path(named)
    contents = b"".join((_MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighmaster"
    program = base / f"helm-{hashlib.sha256(contents).hexdigest()[:12]}"
    base.mkdir(parents=True, exist_ok=True)
    with exclusively(base / ".helm-lock", progress):
        if not program.exists():
            go = find_go(base, progress)
            progress(f"building Helm with {go}: about 2 minutes on two cores, once")
            with tempfile.TemporaryDirectory(dir=base) as folder:
                build_program(go, _MODULE, _PACKAGE, Path(folder, "helm"))
                Path(folder, "helm").rename(program)
    return program


def helm_version(program: Path) -> str:
    """Such as ``v4.3.1``; empty when it cannot be run."""
    try:
        ran = subprocess.run(
            [program, "version", "--template", "{{.Version}}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    # Built from the module it has no patch release.
    return f"{ran.stdout.strip()}."


class Helm:
    """Runs Helm, with a home of its own."""

    def __init__(self, program: Path, home: Path, environment: Mapping[str, str] = {}) -> None:
        self.program = program
        self._environment = {
            "HOME": str(home),
            "PATH": os.environ.get("PATH", os.defpath),
            **environment,
        }
        self._rendered: dict[tuple[Path, tuple[str, ...]], str] = {}

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it to its end; with ``check``, raise AssertionError unless it succeeds."""
        completed = subprocess.run(
            [self.program, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if check and completed.returncode != 0:
            said = f"{completed.stdout}{completed.stderr}"
            raise AssertionError(f"helm {' '.join(arguments)} failed:\n{said[-4000:]}")
        return completed

    def render(self, *arguments: str, chart: Path = CHART) -> list[Json]:
        """The objects that the chart makes, in the order in which Helm would make them."""
        namespace = ("--namespace", "weighmaster-system")
        if (chart, arguments) not in self._rendered:
            ran = self("template", "weighmaster", str(chart), *namespace, *arguments)
            # The definitions are long, and PyYAML's own reader takes a second for them.
            documents = yaml.load_all(ran.stdout, Loader=yaml.CSafeLoader)
            self._rendered[chart, arguments] = json.dumps([each for each in documents if each])
        objects: list[Json] = json.loads(self._rendered[chart, arguments])
        return objects

    def refusal(self, *arguments: str) -> str:
        """What it says when it refuses to render the chart; empty when it does not."""
        ran = self("template", "weighmaster", str(CHART), *arguments, check=False)
        return ran.stderr if ran.returncode else ""


def named(objects: list[Json], kind: str, name: str) -> Json:
    """The one object of a kind and name."""
    (found,) = (
        each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found


def strings(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def settings(**values: object) -> tuple[str, ...]:
    """Arguments that set values, by dotted path with ``__`` for the dots."""
    pairs = ((name.replace("__", "."), json.dumps(value)) for name, value in values.items())
    return tuple(part for name, text in pairs for part in ("--set-json", f"{name}={text}"))


IMAGE = settings(image__repository="registry.example/weighmaster")
"""The one value without a default."""


def main() -> int:
    """Print where Helm is."""

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    try:
        program = find_helm(report)
    except ControlPlaneUnavailableError as error:
        report(f"no Helm: {error}")
        return 1
    print(program)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
