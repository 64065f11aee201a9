"""Rewriting: the pinned forms are written, read again, and compared, use by use.

What detection does not read back exactly is not written: every use has the role, process, reason
and place that it had, a target has the reference that was to be written, and every other use the
one that it had. So a mistake in a form, or something that this package does not understand, makes a
reference that cannot be pinned here, and never another object than people asked for.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from weighmaster.core.detect import detect
from weighmaster.core.enforce.pinning.edits import Conflict, Edit, apply, moved
from weighmaster.core.enforce.pinning.places import parse
from weighmaster.core.enforce.pinning.plans import Document, plan
from weighmaster.core.values import ModelReference, ModelUse, Place

ROUNDS = 2
"""Attempts: with all targets, then without those that were not read back as they should be.

Each reads the whole object once, which may take its time.
"""


class Rewritten(Struct, frozen=True):
    """An object with references pinned.

    ``paths`` are the fields of those that are pinned now, by the place of the use before; empty
    where it is no use of its own any more.
    """

    document: Document
    uses: tuple[ModelUse, ...]
    paths: Mapping[int, str]


def rewrite(
    document: Document, uses: tuple[ModelUse, ...], targets: Mapping[int, ModelReference]
) -> Rewritten:
    """The object with as many targets written as can be; they are by place among ``uses``."""
    plans: dict[int, list[Edit]] = {}
    for index, pinned in targets.items():
        edits = plan(document, uses[index], pinned)
        if edits:
            plans[index] = edits
    for _ in range(ROUNDS):
        if not plans:
            break
        edits = [edit for planned in plans.values() for edit in planned]
        try:
            made = apply(document, edits)
        except Conflict:
            break
        found = detect(made)
        comparison = _Comparison(uses, targets, frozenset(plans), edits)
        comparison.compare(found)
        if not comparison.wrong:
            return Rewritten(made, found, comparison.pinned)
        plans = {index: plans[index] for index in plans if index not in comparison.wrong}
    return Rewritten(document, uses, {})


class _Comparison:
    """What is read of an object before and after, use by use, in order.

    ``wrong`` gathers the planned targets to leave out, ``pinned`` the fields of targets that are
    pinned, those included that only stand for what was written elsewhere.
    """

    def __init__(
        self, before: Sequence[ModelUse], targets: Mapping[int, ModelReference],
        planned: frozenset[int], edits: Sequence[Edit],
    ) -> None:  # fmt: skip
        self.before = before
        self.targets = targets
        self.planned = planned
        self.edits = edits
        self.wrong: set[int] = set()
        self.pinned: dict[int, str] = {}
        self._written = {
            before[index].reference.canonical: targets[index].canonical for index in planned
        }

    def compare(self, after: Sequence[ModelUse]) -> None:
        """Compare with what is read now."""
        position = 0
        for index, old in enumerate(self.before):
            new = after[position] if position < len(after) else None
            if new is not None and self._is_as_expected(index, old, new):
                position += 1
                if index in self.targets and new.reference.canonical != old.reference.canonical:
                    self.pinned[index] = new.path
            elif self._is_merged(index, old, after):
                self.pinned[index] = ""
            else:
                self.wrong |= self._blamed(index, old)
                position += 1
        if position != len(after):
            self.wrong |= self.planned

    def _is_as_expected(self, index: int, old: ModelUse, new: ModelUse) -> bool:
        now, before = new.reference.canonical, old.reference.canonical
        if index in self.planned:
            expected = now == self.targets[index].canonical
        else:
            # Or the same model by another field, which stands for the one that was written.
            expected = now == before or now == self._written.get(before)
        return expected and _is_same_use(old, new, self.edits)

    def _is_merged(self, index: int, old: ModelUse, after: Sequence[ModelUse]) -> bool:
        """Whether what was loaded beside the model, at another revision, is the model's own now."""
        return (
            index in self.planned
            and old.reason.endswith((" tokenizer", " --code-revision"))
            and any(
                use.reference.canonical == self.targets[index].canonical
                and use.process == old.process
                for use in after
            )
        )

    def _blamed(self, index: int, changed: ModelUse) -> frozenset[int]:
        """The targets that have changed a use: itself, those of its container, or all."""
        if index in self.planned:
            return frozenset({index})
        container = changed.process.container
        near = {each for each in self.planned if self.before[each].process.container == container}
        return frozenset(near or self.planned)


def _is_same_use(old: ModelUse, new: ModelUse, edits: Sequence[Edit]) -> bool:
    if (old.role, old.process, old.reason) != (new.role, new.process, new.reason):
        return False
    if _places(old) != _places(new):
        return False
    keys, now = parse(old.path), parse(new.path)
    if keys is None or now is None:
        return old.path == new.path
    return moved(keys, edits) == now


def _places(use: ModelUse) -> list[Place]:
    """Where weights lie; a volume that is the model itself has its name from it."""
    own = use.reference.canonical
    return [
        structs.replace(place, store="") if place.store == own else place for place in use.places
    ]
