"""The HTTPS server of the webhook."""

import asyncio
import logging
import ssl
from contextlib import suppress

import structlog
from aiohttp import web

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

LINGERING_TIME = 1.0
"""Seconds for which the rest of a refused body is read, so that its sender gets to the answer."""

_DISCARD_LIMIT = 4 * MAX_BODY

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
        self._runner: web.ServerRunner | None = None
        self._in_flight = 0
        self._dismissing = False
        self._stopping = False
        self._drained = asyncio.Event()

    async def start(self) -> int:
        """Listen; returns the port, which matters when it was given as 0."""
        # A compressed body stays as it is and is refused: what it would grow to has no bound.
        server = web.Server(
            self._respond,
            access_log=None,
            auto_decompress=False,
            debug=False,
            lingering_time=LINGERING_TIME,
            logger=_http_log,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
        )
        self._runner = web.ServerRunner(
            server, handle_signals=False, shutdown_timeout=DRAIN_TIMEOUT
        )
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, self._host, self._port, ssl_context=self._context, backlog=1024
        )
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise SettingsError(cannot_listen("port", self._host, self._port, error)) from None
        self._port = self._runner.addresses[0][1]
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
        if self._runner is None:
            return
        self._stopping = self._dismissing = True
        for site in list(self._runner.sites):
            await site.stop()
        if self._in_flight:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await self._drained.wait()
        await self._runner.cleanup()
        self._runner = None

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response(status=405, text="POST an AdmissionReview\n")
        self._in_flight += 1
        try:
            body = await _read(request)
            if body is None:
                answer = Answer(408, b"")
            else:
                answer = await self._handler.answer(request.path, body)
        finally:
            self._in_flight -= 1
            if self._stopping and not self._in_flight:
                self._drained.set()
        response = web.Response(
            status=answer.status, body=answer.body, content_type="application/json"
        )
        if self._dismissing:
            response.force_close()
        return response


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
