"""The one HTTP client of gathering: bounded, paced, guarded, and careful with credentials.

Redirects are followed by hand. Every hop must be HTTPS (but for hosts configured otherwise) at a
public address; credentials never follow to another origin; a public host cannot send us to an
internal one. Bodies are capped, never inflated, and a compressed one is refused.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from msgspec import Struct
from yarl import URL

from weighmaster.core.content.reading import Span
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.addresses import GuardedResolver, Lookup, check_address, look_up
from weighmaster.gather.bodies import PART_BYTES, Sink, hostile_answer, pour, read
from weighmaster.gather.credentials import Credential, authority_of
from weighmaster.gather.pace import Clock, Pace
from weighmaster.gather.settings import GatherSettings
from weighmaster.gather.urls import absolute

_log = structlog.get_logger("gather")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Request(Struct, frozen=True, kw_only=True):
    """What to get: at most ``limit`` bytes of body, or the bytes of ``span`` only.

    With a ``sink`` it is what the sink still wants at each attempt, and the sink gets it.
    ``bucket`` names the class of requests that the host limits separately. ``form`` makes it a
    POST. ``credential`` goes to the origin of ``url`` and to nobody else.
    """

    url: URL
    limit: int
    accept: str = "*/*"
    credential: Credential | None = None
    span: Span | None = None
    validator: str | None = None
    bucket: str = ""
    form: Mapping[str, str] | None = None
    sink: Sink | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """An answer: the URL it came from in the end, and its body, whole (or the span's bytes)."""

    url: URL
    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Use it as an asynchronous context manager. Safe for any number of tasks of one loop."""

    def __init__(
        self,
        settings: GatherSettings,
        *,
        clock: Clock | None = None,
        lookup: Lookup = look_up,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self.clock = clock or Clock()
        self._resolver = GuardedResolver(settings, lookup)
        self._pace = Pace(self.clock, settings.patience)
        self._jitter = jitter
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._host_slots: dict[str, asyncio.Semaphore] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def settings(self) -> GatherSettings:
        """How it was set up."""
        return self._settings

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context()
        if self.settings.ca_file is not None:
            context.load_verify_locations(self.settings.ca_file)
        if self.settings.ca:
            context.load_verify_locations(cadata=self.settings.ca)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                ssl=context,
                ttl_dns_cache=30,
                limit=self.settings.concurrency * 2,
                limit_per_host=self.settings.concurrency_per_host * 2,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": self.settings.user_agent, "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, request: Request) -> Answer:
        """The answer to a request, tried again where that can help.

        Any status below 500 but 429 is an answer. Raises GatherError: rate limited, unreachable,
        too large, forbidden address, or hostile; and what the sink raises.
        """
        key = f"{authority_of(request.url)} {request.bucket}".rstrip()
        failure: GatherError | None = None
        for _ in _attempts(self.settings.attempts, request.sink):
            await self._pace.admit(key)
            try:
                answer = await self._once(request)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                failure = self._failed(key, request, type(error).__name__)
                continue
            if answer.status == 429 or (answer.status == 503 and "Retry-After" in answer.headers):
                delay = self._pace.limited(key, answer.headers)
                failure = self._pace.refusal(key, delay, limited=True)
                continue
            if answer.status >= 500:
                failure = self._failed(key, request, f"status {answer.status}", answer.status)
                continue
            self._pace.answered(key, answer.headers)
            return answer
        assert failure is not None  # noqa: S101 - attempts is at least 1
        raise failure

    def _failed(self, key: str, request: Request, what: str, status: int = 0) -> GatherError:
        delay = self._pace.failed(key, self._jitter())
        _log.debug("request failed", host=request.url.host, what=what)
        return GatherError(
            UnavailableReason.UNREACHABLE,
            f"{authority_of(request.url)} does not answer as it should ({what})",
            retry_after=delay,
            status=status,
        )

    async def _once(self, request: Request) -> Answer:
        url, credential = request.url, request.credential
        for hop in range(self.settings.redirects + 1):
            await self._check(url, None if hop == 0 else request.url)
            async with self._host_slot(url), self._slots:
                answer = await self._exchange(request, url, credential, first=hop == 0)
            if answer.status not in _REDIRECTS:
                return answer
            if request.form is not None:
                raise hostile_answer(url, "redirects a request that carries credentials")
            target = absolute(answer.headers.get("Location"), url)
            if target is None:
                raise hostile_answer(url, "redirects to nowhere")
            if target.origin() != url.origin():
                credential = None
            url = target
        raise hostile_answer(request.url, "redirects too often")

    async def _check(self, url: URL, start: URL | None) -> None:
        """Refuse a URL that must not be asked; ``start`` is where the redirects began."""
        if url.scheme != "https" and not (
            url.scheme == "http" and self.settings.allows_plain_http(url)
        ):
            raise hostile_answer(url, "leads to something that is not HTTPS")
        if not url.host or url.user is not None or url.password is not None:
            raise hostile_answer(url, "leads to a URL without a host, or with a user")
        internal = self.settings.is_internal(url)
        if internal and start is not None and not self.settings.is_internal(start):
            raise hostile_answer(start, "leads from outside to an internal host")
        if not internal and _is_literal(url.host):
            check_address(url.host, url.host)
        if self.settings.proxy_for(url):
            await self._resolver.check(url)

    def _host_slot(self, url: URL) -> asyncio.Semaphore:
        key = authority_of(url)
        if key not in self._host_slots and len(self._host_slots) > 4096:
            self._host_slots = {k: s for k, s in self._host_slots.items() if s.locked()}
        return self._host_slots.setdefault(
            key, asyncio.Semaphore(self.settings.concurrency_per_host)
        )

    def _timeout(self, request: Request) -> aiohttp.ClientTimeout:
        limits = self.settings.timeouts
        return aiohttp.ClientTimeout(
            total=limits.request if request.sink is None else None,
            connect=limits.connect,
            sock_connect=limits.connect,
            sock_read=limits.read,
        )

    async def _exchange(
        self, request: Request, url: URL, credential: Credential | None, *, first: bool
    ) -> Answer:
        if self._session is None:
            raise GatherError(UnavailableReason.UNREACHABLE, "the client is not open")
        headers = {"Accept": request.accept}
        if credential is not None:
            headers["Authorization"] = credential.header
        span = request.span if request.sink is None else request.sink.span
        if span is not None:
            headers["Range"] = f"bytes={span.offset}-{span.offset + span.length - 1}"
        if request.validator is not None and first:
            headers["If-None-Match"] = request.validator
        async with self._session.request(
            "GET" if request.form is None else "POST",
            url,
            data=request.form,
            headers=headers,
            allow_redirects=False,
            proxy=self.settings.proxy_for(url),
            timeout=self._timeout(request),
            read_bufsize=PART_BYTES if request.sink is not None else None,
        ) as response:
            body = b""
            if response.status in (200, 206) and request.sink is not None:
                await pour(response, request.sink, self.settings.timeouts.read)
            elif response.status not in _REDIRECTS and response.status < 500:
                body = await read(response, request.limit, span)
            return Answer(url=url, status=response.status, headers=response.headers, body=body)


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _attempts(limit: int, sink: Sink | None) -> Iterator[None]:
    """As many attempts as the limit; counted anew after each that has brought a sink a part."""
    left, at = limit, sink.span.offset if sink is not None else 0
    while left:
        yield
        left -= 1
        if sink is not None and sink.span.offset - at >= PART_BYTES:
            left, at = limit, sink.span.offset
