"""The HTTPS server of the webhook."""

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import web

from weighmaster.admission.connections import Connections
from weighmaster.admission.gate import PATIENCE
from weighmaster.admission.handler import STAGES, AdmissionHandler, Answer
from weighmaster.admission.wire import MAX_BODY
from weighmaster.errors import SettingsError
from weighmaster.health import cannot_listen

BODY_TIMEOUT = 5.0
"""Seconds in which a request's body must arrive; the API server sends it at once."""

DRAIN_TIMEOUT = 10.0
"""Seconds that requests in flight may take when the server stops."""

KEEPALIVE_TIMEOUT = 120.0
"""Seconds; longer than the API server's own 90, so that it is never the server that hangs up."""

HANDSHAKE_TIMEOUT = 5.0
"""Seconds in which a connection must be encrypted."""

SWEEP_EVERY = 1.0
"""Seconds between looks for connections on which nothing was asked."""

MAX_HELD = 64 * 1024 * 1024
"""Bytes of request bodies that are held at a time; most are some kilobytes."""

SHARE = 0.3
"""Part of the API server's timeout that a request may wait for its turn; it may have to wait for
evidence, too, and others are judged meanwhile."""

LINGERING_TIME = 1.0
"""Seconds for which the rest of a refused body is read, so that its sender gets to the answer."""

_DISCARD_LIMIT = 4 * MAX_BODY
_SECONDS = re.compile(r"(\d{1,4})s")

_log = structlog.get_logger()


def _without_content(record: logging.LogRecord) -> bool:
    """Keep which failure it was and drop its text, which quotes what the client sent."""
    if record.exc_info and record.exc_info[0]:
        record.msg = f"{record.msg} ({record.exc_info[0].__name__})"
        record.exc_info = record.exc_text = None
    return True


_http_log = logging.getLogger("weighmaster.http")
_http_log.addFilter(_without_content)


class AdmissionServer:
    """Serves an AdmissionHandler over HTTPS."""

    def __init__(
        self, handler: AdmissionHandler, context: ssl.SSLContext, host: str, port: int
    ) -> None:
        self._handler = handler
        self._context = context
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._connections = Connections()
        self._in_flight = 0
        self._held = 0
        self._dismissing = False
        self._stopping = False
        self._drained = asyncio.Event()

    async def start(self) -> int:
        """Listen; returns the port, which matters when it was given as 0."""
        # A compressed body stays as it is and is refused: what it would grow to has no bound.
        self._server = _Server(
            self._respond,
            self._connections,
            access_log=None,
            auto_decompress=False,
            debug=False,
            lingering_time=LINGERING_TIME,
            logger=_http_log,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
        )
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._server,
                self._host,
                self._port,
                ssl=self._context,
                backlog=1024,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:
            raise SettingsError(cannot_listen("port", self._host, self._port, error)) from None
        self._sweeper = asyncio.create_task(self._sweep())
        self._port = int(self._listener.sockets[0].getsockname()[1])
        _log.info("serving", host=self._host, port=self._port, paths=list(STAGES))
        return self._port

    def dismiss(self) -> None:
        """From now on end each connection with its next answer, so that clients go elsewhere."""
        self._dismissing = True

    async def stop(self) -> None:
        """Stop listening and let requests in flight finish.

        They are waited for here: once aiohttp shuts down it reads nothing any more, and a request
        of which a part is still on its way would be lost.
        """
        if self._server is None or self._listener is None or self._sweeper is None:
            return
        self._stopping = self._dismissing = True
        self._sweeper.cancel()
        self._listener.close()
        await asyncio.sleep(0)  # so that requests that have arrived are under way
        if self._in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await self._drained.wait()
        self._server.pre_shutdown()
        await self._server.shutdown(DRAIN_TIMEOUT)
        self._server = self._listener = self._sweeper = None

    async def _sweep(self) -> None:
        """Close connections on which nothing has been asked."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            self._connections.close_silent()

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response(status=405, text="POST an AdmissionReview\n")
        size = min(request.content_length or MAX_BODY, MAX_BODY)
        if self._held + size > MAX_HELD:
            response = web.Response(status=429, text="too many bytes of requests are under way\n")
            response.force_close()
            return response
        connection = request.protocol
        self._connections.busy(connection)
        self._in_flight += 1
        self._held += size
        try:
            body = await _read(request)
            if body is None:
                answer = Answer(408, b"")
            else:
                answer = await self._handler.answer(request.path, body, _patience(request))
        finally:
            self._held -= size
            self._in_flight -= 1
            self._connections.idle(connection)
            if self._stopping and not self._in_flight:
                self._drained.set()
        response = web.Response(
            status=answer.status, body=answer.body, content_type="application/json"
        )
        if self._dismissing:
            response.force_close()
        return response


class _Server(web.Server):
    """aiohttp's server, which tells of its connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        connections: Connections,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._told = connections

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection."""
        super().connection_made(handler, transport)
        self._told.opened(handler)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        self._told.closed(handler)
        super().connection_lost(handler, exc)


def _patience(request: web.BaseRequest) -> float:
    """How long a request may wait for its turn: a part of what the API server waits for it.

    The API server says ``?timeout=10s`` (Go's notation); what else stands there is not known.
    """
    found = _SECONDS.fullmatch(request.query.get("timeout", ""))
    return min(PATIENCE, int(found[1]) * SHARE) if found else PATIENCE


async def _read(request: web.BaseRequest) -> bytes | None:
    """The body; cut after the limit, so that what is too large is refused and not waited for."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            length = request.content_length
            if length is not None and length <= MAX_BODY:
                return await request.content.read()
            return await _read_some(request)
    except TimeoutError:
        return None
    except web.RequestPayloadError:  # the chunks are not chunks: nothing of it can be trusted
        return b""


async def _read_some(request: web.BaseRequest) -> bytes:
    """A body of unknown or excessive length: its first part, the rest read and thrown away."""
    body = bytearray()
    total = 0
    async for chunk in request.content.iter_any():
        total += len(chunk)
        if len(body) <= MAX_BODY:
            body += chunk
        if total > _DISCARD_LIMIT:
            break
    return bytes(body)
