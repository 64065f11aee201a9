"""A replica of the webhook stays small in a large cluster (DESIGN section 10)."""

import sys

import pytest

from tests.bench.startup import start_webhook


@pytest.mark.network
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.timeout(120)
def test_replica_with_10000_records_and_200_policies_stays_under_150_mb() -> None:
    started = start_webhook(10_000, 200)
    assert started.peak < 150
