"""The pytest plugin that gives tests a control plane.

A `conftest.py` asks for it with::

    def pytest_configure(config: pytest.Config) -> None:
        config.pluginmanager.import_plugin("tests.controlplane.fixtures")

However many do, it is registered once, and one control plane serves the session. Where there is
none and none can be built, tests that need it are skipped, with the reason on one line; under
`CI` they fail.
"""

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.controlplane.binaries import Binaries, ensure_binaries
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import ControlPlaneUnavailableError
from tests.controlplane.toolchain import Progress

_BINARIES = pytest.StashKey[Binaries | ControlPlaneUnavailableError]()


@pytest.fixture(scope="session")
def control_plane_binaries(request: pytest.FixtureRequest) -> Binaries:
    """The programs, for tests that need a control plane of their own."""
    binaries = _binaries(request.config)
    if isinstance(binaries, ControlPlaneUnavailableError):
        _give_up(binaries)
    return binaries


@pytest.fixture(scope="session")
def audit_logs() -> list[Path]:
    """The audit logs of all control planes of the session, those that are gone among them."""
    return []


@pytest.fixture(scope="session")
def control_plane(
    control_plane_binaries: Binaries,
    tmp_path_factory: pytest.TempPathFactory,
    audit_logs: list[Path],
) -> Iterator[ControlPlane]:
    """A running control plane, shared by the tests of the session: use namespaces of your own.

    Its logs stay in pytest's temporary directory. Each worker of pytest-xdist has its own.
    """
    with ControlPlane(control_plane_binaries, tmp_path_factory.mktemp("controlplane")) as running:
        audit_logs.append(running.audit_log)
        yield running


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace for one test; nobody waits for the end of what is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build missing binaries before the first test: they take longer than a test may."""
    if not session.config.option.collectonly and any(map(_needs_control_plane, session.items)):
        _binaries(session.config)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give up here already: what a fixture skips is listed test by test, this on one line."""
    if _needs_control_plane(item):
        binaries = _binaries(item.config)
        if isinstance(binaries, ControlPlaneUnavailableError):
            _give_up(binaries)


def _needs_control_plane(item: pytest.Item) -> bool:
    return "control_plane_binaries" in getattr(item, "fixturenames", ())


def _binaries(config: pytest.Config) -> Binaries | ControlPlaneUnavailableError:
    """The binaries or why there are none, found out once for the session."""
    if _BINARIES not in config.stash:
        progress = _reporter(config)
        try:
            config.stash[_BINARIES] = ensure_binaries(progress)
        except ControlPlaneUnavailableError as error:
            progress(f"no control plane: {error}")
            config.stash[_BINARIES] = error
    return config.stash[_BINARIES]


def _reporter(config: pytest.Config) -> Progress:
    """Prints past pytest's capturing, which would keep quiet about minutes of building."""
    capture = config.pluginmanager.get_plugin("capturemanager")

    def report(line: str) -> None:
        if capture is None:
            print(line, file=sys.stderr, flush=True)  # noqa: T201
            return
        with capture.global_and_fixture_disabled():
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    return report


def _give_up(error: ControlPlaneUnavailableError) -> NoReturn:
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        first_line = str(error).splitlines()[0]
        pytest.skip(f"NO CONTROL PLANE, SO NOT TESTED: {first_line}")
    pytest.fail(f"CI needs a control plane: {error}", pytrace=False)
