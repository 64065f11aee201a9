"""The NetworkPolicy of a sandbox profile, as the API server hands it back.

The controller keeps one for each profile in each namespace, and the webhook compares: both take
the policy from here. All defaults are written out and nothing empty is, so that what is stored
equals what is wanted.
"""

from collections.abc import Sequence
from typing import Any

from weighmaster.api.v1alpha1.meta import LabelSelector
from weighmaster.api.v1alpha1.network import NetworkRules, Peer, Port

SANDBOX_LABEL = "weighmaster.dev/sandbox"
"""On sandboxed pods and on their NetworkPolicies: the name of the profile."""

NAME_PREFIX = "weighmaster-sandbox-"
"""Names of NetworkPolicies that begin like this are Weighmaster's, in every namespace."""

MANAGED_BY = {"app.kubernetes.io/managed-by": "weighmaster"}

Json = dict[str, Any]


def policy_name(profile: str) -> str:
    """The name of a profile's NetworkPolicy."""
    return f"{NAME_PREFIX}{profile}"


def network_policy(profile: str, rules: NetworkRules, namespace: str) -> Json:
    """The NetworkPolicy of a profile in a namespace."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(profile),
            "namespace": namespace,
            "labels": {**MANAGED_BY, SANDBOX_LABEL: profile},
        },
        "spec": network_policy_spec(profile, rules),
    }


def network_policy_spec(profile: str, rules: NetworkRules) -> Json:
    """Its spec: what the rules allow, in either direction, and nothing else. Not even DNS."""
    spec: Json = {
        "podSelector": {"matchLabels": {SANDBOX_LABEL: profile}},
        "policyTypes": ["Ingress", "Egress"],
    }
    if rules.ingress:
        spec["ingress"] = [
            {"from": list(map(_peer, rule.from_)), **_ports(rule.ports)} for rule in rules.ingress
        ]
    if rules.egress:
        spec["egress"] = [
            {"to": list(map(_peer, rule.to)), **_ports(rule.ports)} for rule in rules.egress
        ]
    return spec


def _peer(peer: Peer) -> Json:
    made: Json = {}
    if peer.ip_block is not None:
        block = peer.ip_block
        excepted = {"except": list(block.except_)} if block.except_ else {}
        made["ipBlock"] = {"cidr": block.cidr, **excepted}
    if peer.namespace_selector is not None:
        made["namespaceSelector"] = _selector(peer.namespace_selector)
    if peer.pod_selector is not None:
        made["podSelector"] = _selector(peer.pod_selector)
    return made


def _selector(selector: LabelSelector) -> Json:
    made: Json = {}
    if selector.match_labels:
        made["matchLabels"] = dict(selector.match_labels)
    if selector.match_expressions:
        made["matchExpressions"] = [
            {
                "key": requirement.key,
                "operator": requirement.operator.value,
                **({"values": list(requirement.values)} if requirement.values else {}),
            }
            for requirement in selector.match_expressions
        ]
    return made


def _ports(ports: Sequence[Port]) -> Json:
    made = [
        {
            "protocol": port.protocol.value,
            **({"port": port.port} if port.port is not None else {}),
            **({"endPort": port.end_port} if port.end_port is not None else {}),
        }
        for port in ports
    ]
    return {"ports": made} if made else {}
