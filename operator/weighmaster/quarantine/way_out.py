"""The way out of the sandbox, and its end: what becomes of confined pods. Pure.

Nothing of a pod's spec was changed to quarantine it, so it is released as it is. One that was
admitted confined has to be made anew, by whoever makes it.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from weighmaster.api.v1alpha1.sandbox import MAX_SECONDS, Release, seconds_of
from weighmaster.core.evaluate.profiles import Profile
from weighmaster.quarantine.pods import Pod
from weighmaster.quarantine.situation import Case


class Way(StrEnum):
    """What becomes of a confined pod."""

    RELEASE = "release"
    """Its quarantine is lifted."""
    ROLLOUT = "rollout"
    """Its owner makes it anew, unconfined."""
    TELL = "tell"
    """Its owner is told that it may."""
    EXPIRE = "expire"
    """Its time is over: the kubelet is made to end it, and its owner may make another."""


class WayOut(Struct, frozen=True):
    """What becomes of one pod."""

    way: Way
    case: Case


def ways_out(
    cases: Iterable[Case], profiles: Mapping[str, Profile], now: datetime
) -> Iterator[WayOut]:
    """What is to become of those confined pods for which something is."""
    for case in cases:
        way = _way(case, profiles.get(case.pod.profile), now) if case.pod.profile else None
        if way is not None:
            yield WayOut(way, case)


def _way(case: Case, profile: Profile | None, now: datetime) -> Way | None:
    pod = case.pod
    if case.settled and case.verdict.lawful and pod.served.uses:
        if pod.quarantined:
            return Way.RELEASE
        if pod.leaving:
            return None
        release = profile.spec.release if profile is not None and profile.spec else Release.TELL
        return Way.ROLLOUT if release is Release.ROLLOUT else Way.TELL
    if pod.quarantined and not pod.leaving and _is_over(pod, profile, now):
        return Way.EXPIRE
    return None


def _is_over(pod: Pod, profile: Profile | None, now: datetime) -> bool:
    """Whether a quarantined pod has had its time and has not been ended for it yet."""
    ttl = profile.spec.ttl if profile is not None and profile.spec is not None else None
    if ttl is None or pod.quarantined_at is None:
        return False
    if now < pod.quarantined_at + timedelta(seconds=seconds_of(ttl)):
        return False
    return pod.deadline is None or pod.deadline > age(pod, now)


def age(pod: Pod, now: datetime) -> int:
    """Seconds since the kubelet has taken a pod, at least 1: the deadline that is over now."""
    if pod.started is None:
        return 1
    return min(max(int((now - pod.started).total_seconds()), 1), MAX_SECONDS)
