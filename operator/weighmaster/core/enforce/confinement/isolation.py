"""Whether the network of a sandboxed pod is closed.

NetworkPolicies add up: what any of those that select a pod allows is allowed. So the profile's own
must be there, and no other that selects the pod may allow what it does not.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from weighmaster.api.v1alpha1.meta import LabelSelector
from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.core.enforce.confinement.network import (
    SANDBOX_LABEL,
    network_policy_spec,
    policy_name,
)
from weighmaster.core.evaluate.facilities import Cluster, NetworkPolicy
from weighmaster.core.evaluate.selectors import Labels, Selector

EXCLUSION = f"{{key: {SANDBOX_LABEL}, operator: DoesNotExist}}"
"""What to add to the ``matchExpressions`` of a podSelector, so that it leaves sandboxes alone."""


def missing(cluster: Cluster | None, namespace: str, profile: str, rules: NetworkRules) -> bool:
    """Whether the profile's own NetworkPolicy is not in the namespace, or not as it must be."""
    if cluster is None:
        return True
    if cluster.isolating:
        return False
    name, wanted = policy_name(profile), network_policy_spec(profile, rules)
    return not any(
        policy.name == name and policy.spec == wanted and not policy.leaving
        for policy in cluster.network_policies.get(namespace, ())
    )


def openings(
    cluster: Cluster | None, namespace: str, labels: Labels, profile: str, rules: NetworkRules
) -> Iterator[NetworkPolicy]:
    """Other NetworkPolicies that select a pod with these labels and allow more, by name."""
    policies = () if cluster is None else cluster.network_policies.get(namespace, ())
    for policy in sorted(policies, key=lambda policy: policy.name):
        if policy.name != policy_name(profile) and opens(policy.spec, labels, profile, rules):
            yield policy


def opens(spec: Mapping[str, Any], labels: Labels, profile: str, rules: NetworkRules) -> bool:
    """Whether a NetworkPolicy selects a pod with these labels and allows it more than its profile.

    Doubt counts as yes. ``policyTypes`` are not looked at: rules of a type that is not listed are
    without effect, and without a purpose.
    """
    allowed = network_policy_spec(profile, rules)
    return any(
        rule not in allowed.get(direction, ())
        for direction in ("ingress", "egress")
        for rule in spec.get(direction) or ()
    ) and _selects(spec.get("podSelector"), labels)


def _selects(stored: object, labels: Labels) -> bool:
    try:
        return Selector(msgspec.convert(stored or {}, LabelSelector)).matches(labels)
    except msgspec.ValidationError:
        return True
