"""The pytest plugin that gives tests a real registry.

A `conftest.py` asks for it with::

    def pytest_configure(config: pytest.Config) -> None:
        config.pluginmanager.import_plugin("tests.hub.fixtures")

Where there is none and none can be fetched, tests that need it are skipped, with the reason; under
`CI` they fail.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.registry import Registry, RegistryUnavailableError, running_registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A running registry, shared by the tests of the session: use repositories of your own."""
    yield from _running(tmp_path_factory.mktemp("registry"), locked=False)


@pytest.fixture(scope="session")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One that wants a user and password (``tests.hub.registry``)."""
    yield from _running(tmp_path_factory.mktemp("locked"), locked=True)


def _running(directory: Path, *, locked: bool) -> Iterator[Registry]:
    try:
        with running_registry(directory, locked=locked) as running:
            yield running
    except RegistryUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no registry: {error}")
        pytest.skip(f"NO REAL REGISTRY, so these tests say nothing: {error}")
