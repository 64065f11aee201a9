"""A small API server of our own, which speaks LIST and WATCH and misbehaves on demand.

It keeps objects with resource versions and a log of events, as the real one does, so that what a
reflector holds can be compared with what there is.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Json = dict[str, Any]
Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """One resource at any path."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.version = 1
        self.page_size = 0
        self.oldest = 0
        self.requests: list[web.Request] = []
        self.patches: list[tuple[str, Json]] = []
        self.calls: Counter[str] = Counter()
        self.list_faults: list[Fault] = []
        self.watch_faults: list[Fault] = []
        self.patch_faults: list[Fault] = []
        self.post_faults: list[Fault] = []
        self._events: list[tuple[int, Json]] = []
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("GET", "/{path:.*}", self._get)
        application.router.add_route("PATCH", "/{path:.*}", self._patch)
        application.router.add_route("POST", "/{path:.*}", self._post)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def put(self, name: str, *, quietly: bool = False, **fields: Any) -> None:
        """Create or change an object."""
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.version += 1
        metadata = {"name": name, "resourceVersion": str(self.version)}
        self.objects[name] = {"metadata": metadata, **fields}
        if not quietly:
            self._log(kind, self.objects[name])

    def delete(self, name: str, *, quietly: bool = False) -> None:
        """Delete an object."""
        self.version += 1
        stored = self.objects.pop(name)
        stored["metadata"]["resourceVersion"] = str(self.version)
        if not quietly:
            self._log("DELETED", stored)

    def bookmark(self) -> None:
        """Tell all watches where they are."""
        self.version += 1
        self._log("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def tell(self, event: Json) -> None:
        """Send any event at all."""
        self.version += 1
        self._events.append((self.version, event))
        self._changed.set()

    def expire(self) -> None:
        """Forget all events, as etcd does when it is compacted."""
        self.oldest = self.version
        self._events.clear()
        self._changed.set()

    def _log(self, kind: str, stored: Json) -> None:
        self._events.append(
            (self.version, json.loads(json.dumps({"type": kind, "object": stored})))
        )
        self._changed.set()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        watching = "watch" in request.query
        self.calls["watch" if watching else "list"] += 1
        faults = self.watch_faults if watching else self.list_faults
        if faults:
            return await faults.pop(0)(request)
        return await (self._watch(request) if watching else self._list(request))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        items = list(self.objects.values())
        start = int(request.query.get("continue", "0"))
        metadata: Json = {"resourceVersion": str(self.version)}
        if self.page_size and start + self.page_size < len(items):
            metadata["continue"] = str(start + self.page_size)
            items = items[start : start + self.page_size]
        else:
            items = items[start:]
        return web.json_response({"metadata": metadata, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        seen = int(request.query["resourceVersion"])
        if seen < self.oldest:
            return web.json_response({"code": 410, "reason": "Expired"}, status=410)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                for version, event in list(self._events):
                    if version > seen:
                        seen = version
                        await response.write(json.dumps(event).encode() + b"\n")
                self._changed.clear()
                await self._changed.wait()
        except ConnectionError:
            return response

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        name = request.path
        self.calls["patch"] += 1
        if self.patch_faults:
            return await self.patch_faults.pop(0)(request)
        self.patches.append((name, await request.json()))
        return web.json_response({})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.post_faults:
            return await self.post_faults.pop(0)(request)
        return web.json_response(await request.json(), status=201)


def status(code: int) -> Fault:
    """Answer with an HTTP status."""

    async def fault(_: web.Request) -> web.StreamResponse:
        return web.json_response({"code": code, "message": "hf_secret"}, status=code)

    return fault


def lines(*texts: str | bytes) -> Fault:
    """Answer with exactly these bytes and end."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for text in texts:
            await response.write(text.encode() if isinstance(text, str) else text)
        return response

    return fault


def cut_off_after(*texts: str) -> Fault:
    """Answer with these bytes and drop the connection."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = await lines(*texts)(request)
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.close()
        return response

    return fault


def silence() -> Fault:
    """Take the request and never say anything."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    return fault
