"""Which addresses are public, and that only those are connected to."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.addresses import GuardedResolver, is_public
from weighmaster.gather.settings import GatherSettings

FORBIDDEN = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.2.1",
    "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "::127.0.0.1", "", "nonsense",
    "2130706433", "0x7f.0.0.1", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_that_is_not_public_is_forbidden(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@given(st.integers(0, 2**24 - 1))
def test_no_wrapping_makes_loopback_public(rest: int) -> None:
    inner = f"127.{rest >> 16 & 255}.{rest >> 8 & 255}.{rest & 255}"
    assert not is_public(inner)
    assert not is_public(f"::ffff:{inner}")
    assert not is_public(f"64:ff9b::{inner}")


def resolver(*addresses: str, internal_hosts: frozenset[str] = frozenset()) -> GuardedResolver:
    async def lookup(host: str, port: int) -> list[str]:
        return list(addresses)

    return GuardedResolver(GatherSettings(internal_hosts=internal_hosts), lookup)


async def test_the_addresses_that_were_checked_are_the_ones_connected_to() -> None:
    found = await resolver("8.8.8.8", "2606:4700::1111").resolve("hub.example", 443)
    assert [(entry["host"], entry["family"]) for entry in found] == [
        ("8.8.8.8", socket.AF_INET),
        ("2606:4700::1111", socket.AF_INET6),
    ]
    assert all(entry["flags"] & socket.AI_NUMERICHOST for entry in found)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::ffff:10.1.2.3"])
async def test_one_private_address_among_public_ones_condemns_the_name(address: str) -> None:
    with pytest.raises(GatherError) as caught:
        await resolver("8.8.8.8", address).resolve("evil.example", 443)
    assert caught.value.reason == UnavailableReason.FORBIDDEN_ADDRESS
    assert address not in str(caught.value)


async def test_an_internal_host_may_have_a_private_address_on_its_port() -> None:
    internal = frozenset({"hub.internal:8443"})
    guard = resolver("10.0.0.1", internal_hosts=internal)
    assert await guard.resolve("hub.internal", 8443)
    with pytest.raises(GatherError):
        await guard.resolve("hub.internal", 22)


async def test_a_name_without_addresses_is_an_outage_not_a_pass() -> None:
    with pytest.raises(OSError, match="no address"):
        await resolver().resolve("gone.example", 443)
