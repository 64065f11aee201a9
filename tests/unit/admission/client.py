"""An HTTP client that can misbehave: it writes bytes and reads what comes back."""

import asyncio
import ssl
from types import TracebackType
from typing import Self


class Connection:
    """One TLS connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()
        await asyncio.sleep(0)

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()

    async def response(self, within: float = 10) -> tuple[int, bytes]:
        """Status and body of the next answer; status 0 when the connection ends without one."""
        try:
            async with asyncio.timeout(within):
                head = await self._reader.readuntil(b"\r\n\r\n")
                status = int(head.split(b" ", 2)[1])
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                return status, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""

    async def closed(self, within: float = 10) -> bool:
        """Whether the server hangs up within a time."""
        try:
            async with asyncio.timeout(within):
                while await self._reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


def head(path: str = "/validate", method: str = "POST", **headers: str | int) -> bytes:
    """The head of a request; underscores in the names of headers are hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


class Client:
    """Makes connections to one server."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port = port
        self._context = context

    async def connect(self) -> Connection:
        """A new connection."""
        return Connection(
            *await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self._context, server_hostname="localhost"
            )
        )

    async def post(self, body: bytes, path: str = "/validate", **headers: str) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        async with await self.connect() as connection:
            await connection.send(head(path, Content_Length=len(body), **headers), body)
            return await connection.response()
