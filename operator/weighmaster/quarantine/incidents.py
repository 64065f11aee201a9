"""Incidents: what is told about pods by events, in words that say what to do."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from msgspec import Struct

from weighmaster.core.enforce.confinement.isolation import EXCLUSION
from weighmaster.core.enforce.confinement.network import policy_name
from weighmaster.quarantine.networks import Network
from weighmaster.quarantine.pods import Owner, Pod
from weighmaster.quarantine.situation import Case
from weighmaster.quarantine.verdicts import Objection

MAX_NAMED = 3
"""NetworkPolicies that are named in one event; the rest are counted."""


class Incident(Struct, frozen=True, kw_only=True):
    """Something to tell about an object.

    ``which`` tells apart what may be so for one object and one reason at a time, such as policies;
    ``when`` what may happen to it again. ``owner`` is whom to tell as well, if anybody: once,
    however many pods of theirs it happens to.
    """

    namespace: str
    about: Owner
    reason: str
    message: str
    which: str = ""
    when: str = ""
    warning: bool = True
    owner: Owner | None = None

    @property
    def key(self) -> str:
        """The same for incidents that need not be told twice."""
        parts = (self.about.uid, self.reason, self.which, self.when)
        return sha256("\0".join(parts).encode()).hexdigest()[:16]


def of_pod(
    pod: Pod, reason: str, message: str, *, which: str = "", when: str = "", warning: bool = True
) -> Incident:
    """An incident of a pod, which its owner is told of as well."""
    return Incident(
        namespace=pod.namespace,
        about=Owner("v1", "Pod", pod.name, pod.uid),
        reason=reason,
        message=message,
        which=which,
        when=when,
        warning=warning,
        owner=pod.owner,
    )


def violation(case: Case, objection: Objection) -> Incident:
    """A running pod would not be admitted as it is."""
    return of_pod(
        case.pod,
        "PolicyViolation",
        f"runs although it would not be admitted (decision {case.verdict.decision}):"
        f" {objection.line}",
        which=str(objection.policy),
    )


def exposure(pod: Pod, opening: Sequence[Network]) -> Iterator[Incident]:
    """A confined pod is not isolated: told of the pod, and of every NetworkPolicy to blame."""
    if pod.host_network:
        yield of_pod(
            pod,
            "SandboxOpened",
            "is not isolated: it uses its node's network, where NetworkPolicies do not hold; delete"
            " it, or have its policy say running: Evict",
            which="host network",
        )
    if not opening:
        return
    names = [network.name for network in opening]
    named = ", ".join(names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    yield of_pod(
        pod,
        "SandboxOpened",
        f"is not isolated: what NetworkPolicy {named}{more} allows adds to what"
        f" {policy_name(pod.profile)} allows; {_ADVICE}",
        which=named,
    )
    for network in opening:
        yield Incident(
            namespace=pod.namespace,
            about=Owner("networking.k8s.io/v1", "NetworkPolicy", network.name, network.uid),
            reason="OpensSandbox",
            message=f"allows traffic of sandboxed pods, such as {pod.name}; {_ADVICE}",
        )


_ADVICE = f"add {EXCLUSION} to the matchExpressions of its podSelector"
