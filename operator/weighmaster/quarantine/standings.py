"""Standings: since when a verdict on a pod has stood.

A policy and the exceptions from it, or a policy that is deleted to be created anew, arrive one
after the other. What was decided in between is not acted on.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from weighmaster.quarantine.pods import Pod
from weighmaster.quarantine.situation import Case
from weighmaster.quarantine.verdicts import Verdict

OBJECTED_FOR = 3.0
"""Seconds for which a pod must have been objected to before anything is done to it."""

LAWFUL_FOR = 10.0
"""Seconds for which a confined pod must have been lawful before it is let out."""


class _Standing(Struct, frozen=True):
    objected: bool
    lawful: bool
    since: float


class Standings:
    """Remembers since when each pod has been objected to, lawful, or neither."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._standings: dict[str, _Standing] = {}

    def settle(self, judged: Iterable[tuple[Pod, Verdict]]) -> list[Case]:
        """The cases of pods. Every pod has to be among them each time."""
        now = self._clock()
        kept: dict[str, _Standing] = {}
        cases = []
        for pod, verdict in judged:
            objected, lawful = verdict.objected, verdict.lawful
            if not objected and not pod.profile:
                cases.append(Case(pod, verdict))
                continue
            standing = self._standings.get(pod.uid)
            if standing is None or (standing.objected, standing.lawful) != (objected, lawful):
                standing = _Standing(objected, lawful, now)
            kept[pod.uid] = standing
            needed = OBJECTED_FOR if objected else LAWFUL_FOR
            cases.append(Case(pod, verdict, now >= standing.since + needed))
        self._standings = kept
        return cases
