"""The situation: how things stand with running pods, as values that a plan is made from."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.quarantine.pods import Pod
from weighmaster.quarantine.verdicts import Verdict
from weighmaster.quarantine.wanted import Place

MAX_SHUTDOWN = timedelta(minutes=10)
"""What a pod that is evicted gets to shut down at most, however long it has given itself."""


class Doing(StrEnum):
    """What can be done to a running pod because of a policy; in the order in which it is done."""

    QUARANTINE = "quarantine"
    EVICT = "evict"


class Case(Struct, frozen=True):
    """A pod and the verdict on it. ``settled`` says that it has stood long enough to act on."""

    pod: Pod
    verdict: Verdict
    settled: bool = True


class Deed(Struct, frozen=True):
    """Something to do to a pod because of a policy; ``why`` is for a person."""

    doing: Doing
    pod: Pod
    policy: PolicyKey
    decision: str
    why: str
    profile: str = ""


Mark = tuple[str, Doing]
"""The uid of a pod, and what is done to it."""


class Situation(Struct, frozen=True, kw_only=True):
    """How things stand.

    ``under_way`` is what is being done, or has been and does not show on the pod yet, and by which
    policy. ``ready`` says whether the NetworkPolicy of a profile in a namespace is there.
    ``refused`` is what was tried, failed, and is tried again later. ``evictions`` are how many pods
    each policy may have evicted now; ``exposed`` the uids of confined pods that are not isolated.
    """

    cases: Sequence[Case]
    snapshot: Snapshot
    now: datetime
    ready: Callable[[Place], bool]
    evictions: Mapping[PolicyKey, int] = {}
    under_way: Mapping[Mark, PolicyKey] = {}
    refused: Collection[Mark] = frozenset()
    exposed: Collection[str] = frozenset()


def policy_key(text: str) -> PolicyKey:
    """The policy of a ``quarantined-by`` annotation."""
    namespace, _, name = text.rpartition("/")
    return PolicyKey(name, namespace)
