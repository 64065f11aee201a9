"""Which NetworkPolicies there must be: one for each profile that may be needed in a namespace.

A pure question. Doubt widens: one too many selects no pod, one too few leaves a pod open.
"""

from collections.abc import Collection, Iterable

from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.api.v1alpha1.policy import Running
from weighmaster.cluster.client import Json
from weighmaster.core.enforce.confinement.network import network_policy
from weighmaster.core.evaluate.policies import Policy
from weighmaster.core.evaluate.profiles import Profile
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import Action
from weighmaster.quarantine.pods import Pod

Place = tuple[str, str]
"""A namespace and the name of a profile."""


def wanted_networks(
    snapshot: Snapshot, pods: Iterable[Pod], exempt: Collection[str]
) -> dict[Place, Json]:
    """The NetworkPolicies that there must be.

    Where a policy may confine by a profile that can be used, before the first pod needs it; and
    wherever a pod bears a profile's label, whatever has become of policies and profile. Without
    its profile nothing is known to be allowed, so nothing is.
    """
    profiles = snapshot.facilities.profiles
    places = {
        (namespace, profile)
        for namespace in snapshot.namespaces
        if namespace not in exempt
        for profile in _possible_profiles(snapshot, namespace)
        if (found := profiles.get(profile)) is not None and found.spec is not None
    }
    places |= {(pod.namespace, pod.profile) for pod in pods if pod.profile}
    return {
        place: network_policy(place[1], rules_of(profiles.get(place[1])), place[0])
        for place in places
    }


def may_confine(policy: Policy) -> bool:
    """Whether a pod may be confined because of a policy, when it is made or later."""
    return (
        Action.SANDBOX in (policy.action, policy.on_unknown) or policy.running is Running.QUARANTINE
    )


def _possible_profiles(snapshot: Snapshot, namespace: str) -> set[str]:
    return {
        policy.sandbox_profile
        for policy, excluded in snapshot.applicable(namespace)
        if policy.sandbox_profile
        and may_confine(policy)
        and not (excluded and policy.scope.excludes_all)
    }


def rules_of(profile: Profile | None) -> NetworkRules:
    """What a profile allows; one that is gone or cannot be used allows nothing."""
    return (
        NetworkRules() if profile is None or profile.spec is None else profile.spec.network_policy
    )
