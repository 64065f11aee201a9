"""How fast a host may be asked: what it says in its headers, and how it has answered lately."""

import math
import re
import time
from asyncio import sleep as asyncio_sleep
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from msgspec import Struct

from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError

MAX_DELAY = 24 * 3600.0
"""Seconds; a host that asks for more is asked again after that."""

FIRST_BACKOFF = 0.5
MAX_BACKOFF = 60.0
"""Seconds after a first failure, doubled with each that follows."""

MAX_HOSTS = 4096
"""Hosts remembered; those that may be asked again are then forgotten."""

DEFAULT_RATE_DELAY = 30.0
"""Seconds to stay away after a 429 that does not say how long."""

_PARAMETER = re.compile(r";\s*([a-z]+)\s*=\s*\"?(\d{1,15})")
_DRAFT_3 = re.compile(r"(?:^|[,\s])(limit|remaining|reset)\s*=\s*\"?(\d{1,15})")


class Clock(Struct, frozen=True):
    """Time as gathering sees it: Unix time, a clock that never goes back, and waiting."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio_sleep


def retry_after(text: str, now: float) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3), None if unreadable.

    ``text`` is a number of seconds or an HTTP date, which counts from ``now`` (Unix time). The
    result is between 0 and MAX_DELAY.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:15]), MAX_DELAY)
    if not text or len(text) > 64:
        return None
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = when.timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_DELAY) if math.isfinite(seconds) else None


def remaining(headers: Mapping[str, str]) -> tuple[int, float] | None:
    """Requests left and seconds until there are more, from RateLimit headers; None without.

    Understands ``RateLimit: "api";r=0;t=55`` (draft-ietf-httpapi-ratelimit-headers, as the
    Hugging Face hub sends it), the older ``limit=.., remaining=.., reset=..`` and the three
    headers ``RateLimit-Limit/-Remaining/-Reset``. The strictest of several policies counts;
    without ``t`` it is the window ``w`` of RateLimit-Policy.
    """
    text = headers.get("RateLimit", "")[:1024]
    found: list[tuple[int, float]] = []
    for item in text.split(","):
        values = dict(_PARAMETER.findall(item))
        if "r" in values:
            window = values.get("t") or _window(headers)
            found.append((int(values["r"]), float(window or DEFAULT_RATE_DELAY)))
    if not found:
        values = dict(_DRAFT_3.findall(text))
        left = values.get("remaining") or headers.get("RateLimit-Remaining", "")
        reset = values.get("reset") or headers.get("RateLimit-Reset", "")
        if re.fullmatch(r"\d{1,15}", left) and re.fullmatch(r"\d{1,15}", reset):
            found.append((int(left), float(reset)))
    left_and_reset = min(found, default=None)
    if left_and_reset is None:
        return None
    return left_and_reset[0], min(left_and_reset[1], MAX_DELAY)


def _window(headers: Mapping[str, str]) -> str | None:
    return dict(_PARAMETER.findall(headers.get("RateLimit-Policy", "")[:1024])).get("w")


class _Host:
    __slots__ = ("failures", "limited", "not_before")

    def __init__(self) -> None:
        self.failures = 0
        self.not_before = 0.0
        self.limited = False


class Pace:
    """Keeps requests away from hosts that asked for it, or that are failing.

    A ``key`` is a host and a class of requests that it limits separately.
    """

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._hosts: dict[str, _Host] = {}

    async def admit(self, key: str) -> None:
        """Wait until the host may be asked. Raises GatherError when that is beyond patience."""
        while (host := self._hosts.get(key)) is not None:
            delay = host.not_before - self._clock.monotonic()
            if delay <= 0:
                return
            if delay > self._patience:
                raise self.refusal(key, delay, limited=host.limited)
            await self._clock.sleep(delay)

    def refusal(self, key: str, delay: float, *, limited: bool) -> GatherError:
        """The error that says when to come back."""
        name = key.partition(" ")[0]
        if limited:
            text = f"{name} asks to come back in {delay:.0f} s"
            return GatherError(UnavailableReason.RATE_LIMITED, text, retry_after=delay, status=429)
        text = f"{name} is failing; it is asked again in {delay:.0f} s"
        return GatherError(UnavailableReason.UNREACHABLE, text, retry_after=delay)

    def answered(self, key: str, headers: Mapping[str, str]) -> None:
        """Note an answer: the host is well. With no requests left it rests until there are."""
        host = self._hosts.pop(key, None)
        left = remaining(headers)
        if left is not None and left[0] <= 0 and left[1] > 0:
            self._rest(key, left[1], limited=True)
        elif host is not None and host.limited and host.not_before > self._clock.monotonic():
            self._hosts[key] = host  # an answer to an older request does not lift a newer limit

    def limited(self, key: str, headers: Mapping[str, str]) -> float:
        """Note a 429 or 503. Returns the seconds that the host wants to be left alone."""
        delay = retry_after(headers.get("Retry-After", ""), self._clock.wall())
        if delay is None:
            left = remaining(headers)
            delay = left[1] if left is not None else DEFAULT_RATE_DELAY
        delay = max(delay, FIRST_BACKOFF)
        self._rest(key, delay, limited=True)
        return delay

    def failed(self, key: str, share: float) -> float:
        """Note a failure. Returns the seconds to wait; ``share`` in 0..1 spreads them (jitter)."""
        host = self._hosts.setdefault(key, _Host())
        host.failures += 1
        longest = min(FIRST_BACKOFF * 2.0 ** min(host.failures - 1, 16), MAX_BACKOFF)
        delay = longest * (0.5 + share / 2)
        if not host.limited:
            self._rest(key, delay, limited=False)
        return delay

    def _rest(self, key: str, delay: float, *, limited: bool) -> None:
        if len(self._hosts) > MAX_HOSTS:
            now = self._clock.monotonic()
            self._hosts = {k: h for k, h in self._hosts.items() if h.not_before > now}
        host = self._hosts.setdefault(key, _Host())
        until = self._clock.monotonic() + delay
        if until > host.not_before:
            host.not_before, host.limited = until, limited
