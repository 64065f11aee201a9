"""What every test starts from."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """Logging as if nothing had configured it: commands run in the tests' own process do."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
