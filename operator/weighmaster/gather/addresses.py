"""Which addresses may be connected to: a guard against server-side request forgery.

A name is resolved once, its addresses are checked, and the connection goes to an address that was
checked: aiohttp connects to what its resolver returns, so a name that changes between check and
use (DNS rebinding) gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.settings import GatherSettings

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a name; raises OSError when it has none."""

_NAT64 = IPv6Network("64:ff9b::/96")

_PLATFORM_ADDRESSES = frozenset({IPv4Address("168.63.129.16")})
"""Public by number, but a cloud's own services (Azure) from within."""


def is_public(text: str) -> bool:
    """Whether an address is a public unicast one, whatever it is wrapped in (RFC 6890).

    False for private, loopback, link-local, shared, multicast, reserved and metadata addresses,
    and for IPv6 addresses that carry such an IPv4 one (mapped, 6to4, NAT64); Teredo is refused.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.teredo is not None:
            return False
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not (isinstance(address, IPv6Address) and address.is_site_local)
        and address not in _PLATFORM_ADDRESSES
    )


async def look_up(host: str, port: int) -> list[str]:
    """Addresses of a name, by the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedResolver(AbstractResolver):
    """Resolves names for aiohttp, and refuses those with an address that is not public."""

    def __init__(self, settings: GatherSettings, lookup: Lookup = look_up) -> None:
        self._settings = settings
        self._lookup = lookup

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp passes it
    ) -> list[ResolveResult]:
        """Checked addresses. Raises GatherError for a forbidden one, OSError for none at all."""
        addresses = await self._lookup(host, port)
        if not addresses:
            raise OSError(f"{host} has no address")
        url = URL.build(scheme="https", host=host, port=port or None)
        if not (self._settings.is_internal(url) or self._is_proxy(host)):
            # One bad address condemns all: which one is used would be a matter of luck.
            for address in addresses:
                check_address(host, address)
        return [_result(host, port, address) for address in addresses]

    def _is_proxy(self, host: str) -> bool:
        return bool(self._settings.proxy) and URL(self._settings.proxy or "").host == host

    async def check(self, url: URL) -> None:
        """Check where a name leads when a proxy will connect, as far as it resolves here."""
        try:
            await self.resolve(url.host or "", url.port or 443)
        except OSError:
            return  # names of the outside need not resolve behind a proxy: the proxy decides

    async def close(self) -> None:
        """Nothing is held."""


def check_address(host: str, address: str) -> None:
    """Raise GatherError unless the address is public. The address itself stays out of messages."""
    if not is_public(address):
        raise GatherError(
            UnavailableReason.FORBIDDEN_ADDRESS,
            f"{host} is at an address that is not public; name it in internal-hosts if it is meant",
        )


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
