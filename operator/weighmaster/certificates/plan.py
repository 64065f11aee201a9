"""What to do next about the serving certificate. Pure: facts and the time are handed in.

A CA is trusted by every webhook configuration before a certificate of it is served, and until long
after the last one of it was: API servers and kubelets take their time to see what has changed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

from msgspec import Struct

from weighmaster.certificates.generation import Authority, Facts
from weighmaster.errors import SettingsError

MAX_RETIRING = 6
"""Former CAs that stay trusted; beyond, the longest retired go."""


class Timing(Struct, frozen=True, kw_only=True):
    """How long a generation lives, when it is replaced, and how slowly.

    ``settle`` is how long a CA is trusted before a certificate of it is served: API servers learn
    of changed configurations within seconds. ``retire`` is how long it stays trusted afterwards:
    kubelets renew mounted Secrets within two minutes, one that was cut off whenever it is back.
    """

    lifetime: timedelta = timedelta(days=90)
    renew_before: timedelta = timedelta(days=30)
    settle: timedelta = timedelta(seconds=60)
    retire: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        """Refuse what would rotate for ever, or serve what is not trusted yet."""
        nothing = timedelta()
        if not nothing < self.renew_before < self.lifetime:
            raise SettingsError("certificates: they must be renewed within their lifetime")
        if not nothing <= self.settle < self.renew_before or self.retire < nothing:
            raise SettingsError("certificates: a rotation must fit into the time before they end")


class Step(Enum):
    """One step of a rotation."""

    STAGE = auto()
    """Issue a generation and store it beside the one that is served."""
    PROMOTE = auto()
    """Serve the staged generation from now on."""
    WAIT = auto()


class Plan(Struct, frozen=True):
    """A step, or when the next one is due."""

    step: Step
    until: datetime | None = None


class Trust(Struct, frozen=True):
    """The CAs that a webhook configuration trusts, and since when those are not in use any more."""

    authorities: tuple[Authority, ...] = ()
    retiring: Mapping[str, datetime] = {}

    def has(self, authority: Authority) -> bool:
        """Whether it trusts a CA."""
        return any(each.fingerprint == authority.fingerprint for each in self.authorities)


class Stored(Struct, frozen=True):
    """What is known of the stored generations; None where there is none that can be read.

    ``trusted_since`` is since when every webhook configuration has trusted the staged one.
    ``others`` is whether they trust CAs of which nothing is stored: replicas may still serve what
    was in a Secret that is lost. A generation issued before ``issued_after`` is to be replaced,
    because somebody asked for it.
    """

    current: Facts | None = None
    staged: Facts | None = None
    trusted_since: datetime | None = None
    others: bool = False
    issued_after: datetime | None = None


def next_step(stored: Stored, now: datetime, timing: Timing) -> Plan:
    """The next step of a rotation, if one is under way or due."""
    current, staged = stored.current, stored.staged
    if staged is not None and not _is_due(staged, stored, now, timing):
        # Where nothing is served that is any good there is nothing to be careful about.
        served = stored.others if current is None else current.problem is None
        at = (stored.trusted_since or now) + timing.settle if served else now
        return Plan(Step.PROMOTE) if now >= at else Plan(Step.WAIT, at)
    if current is None or _is_due(current, stored, now, timing):
        return Plan(Step.STAGE)
    return Plan(Step.WAIT, current.not_after - timing.renew_before)


def _is_due(facts: Facts, stored: Stored, now: datetime, timing: Timing) -> bool:
    asked = stored.issued_after is not None and facts.issued_at < stored.issued_after <= now
    return asked or facts.problem is not None or now >= facts.not_after - timing.renew_before


def adjusted(found: Trust, wanted: Sequence[Authority], now: datetime, timing: Timing) -> Trust:
    """The trust as it should be: the CAs in use, and former ones until they are retired or end."""
    in_use = {each.fingerprint for each in wanted}
    former = [
        each
        for each in found.authorities
        if each.fingerprint not in in_use
        and now < each.not_after
        and now < found.retiring.get(each.fingerprint, now) + timing.retire
    ]
    # A time in the future is nobody's record: it would keep a CA for as long as one likes.
    since = {
        each.fingerprint: min(found.retiring.get(each.fingerprint, now), now) for each in former
    }
    former.sort(key=lambda each: (since[each.fingerprint], each.fingerprint), reverse=True)
    former = former[:MAX_RETIRING]
    return Trust(
        authorities=(*wanted, *former),
        retiring={each.fingerprint: since[each.fingerprint] for each in former},
    )
