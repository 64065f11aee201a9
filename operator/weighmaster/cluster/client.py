"""A thin client of the Kubernetes API: list, watch and patch, on one aiohttp session."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from msgspec import Struct

from weighmaster.cluster.connection import Connection, connect
from weighmaster.errors import ClusterError, ResourceExpiredError

PAGE_SIZE = 500

WATCH_GRACE = 30.0
"""Seconds a watch may last longer than was asked for; one that trickles on for ever is cut."""

TOKEN_LIFETIME = 60.0
"""Seconds after which the token is read again; the kubelet renews it well before it expires."""

MAX_EVENT = 8 * 1024 * 1024
"""Bytes of one watch event."""


def _timeout(total: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, connect=5, sock_connect=5, sock_read=90)


_TIMEOUT = _timeout(None)

Json = dict[str, Any]

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


Keep = Callable[[Json], Any]
"""What to keep of an object. No more than one page of whole objects is held at a time."""


def everything(stored: Json) -> Json:
    """The object as it is."""
    return stored


class Listing(Struct, frozen=True):
    """All objects of a resource at one resource version, or what is kept of them."""

    items: list[Any]
    resource_version: str


class ApiClient:
    """Talks to one API server as one identity. Use it as an asynchronous context manager."""

    def __init__(self, login: Callable[[], Connection] = connect) -> None:
        self._login = login
        self._connection: Connection | None = None
        self._read_at = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, read_bufsize=2**18)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def list(
        self,
        path: str,
        *,
        metadata_only: bool = False,
        keep: Keep = everything,
        selector: str = "",
    ) -> Listing:
        """Every object of a resource, page by page, or what ``keep`` makes of each.

        ``selector`` selects by labels. Raises ResourceExpiredError when the listing took longer
        than its version is kept.
        """
        items: list[Any] = []
        parameters = {"limit": str(PAGE_SIZE)}
        if selector:
            parameters["labelSelector"] = selector
        while True:
            page = await self._json(
                "GET", path, parameters, METADATA_LIST if metadata_only else "application/json"
            )
            items += map(keep, page.get("items") or ())
            metadata = page.get("metadata") or {}
            token = metadata.get("continue")
            if not token:
                return Listing(items, str(metadata.get("resourceVersion") or ""))
            parameters["continue"] = token

    async def watch(
        self,
        path: str,
        resource_version: str,
        seconds: int,
        *,
        metadata_only: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]:
        """Events from a resource version on, bookmarks included, for at most ``seconds``.

        ``on_open`` is called as soon as the API server has begun to answer. Raises
        ResourceExpiredError when the version is too old.
        """
        parameters = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        accept = METADATA if metadata_only else "application/json"
        limit = _timeout(seconds + WATCH_GRACE)
        async with self._request("GET", path, parameters, accept, timeout=limit) as response:
            _check("GET", path, response.status)
            if on_open is not None:
                on_open()
            async for line in _lines(response.content):
                event: Json = msgspec.json.decode(line)
                if event.get("type") == "ERROR":
                    raise _failure(event.get("object") or {})
                yield event

    async def get(self, path: str, *, metadata_only: bool = False) -> Json:
        """One object; raises ClusterError with status 404 when it is not there."""
        return await self._json("GET", path, {}, METADATA if metadata_only else "application/json")

    async def create(self, collection: str, body: Mapping[str, Any]) -> Json:
        """Create an object; raises ClusterError with status 409 when it is there already."""
        return await self._json("POST", collection, {}, "application/json", _encode(body))

    async def try_create(self, collection: str, body: Mapping[str, Any]) -> tuple[int, Json]:
        """What would happen if an object were created: the HTTP status, and the object or why not.

        It is a dry run: admission webhooks are called, and nothing is stored.
        """
        status, content = await self._exchange(
            "POST", collection, {"dryRun": "All"}, "application/json", _encode(body)
        )
        return status, _decoded("POST", collection, content)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        """Write an object as a whole.

        Raises ClusterError with status 409 when it has changed since ``metadata.resourceVersion``.
        """
        return await self._json("PUT", path, {}, "application/json", _encode(body))

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Delete an object; one that is not there is as good as deleted.

        With ``uid`` only that very one, and none that has its name since: ClusterError, status 409.
        """
        body = _encode({"preconditions": {"uid": uid}}) if uid else b""
        try:
            await self._json("DELETE", path, {}, "application/json", body)
        except ClusterError as error:
            if error.status != 404:
                raise

    async def patch(self, path: str, changes: Mapping[str, Any]) -> None:
        """Merge changes into an object (RFC 7386)."""
        await self._json("PATCH", path, {}, "application/json", _encode(changes))

    async def patch_status(self, path: str, status: Mapping[str, Any]) -> None:
        """Merge into an object's status (RFC 7386)."""
        body = _encode({"status": status})
        await self._json("PATCH", f"{path}/status", {}, "application/json", body)

    async def _json(
        self, method: str, path: str, parameters: Mapping[str, str], accept: str, body: bytes = b""
    ) -> Json:
        status, content = await self._exchange(method, path, parameters, accept, body)
        _check(method, path, status)
        return _decoded(method, path, content)

    async def _exchange(
        self, method: str, path: str, parameters: Mapping[str, str], accept: str, body: bytes = b""
    ) -> tuple[int, bytes]:
        """The HTTP status and what came with it; raises ClusterError when nothing came."""
        try:
            async with (
                asyncio.timeout(30),
                self._request(method, path, parameters, accept, body) as response,
            ):
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ClusterError(f"{method} {path} failed: {type(error).__name__}") from None

    def _request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        accept: str,
        body: bytes = b"",
        *,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> "aiohttp.client._RequestContextManager":
        if self._session is None:
            raise ClusterError("the client is not open")
        connection = self._current()
        headers = {"Accept": accept, "User-Agent": "weighmaster"}
        if body:
            merge = "application/merge-patch+json"
            headers["Content-Type"] = merge if method == "PATCH" else "application/json"
        if connection.token:
            headers["Authorization"] = f"Bearer {connection.token}"
        return self._session.request(
            method,
            connection.server + path,
            params=parameters,
            headers=headers,
            data=body or None,
            ssl=connection.context if connection.context is not None else True,
            allow_redirects=False,
            timeout=timeout,
        )

    def _current(self) -> Connection:
        now = time.monotonic()
        if self._connection is None or (
            self._connection.token and now - self._read_at > TOKEN_LIFETIME
        ):
            self._connection = self._login()
            self._read_at = now
        return self._connection


def _encode(body: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(body)


def _decoded(method: str, path: str, content: bytes) -> Json:
    try:
        result: Json = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise ClusterError(f"{method} {path} failed: {type(error).__name__}") from None
    return result


def _check(method: str, path: str, status: int) -> None:
    if status < 400:
        return
    if status == 410:
        raise ResourceExpiredError("the resource version is too old", status=410)
    raise ClusterError(f"{method} {path} gave {status}", status=status)


def _failure(status: Mapping[str, Any]) -> ClusterError:
    code = status.get("code")
    if code == 410 or status.get("reason") == "Expired":
        return ResourceExpiredError("the resource version is too old", status=410)
    return ClusterError("the watch failed", status=code if isinstance(code, int) else 0)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to the limit; aiohttp's own iterator stops at its buffer's size."""
    parts: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield b"".join((*parts, line))
            parts, size = [], 0
        if rest:
            parts.append(rest)
            size += len(rest)
            if size > MAX_EVENT:
                raise ClusterError("a watch event is too large")
