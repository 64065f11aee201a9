"""Attempts: what may be tried now, so that nothing is done twice and no failure makes a storm."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from msgspec import Struct

from weighmaster.errors import ClusterError, LeaseLostError

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
"""Seconds after a failure; each further one doubles the pause."""

LAG = 10.0
"""Seconds after a success for which a watch that has not told of it is believed to be late."""

CONCURRENCY = 8
"""Attempts at one time."""

FORGOTTEN_AFTER = 300.0
"""Seconds after which it does not matter any more how an attempt has ended."""

Act = Callable[[], Coroutine[Any, Any, None]]


class _Ended(Struct, frozen=True):
    """How the last attempt has ended. ``rests`` says that nothing that is seen ends the pause."""

    until: float
    seen: object
    rests: bool
    failures: int = 0
    trouble: str = ""


class Attempts:
    """Tries things by key, each once at a time.

    After a success a key rests until something else is seen of it, or for as long as was asked;
    after a failure it rests longer each time. ``leads`` is asked right before each attempt.
    """

    def __init__(
        self,
        leads: Callable[[], bool],
        on_end: Callable[[], None],
        on_failure: Callable[[Hashable, Exception], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leads = leads
        self._on_end = on_end
        self._on_failure = on_failure
        self._clock = clock
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._working: set[Hashable] = set()
        self._ended: dict[Hashable, _Ended] = {}

    def may(self, key: Hashable, seen: object) -> bool:
        """Whether a key may be tried, given what is seen of it now."""
        if key in self._working:
            return False
        ended = self._ended.get(key)
        if ended is None or self._clock() >= ended.until:
            return True
        return not ended.rests and ended.seen is not seen

    def under_way(self, key: Hashable, seen: object) -> bool:
        """Whether it is being tried, or has been with a success that does not show yet."""
        if key in self._working:
            return True
        ended = self._ended.get(key)
        return ended is not None and not ended.failures and not self.may(key, seen)

    def run(
        self, group: asyncio.TaskGroup, key: Hashable, seen: object, act: Act, *, rest: float = 0
    ) -> None:
        """Try something, and let it rest for some seconds after a success."""
        self._working.add(key)
        group.create_task(self._attempt(key, seen, act, rest), name=f"attempt {key}")

    def tidy(self) -> None:
        """Forget what does not matter any more."""
        old = self._clock() - FORGOTTEN_AFTER
        for key in [key for key, ended in self._ended.items() if ended.until < old]:
            del self._ended[key]

    async def _attempt(self, key: Hashable, seen: object, act: Act, rest: float) -> None:
        try:
            async with self._slots:
                await self._act(act)
        except Exception as error:  # noqa: BLE001 - one that fails must not end the others
            before = self._ended.get(key)
            failures = before.failures + 1 if before else 1
            pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
            trouble = str(error) if isinstance(error, ClusterError) else type(error).__name__
            self._ended[key] = _Ended(self._clock() + pause, seen, True, failures, trouble)
            if before is None or trouble != before.trouble:
                self._on_failure(key, error)
        else:
            self._ended[key] = _Ended(self._clock() + (rest or LAG), seen, rest > 0)
        finally:
            self._working.discard(key)
            self._on_end()

    async def _act(self, act: Act) -> None:
        if not self._leads():
            raise LeaseLostError("another process may lead by now")
        await act()
