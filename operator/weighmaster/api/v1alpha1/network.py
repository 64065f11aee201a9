"""Traffic that a sandboxed pod may have: the rules of a NetworkPolicy (networking.k8s.io/v1).

They are typed here and not passed through, because the API server prunes what it does not know: a
rule whose ``to`` is misspelt would be a rule without a ``to``, and that allows everything.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Schema, Validation
from weighmaster.api.v1alpha1.meta import LabelSelector

Cidr = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=43,
        pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$",
        description="Addresses, such as `10.1.0.0/16` or `2001:db8::/64`.",
        extra_json_schema={
            "x-kubernetes-validations": [
                {
                    "rule": "isCIDR(self) && cidr(self) == cidr(self).masked()",
                    "message": "not a network: write its first address and prefix, 10.1.0.0/16",
                }
            ]
        },
    ),
]


_PortNumber = Annotated[int, Meta(ge=1, le=65535)]


class Protocol(StrEnum):
    """Transport protocol."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class AddressBlock(Schema, frozen=True, kw_only=True):
    """Addresses outside or inside the cluster."""

    cidr: Cidr
    except_: Annotated[
        list[Cidr], Meta(max_length=16, description="Parts of it that are left out.")
    ] = field(default_factory=list, name="except")


class Peer(Schema, frozen=True, kw_only=True):
    """Who is at the other end: pods by their labels, or addresses."""

    validations = (
        Validation(
            rule=(
                "has(self.ipBlock) ? !has(self.podSelector) && !has(self.namespaceSelector)"
                " : has(self.podSelector) || has(self.namespaceSelector)"
            ),
            message="name either an ipBlock or pods by podSelector and namespaceSelector",
        ),
    )

    ip_block: Annotated[AddressBlock | None, Meta(description="Addresses.")] = None
    namespace_selector: Annotated[
        LabelSelector | None,
        Meta(description="Namespaces of the pods; without it, the sandboxed pod's own."),
    ] = None
    pod_selector: Annotated[
        LabelSelector | None, Meta(description="Pods; without it, all of these namespaces.")
    ] = None


class Port(Schema, frozen=True, kw_only=True):
    """A port, a range of ports, or all ports of a protocol."""

    validations = (
        Validation(
            rule="!has(self.endPort) || has(self.port) && self.endPort >= self.port",
            message="endPort needs a port, and not a greater one",
        ),
    )

    port: Annotated[_PortNumber | None, Meta(description="Port; all when not given.")] = None
    end_port: Annotated[_PortNumber | None, Meta(description="Last port of a range.")] = None
    protocol: Annotated[Protocol, Meta(description="Transport protocol.")] = Protocol.TCP


_Peers = Annotated[list[Peer], Meta(min_length=1, max_length=32)]
_Ports = Annotated[list[Port], Meta(max_length=32, description="Ports; none given allows all.")]


class EgressRule(Schema, frozen=True, kw_only=True):
    """Connections that sandboxed pods may open."""

    to: Annotated[_Peers, Meta(description="To whom; everybody would be `0.0.0.0/0` and `::/0`.")]
    ports: _Ports = field(default_factory=list)


class IngressRule(Schema, frozen=True, kw_only=True):
    """Connections that may be opened to sandboxed pods."""

    from_: Annotated[_Peers, Meta(description="From whom.")] = field(name="from")
    ports: _Ports = field(default_factory=list)


class NetworkRules(Schema, frozen=True, kw_only=True):
    """Traffic that stays allowed; nothing given allows none."""

    egress: Annotated[list[EgressRule], Meta(max_length=32, description="From sandboxed pods.")] = (
        field(default_factory=list)
    )
    ingress: Annotated[list[IngressRule], Meta(max_length=32, description="To sandboxed pods.")] = (
        field(default_factory=list)
    )
