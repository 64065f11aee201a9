"""Looking: a loop that works out from what there is what has to be done, again and again."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from weighmaster.telemetry import where_failed

FLOCK = 0.05
"""Seconds between looks at least: changes come in flocks."""

SHARE = 3
"""How many times as long as a look has taken the next one waits, which bounds its share of time."""

AFTER_FAILURE = 5.0
"""Seconds until the next look after one that has failed."""

_log = structlog.get_logger()


async def keep_looking(
    name: str, wake: asyncio.Event, look: Callable[[], Awaitable[float]]
) -> NoReturn:
    """Look when woken, and after the seconds that the last look has given."""
    while True:
        wake.clear()
        begun = time.monotonic()
        try:
            patience = await look()
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look may be good
            _log.error("look failed", what=name, **where_failed(error))
            patience = AFTER_FAILURE
        took = time.monotonic() - begun
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await wake.wait()
        await asyncio.sleep(max(FLOCK, SHARE * took))
