"""A hub on loopback that speaks the documented protocol, and can be told to misbehave.

The protocol is that of https://huggingface.co/docs/hub/api: resolve a revision, list its tree by
pages, hand out files, LFS files by way of a redirect to another host.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

from tests.hub.repositories import Repository

Misbehaviour = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Answers instead of the hub, or returns None to let it answer."""


@dataclass
class Seen:
    """One request that the hub got."""

    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Hub:
    """A hub; use it as an asynchronous context manager."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    page_size: int = 1000
    token: str | None = None
    """What opens gated repositories."""
    cdn: str | None = None
    """Origin that LFS files are redirected to; None serves them here."""
    misbehave: Misbehaviour | None = None
    tls: Any = None
    renamed: dict[str, str] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def add(self, repository: Repository) -> Repository:
        self.repositories[repository.name] = repository
        return repository

    def requests(self, part: str = "") -> list[Seen]:
        return [seen for seen in self.seen if part in seen.path]

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(
            Seen(request.host, request.raw_path, dict(request.query), dict(request.headers))
        )
        if self.misbehave is not None and (answer := await self.misbehave(request)) is not None:
            return answer
        path = request.raw_path.partition("?")[0]
        if path.startswith("/api/models/"):
            return self._api(request, path.removeprefix("/api/models/"))
        name, _, rest = path.strip("/").partition("/resolve/")
        commit, _, file = rest.partition("/")
        return self._file(request, name.removeprefix("cdn/"), commit, unquote(file))

    def _api(self, request: web.Request, path: str) -> web.StreamResponse:
        for verb in ("revision", "tree", "commits"):
            name, found, rest = path.partition(f"/{verb}/")
            if found:
                break
        name = name.removesuffix("/refs")
        if name in self.renamed:
            target = request.raw_path.replace(name, self.renamed[name])
            return web.Response(status=307, headers={"Location": target})
        repository = self.repositories.get(name)
        if repository is None:
            return _error(401 if self.token else 404, "RepoNotFound")
        if path.endswith("/refs"):
            return self._refs(repository)
        if verb == "commits":
            return self._commits(request, repository)
        revision = unquote(rest)
        commit = repository.resolve(revision)
        if commit is None:
            return _error(404, "RevisionNotFound")
        if verb == "tree":
            if (refusal := self._refuse(request, repository)) is not None:
                return refusal
            return self._tree(request, repository)
        etag = f'W/"{commit}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        body = {
            "id": repository.name,
            "sha": commit,
            "gated": "auto" if repository.gated else False,
        }
        return web.json_response(body, headers={"ETag": etag})

    def _refs(self, repository: Repository) -> web.StreamResponse:
        found = {"main": repository.commit, **repository.revisions}
        targets = [{"name": name, "targetCommit": commit} for name, commit in found.items()]
        proposals = [entry for entry in targets if entry["name"].startswith("refs/pr/")]
        own = [entry for entry in targets if entry not in proposals]
        return web.json_response({"branches": own, "tags": [], "pullRequests": proposals})

    def _commits(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        everything = [repository.commit, *repository.history]
        start, size = int(request.query["p"]) * 100, 100
        headers = {"Link": '<x>; rel="next"'} if start + size < len(everything) else {}
        chosen = everything[start : start + size]
        return web.json_response([{"id": commit} for commit in chosen], headers=headers)

    def _tree(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        names = sorted({*repository.files, *repository.stored})
        start = int(request.query.get("cursor", "0"))
        chosen = names[start : start + self.page_size]
        entries: list[dict[str, Any]] = [repository.entry(name) for name in chosen]
        folders = {name.rpartition("/")[0] for name in chosen if "/" in name}
        entries += [{"type": "directory", "path": name, "size": 0} for name in sorted(folders)]
        headers = {}
        if start + self.page_size < len(names):
            url = request.url.update_query(cursor=str(start + self.page_size))
            headers["Link"] = f'<{url}>; rel="next"'
        return web.json_response(entries, headers=headers)

    def _file(self, request: web.Request, name: str, commit: str, file: str) -> web.StreamResponse:
        repository = self.repositories.get(name)
        if repository is None or file not in {*repository.files, *repository.stored}:
            return _error(404, "EntryNotFound")
        on_cdn = request.path.startswith("/cdn/")
        if not on_cdn and (refusal := self._refuse(request, repository)) is not None:
            return refusal
        headers = {"X-Repo-Commit": commit}
        stored = repository.stored.get(file)
        if (stored or file in repository.lfs) and self.cdn and not on_cdn:
            target = f"{self.cdn}/cdn{request.path}?signature=secret"
            return web.Response(status=302, headers={**headers, "Location": target})
        if stored is not None:
            return web.FileResponse(stored.path, headers=headers)
        return ranged(request, repository.files[file], headers)

    def _refuse(self, request: web.Request, repository: Repository) -> web.StreamResponse | None:
        if not repository.gated:
            return None
        given = request.headers.get("Authorization")
        if given is None:
            return _error(401, "GatedRepo")
        return None if given == f"Bearer {self.token}" else _error(403, "GatedRepo")


def ranged(request: web.Request, content: bytes, headers: dict[str, str]) -> web.Response:
    """Content, or the part of it that a Range header asks for."""
    asked = request.headers.get("Range", "").removeprefix("bytes=")
    if not asked:
        return web.Response(body=content, headers=headers)
    first, _, last = asked.partition("-")
    start, end = int(first), min(int(last), len(content) - 1)
    if start >= len(content):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
    return web.Response(
        status=206,
        body=content[start : end + 1],
        headers={**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"},
    )


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error": code}, status=status, headers={"X-Error-Code": code})
