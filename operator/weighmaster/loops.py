"""Running loops that never end by themselves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def kept_running(*loops: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run them while the context lasts; should one of them fail, what is inside ends too.

    What fails alone is raised as it is, for whoever has a line to say about it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) == 1:
            raise failed.exceptions[0] from None
        raise
