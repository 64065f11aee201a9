"""The gate: requests are judged one after another, and none queues longer than does it good.

Judging is the work of one thread. When more arrives than it can do, a queue that only grows would
answer everybody too late, when whoever asked has long given up. So whoever would have to wait too
long is told so at once, which costs little, and the others are answered in time.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 3.0
"""Seconds that a request may have to wait for its turn."""

OVERTIME = 1.5
"""How many times its patience a request has really waited before it is turned away after all."""

QUIET = 0.001
"""Seconds without a turn after which nobody can be waiting unseen."""

FIRST_GUESS = 0.002
"""Seconds that a turn is thought to take before there has been any."""

WEIGHT = 0.03
"""How much the last turn counts in the average.

Little: when many clients come at once, the handshakes of their connections lie between turns, and a
few turns that seem to take twenty times as long must not have everybody turned away.
"""


class Gate:
    """Gives turns, in order. Use `enter` and, if that is true, `leave`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._pace = FIRST_GUESS
        self._left = float("-inf")
        self._since = 0.0

    @property
    def expected(self) -> float:
        """Seconds that whoever comes now would have to wait."""
        return (self._waiting + self._lock.locked()) * self._pace

    async def enter(self, patience: float | None = PATIENCE) -> bool:
        """Wait for a turn; false when that would take, or has taken, longer than ``patience``.

        None waits for as long as it takes, for what has been let in before.
        """
        if patience is not None and self.expected > patience:
            return False
        arrived = self._clock()
        if not self._waiting and not self._lock.locked() and arrived - self._left > QUIET:
            await self._lock.acquire()
            self._since = arrived
            return True
        self._waiting += 1
        try:
            alone = not self._lock.locked()
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            if alone:  # those that came with this one get to the queue, where they are seen
                await asyncio.sleep(0)
        except BaseException:
            self._lock.release()
            raise
        # What lies between two turns, reading and encrypting for others, is part of the pace.
        self._since = max(self._left, arrived)
        if patience is not None and self._clock() - arrived > OVERTIME * patience:
            self._lock.release()
            return False
        return True

    def leave(self) -> None:
        """The turn is over."""
        self._left = self._clock()
        self._pace += WEIGHT * (self._left - self._since - self._pace)
        self._lock.release()
