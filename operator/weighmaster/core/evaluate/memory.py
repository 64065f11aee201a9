"""Findings remembered within a snapshot: one workload asks the same several times.

A Deployment is judged in both stages, so is its ReplicaSet, and so is every pod, whose name is not
made yet. Evaluation is a function of the workload, its model uses, the snapshot and the time; time
only decides what has expired, so findings hold until the next thing expires.
"""

from collections.abc import Hashable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar

MAX_REMEMBERED = 1024
MAX_FINDINGS = 256
"""Findings of one evaluation that are worth their memory."""

NEVER = datetime.max.replace(tzinfo=UTC)

Found = TypeVar("Found")


class Memory(Generic[Found]):
    """Findings by what they are about. ``ends`` are the times at which something expires."""

    __slots__ = ("_ends", "_found", "_until")

    def __init__(self, ends: Iterable[datetime]) -> None:
        self._ends = tuple(ends)
        self._found: dict[Hashable, Sequence[Found]] = {}
        self._until: datetime | None = None

    def recall(self, about: Hashable, now: datetime) -> Sequence[Found] | None:
        """What was found at a time since which nothing has expired."""
        if self._until is not None and now >= self._until:
            self._found.clear()
            self._until = None
        return self._found.get(about)

    def keep(self, about: Hashable, found: Sequence[Found], now: datetime) -> None:
        """Remember what was found now."""
        if len(found) > MAX_FINDINGS:
            return
        if len(self._found) >= MAX_REMEMBERED:
            self._found.clear()
        if self._until is None:
            self._until = min((end for end in self._ends if end > now), default=NEVER)
        self._found[about] = found
