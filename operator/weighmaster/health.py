"""Health and metrics over plain HTTP, on a port of their own."""

import os
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from weighmaster.errors import SettingsError
from weighmaster.telemetry import readiness_gauge

Problem = Callable[[], str | None]
"""Says why the process is not ready, or None when it is."""


class HealthServer:
    """Serves ``/livez``, ``/readyz`` and ``/metrics``.

    Alive means that the event loop answers. Ready means that ``not_ready`` gives no reason against.
    """

    def __init__(
        self, registry: CollectorRegistry, not_ready: Problem, host: str, port: int
    ) -> None:
        self._registry = registry
        self._not_ready = not_ready
        readiness_gauge(registry).set_function(lambda: float(not_ready() is None))
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; returns the port, which matters when it was given as 0."""
        application = web.Application()
        application.router.add_get("/livez", self._live)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            message = cannot_listen("health-port", self._host, self._port, error)
            raise SettingsError(message) from None
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        problem = self._not_ready()
        if problem is None:
            return web.Response(text="ok\n")
        return web.Response(status=503, text=f"not ready: {problem}\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def cannot_listen(setting: str, host: str, port: int, error: OSError) -> str:
    """What to tell the person who started a server where none can be."""
    why = os.strerror(error.errno) if error.errno else "the address cannot be used"
    return f"{setting}: cannot listen on {host}:{port}: {why.lower()}"
