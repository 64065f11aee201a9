"""Helm and promtool for the tests; without them these are skipped, but not in CI."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chart.program import Helm, find_helm
from tests.controlplane.errors import ControlPlaneUnavailableError
from tests.debian import PackageUnavailableError, find_program


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.controlplane.fixtures")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build it before the first test: that takes longer than a test may."""
    if session.config.option.collectonly:
        return
    if any("helm_program" in getattr(item, "fixturenames", ()) for item in session.items):
        with suppress(ControlPlaneUnavailableError):
            find_helm(_say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """The program."""
    try:
        return find_helm(_say)
    except ControlPlaneUnavailableError as error:
        if os.environ.get("CI", "").lower() in {"", "0", "false"}:
            pytest.skip(f"NO HELM, SO NOT TESTED: {error}".splitlines()[0])
        pytest.fail(f"CI needs Helm: {error}", pytrace=False)


@pytest.fixture(scope="session")
def helm(helm_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster."""
    return Helm(helm_program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own judge of rules and metrics."""
    try:
        return find_program("prometheus", "promtool")
    except PackageUnavailableError as error:
        if os.environ.get("CI", "").lower() in {"", "0", "false"}:
            pytest.skip(f"NO PROMTOOL, SO NOT TESTED: {error}")
        pytest.fail(f"CI needs promtool: {error}", pytrace=False)
