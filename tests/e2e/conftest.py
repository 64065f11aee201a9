"""End-to-end tests: a real API server, our processes, real kubectl."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.controlplane.fixtures")
