"""A registry on loopback that can be told to misbehave, with the log-ins registries ask for."""

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.hub.artifacts import INDEX, Contents
from tests.hub.server import Seen, ranged

Misbehaviour = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


@dataclass
class FakeRegistry:
    """A registry; use it as an asynchronous context manager."""

    repositories: dict[str, Contents] = field(default_factory=dict)
    referrers: bool = True
    """Whether it has the referrers API."""
    challenge: str | None = None
    """What it asks for in WWW-Authenticate; ``{url}`` is its own address."""
    basic: str | None = None
    """``user:password`` that opens it, or its token server."""
    token: str = "issued"
    misbehave: Misbehaviour | None = None
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def requests(self, part: str = "") -> list[Seen]:
        return [seen for seen in self.seen if part in seen.path]

    def contents(self, name: str = "acme/model") -> Contents:
        return self.repositories.setdefault(name, Contents())

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post()) if request.method == "POST" else {}
        query = {**request.query, **{key: str(value) for key, value in form.items()}}
        self.seen.append(Seen(request.host, request.path, query, dict(request.headers)))
        if self.misbehave is not None and (answer := await self.misbehave(request)) is not None:
            return answer
        if request.path == "/token":
            return self._give_token(request)
        if self.challenge is not None and not self._is_open(request):
            challenge = self.challenge.format(url=f"http://{self.address}")
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        for verb in ("manifests", "blobs", "referrers"):
            name, found, reference = request.path.removeprefix("/v2/").partition(f"/{verb}/")
            if found and (contents := self.repositories.get(name)) is not None:
                answers = {
                    "manifests": self._manifests,
                    "blobs": self._blobs,
                    "referrers": self._referrers,
                }
                return answers[verb](request, contents, reference)
        return web.json_response({"errors": [{"code": "NAME_UNKNOWN"}]}, status=404)

    def _is_open(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        if (self.challenge or "").lower().startswith("basic"):
            return given == self._basic_header()
        return given == f"Bearer {self.token}"

    def _basic_header(self) -> str:
        return f"Basic {base64.b64encode((self.basic or '').encode()).decode()}"

    def _give_token(self, request: web.Request) -> web.Response:
        if self.basic and request.headers.get("Authorization") != self._basic_header():
            return web.Response(status=401)
        return web.json_response({"token": self.token, "expires_in": 300})

    def _manifests(self, request: web.Request, contents: Contents, reference: str) -> web.Response:
        if reference not in contents.manifests:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        media_type, content = contents.manifests[reference]
        etag = f'"{hash(content)}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(body=content, headers={"Content-Type": media_type, "ETag": etag})

    def _blobs(self, request: web.Request, contents: Contents, reference: str) -> web.Response:
        if reference not in contents.blobs:
            return web.json_response({"errors": [{"code": "BLOB_UNKNOWN"}]}, status=404)
        return ranged(request, contents.blobs[reference], {})

    def _referrers(self, _: web.Request, contents: Contents, digest: str) -> web.Response:
        if not self.referrers:
            return web.Response(status=404, text="404 page not found")
        found: list[dict[str, Any]] = []
        for name, (media_type, content) in contents.manifests.items():
            manifest = json.loads(content) if name.startswith("sha256:") else {}
            if manifest.get("subject", {}).get("digest") == digest:
                found.append({
                    "mediaType": media_type, "digest": name, "size": len(content),
                    "artifactType": manifest.get("artifactType"),
                })  # fmt: skip
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
        return web.json_response(body, content_type=INDEX)
