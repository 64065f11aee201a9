"""Verdicts on running pods, by the same pipeline that admits them.

What cannot be decided is told and never acted on: a rule that fails has found something wrong, one
that cannot be decided, because a hub or a publisher is away, has not.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from weighmaster.core.decide import Decision
from weighmaster.core.evaluate.changes import Changes
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.respond import line
from weighmaster.core.values import Action, Outcome
from weighmaster.pipeline import audit, awaits
from weighmaster.quarantine.pods import Served

EVERYTHING_EVERY = timedelta(minutes=10)
"""How often all is judged again, whatever has changed."""

SLICE = 0.02
"""Seconds of judging after which others are let in."""


class Objection(Struct, frozen=True):
    """What one policy has against a pod.

    ``action`` is the strictest that its failing rules ask for, Allow if none fails. ``undecided``
    says that a rule cannot be decided. ``line`` is about the first finding, for a person.
    """

    policy: PolicyKey
    action: Action
    undecided: bool
    line: str

    @property
    def enforced(self) -> bool:
        """Whether the pod would not be admitted as it is."""
        return self.action >= Action.SANDBOX


class Verdict(Struct, frozen=True):
    """What was decided about pods that serve the same.

    ``action`` is the decision that admission would take, undecided rules included; ``decision`` is
    its id. ``awaits`` are the references whose evidence could change it.
    """

    decision: str
    action: Action
    objections: tuple[Objection, ...] = ()
    awaits: tuple[str, ...] = ()

    @property
    def objected(self) -> bool:
        """Whether a rule fails for which the pod would not be admitted as it is."""
        return any(objection.enforced for objection in self.objections)

    @property
    def lawful(self) -> bool:
        """Whether it would be admitted as it is."""
        return self.action < Action.SANDBOX


UNDECIDABLE = Verdict("", Action.DENY)
"""On what has more models than may be judged: nothing is done to it, nor is it released."""


def judge(served: Served, snapshot: Snapshot, now: datetime) -> Verdict:
    """The verdict on what pods serve."""
    decision = audit(served.workload, served.uses, snapshot, now, served.weighing)
    if decision is None:
        return UNDECIDABLE
    objections = tuple(_objections(decision))
    return Verdict(
        decision.id, decision.action, objections, awaits(decision, outcome=Outcome.ERROR)
    )


def _objections(decision: Decision) -> Iterable[Objection]:
    found: dict[PolicyKey, Objection] = {}
    for finding in decision.against:
        action = finding.action if finding.outcome is Outcome.FAIL else Action.ALLOW
        before = found.get(finding.policy)
        if before is None or action > before.action:
            undecided = finding.outcome is not Outcome.FAIL or (
                before is not None and before.undecided
            )
            found[finding.policy] = Objection(finding.policy, action, undecided, line(finding))
    return found.values()


class Verdicts:
    """Verdicts on everything that is served, kept true with as little judging as will do."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._verdicts: dict[Served, Verdict] = {}
        self._snapshot: Snapshot | None = None
        self._until: datetime | None = None

    def on(self, served: Served) -> Verdict | None:
        """The verdict; None on what had not come up when all was judged last."""
        return self._verdicts.get(served)

    async def renew(self, snapshot: Snapshot, all_served: Iterable[Served]) -> int:
        """Judge what is new and what a change may concern; returns how many were judged."""
        now = self._clock()
        expired = self._until is None or now >= self._until
        changes = None
        if self._snapshot is not None and self._snapshot is not snapshot:
            changes = Changes(self._snapshot, snapshot)
        renewed: dict[Served, Verdict] = {}
        judged = 0
        begun = time.monotonic()
        for served in all_served:
            known = None if expired else self._verdicts.get(served)
            if known is None or (changes and changes.touch(served.workload, served.uses)):
                known = judge(served, snapshot, now)
                judged += 1
            renewed[served] = known
            if time.monotonic() - begun > SLICE:
                await asyncio.sleep(0)
                begun = time.monotonic()
        self._verdicts = renewed
        self._snapshot = snapshot
        if expired or changes is not None:
            ends = snapshot.holds_until(now)
            latest = now + EVERYTHING_EVERY if expired or self._until is None else self._until
            self._until = latest if ends is None else min(ends, latest)
        return judged
