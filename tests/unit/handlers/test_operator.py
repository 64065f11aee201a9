"""kopf as it is embedded: it comes and goes with the leadership, and the process stays."""

import asyncio
import signal
from contextlib import suppress
from typing import Any

import kopf

from weighmaster.handlers.operator import new_settings, run_operator


async def test_an_operator_that_has_ended_does_not_end_its_process_later() -> None:
    """It did, 25 seconds after a lease was lost in an outage, while the process led again."""
    loop: Any = asyncio.get_running_loop()
    registry = kopf.OperatorRegistry()

    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server="http://127.0.0.1:9")

    kopf.on.login(registry=registry, id="login")(login)
    operator = asyncio.create_task(run_operator(registry, new_settings()))
    await asyncio.sleep(0.5)
    assert not operator.done()
    operator.cancel()
    with suppress(asyncio.CancelledError):
        await operator
    timers = [timer._callback for timer in loop._scheduled]
    assert signal.pthread_kill not in timers
