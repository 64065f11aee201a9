"""Sandbox profiles as stored; one that cannot be used confines nothing."""

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.network import AddressBlock, NetworkRules, Peer, Port
from weighmaster.api.v1alpha1.sandbox import MAX_PROFILE_NAME, SandboxProfileSpec
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.errors import PolicyError


class Profile(Struct, frozen=True):
    """A stored SandboxProfile. ``problem`` says why nothing can be confined by it."""

    name: str
    spec: SandboxProfileSpec | None = None
    problem: str | None = None


def read_profile(stored: Mapping[str, Any]) -> Profile:
    """A stored SandboxProfile. Never raises; one that cannot be used confines nothing."""
    name = read_metadata(stored).name
    try:
        spec = msgspec.convert(stored.get("spec"), SandboxProfileSpec)
        _require_sense(name, spec.network_policy)
    except (msgspec.ValidationError, PolicyError) as error:
        return Profile(name, problem=f"cannot be used: {error}")
    return Profile(name, spec)


def _require_sense(name: str, rules: NetworkRules) -> None:
    """What the CRD demands in CEL, for profiles that no API server has seen."""
    if len(name) > MAX_PROFILE_NAME:
        raise PolicyError(f"its name has more than {MAX_PROFILE_NAME} characters")
    for egress in rules.egress:
        _require_traffic("egress", egress.to, egress.ports)
    for ingress in rules.ingress:
        _require_traffic("ingress", ingress.from_, ingress.ports)


def _require_traffic(direction: str, peers: list[Peer], ports: list[Port]) -> None:
    for peer in peers:
        pods = peer.pod_selector is not None or peer.namespace_selector is not None
        if pods == (peer.ip_block is not None):
            raise PolicyError(f"a peer of {direction} is neither an ipBlock nor pods, or both")
        if peer.ip_block is not None:
            _require_networks(peer.ip_block)
    for port in ports:
        if port.end_port is not None and (port.port is None or port.end_port < port.port):
            raise PolicyError(f"an endPort of {direction} has no port before it")


def _require_networks(block: AddressBlock) -> None:
    try:
        for cidr in (block.cidr, *block.except_):
            ipaddress.ip_network(cidr)
    except ValueError:
        raise PolicyError(f"{cidr} is not a network") from None
