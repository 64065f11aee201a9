"""Collecting model uses."""

from collections.abc import Iterable, Mapping

from msgspec import structs

from weighmaster.core import references
from weighmaster.core.detect.budget import Budget
from weighmaster.core.detect.paths import Path, render
from weighmaster.core.values import ModelReference, ModelUse, Place, Process, Role

MAX_USES = 2000
"""Uses that one object may have; more are one further use with unknown weights."""


class Sink:
    """The uses found so far, each once."""

    __slots__ = ("_named", "_seen", "budget", "full", "uses")

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._named: set[tuple[str, Role]] = set()
        self.uses: list[ModelUse] = []
        self._seen: set[tuple[str, Role, str, str | None]] = set()
        self.full = False

    def add(
        self, reference: ModelReference, role: Role, path: Path, process: Process, reason: str
    ) -> None:
        """Add a use unless the same field has already given it to the same container."""
        if reference.scheme == "http":
            process = with_override(process, "http")
        self._keep(ModelUse(reference, role, render(path), process, reason))

    def _keep(self, use: ModelUse) -> None:
        key = (use.reference.canonical, use.role, use.path, use.process.container)
        if key in self._seen:
            return
        if len(self.uses) >= MAX_USES:
            self._overflow(use.process)
            return
        self._seen.add(key)
        self._named.add(key[:2])
        self.uses.append(use)

    def place(self, start: int, places: Mapping[tuple[str | None, str], Iterable[Place]]) -> None:
        """Say where the uses from ``start`` on are found, by container and reference."""
        if not places:
            return
        for index in range(start, len(self.uses)):
            use = self.uses[index]
            found = places.get((use.process.container, use.reference.canonical))
            if found:
                self.uses[index] = structs.replace(use, places=tuple(found))

    def place_later(self, start: int, reference: ModelReference) -> None:
        """Say of the uses of a reference from ``start`` on that only pods tell where it lies."""
        for index in range(start, len(self.uses)):
            use = self.uses[index]
            if use.reference == reference and not use.places:
                self.uses[index] = structs.replace(use, placed_later=True)

    def take(self, other: "Sink", role: Role) -> None:
        """Add what another sink has found; what it calls a base model is ``role`` here."""
        for use in other.uses:
            actual = role if use.role is Role.BASE else use.role
            self._keep(structs.replace(use, role=actual))

    def _overflow(self, process: Process) -> None:
        if self.full:
            return
        self.full = True
        self.uses.append(
            ModelUse(
                reference=references.unresolved("more models than one object may name"),
                role=Role.BASE,
                path="",
                process=process,
                reason="too many references",
            )
        )

    def names(self, reference: ModelReference, role: Role) -> bool:
        """Whether some use already has this reference in this role."""
        return (reference.canonical, role) in self._named


def with_override(process: Process, name: str) -> Process:
    """``process`` with one more origin override."""
    if name in process.origin_overrides:
        return process
    return structs.replace(process, origin_overrides=(*process.origin_overrides, name))
