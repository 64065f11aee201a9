"""What every test starts from."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How long it takes to think an example up says nothing of the code, on a machine that is busy.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """Logging as if nothing had configured it: commands run in the tests' own process do."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
