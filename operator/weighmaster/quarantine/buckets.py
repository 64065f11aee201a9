"""Buckets: how many evictions each policy may have now.

What was evicted is gone, so a controller that has just taken over cannot count it. It begins with
nothing, and what a policy may have comes in drop by drop.
"""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from weighmaster.core.evaluate.policies import Policy, PolicyKey

PERIOD = 60.0
"""Seconds in which a bucket fills up."""


class _Bucket(Struct):
    level: float
    at: float


class Buckets:
    """One bucket for each policy, as large as what it may have in a minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[PolicyKey, _Bucket] = {}

    def fill(self, policies: Iterable[Policy]) -> Mapping[PolicyKey, int]:
        """What each policy may have now; buckets of others are thrown away."""
        now = self._clock()
        filled = {}
        for policy in policies:
            size = policy.pace.max_per_minute
            bucket = self._buckets.get(policy.key, _Bucket(0.0, now))
            bucket.level = min(bucket.level + (now - bucket.at) * size / PERIOD, size)
            bucket.at = now
            filled[policy.key] = bucket
        self._buckets = filled
        return {key: int(bucket.level) for key, bucket in filled.items()}

    def take(self, key: PolicyKey) -> None:
        """Take one."""
        if key in self._buckets:
            self._buckets[key].level -= 1

    def give_back(self, key: PolicyKey) -> None:
        """Give one back that came to nothing."""
        if key in self._buckets:
            self._buckets[key].level += 1
