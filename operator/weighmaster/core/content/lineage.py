"""Where a model comes from: its base models, their base models, and so on to the roots."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from weighmaster.core import references
from weighmaster.core.evidence import Evidence, GapReason, Unavailable
from weighmaster.core.globs import aliases

MAX_DEPTH = 8
MAX_ANCESTORS = 128
"""A merge of merges may have many; no known model has half as many."""


class Ancestor(Struct, frozen=True):
    """One ancestor: its reference, how many generations back, and what is known of it."""

    reference: str
    depth: int
    evidence: Evidence | None


class Lineage(Struct, frozen=True, kw_only=True):
    """The ancestors that could be followed, nearest first.

    ``unknown`` names references about which nothing is known (yet, or at all), ``cyclic`` those
    that are their own ancestor, ``cut`` is true where the caps ended it, and ``unreadable`` where
    a card names base models that cannot be read.
    """

    ancestors: tuple[Ancestor, ...] = ()
    unknown: tuple[str, ...] = ()
    cyclic: tuple[str, ...] = ()
    cut: bool = False
    unreadable: bool = False

    @property
    def complete(self) -> bool:
        """Whether every ancestor that anybody names is known. A cycle is a false claim."""
        return not (self.unknown or self.cyclic or self.cut or self.unreadable)

    @property
    def roots(self) -> tuple[str, ...]:
        """Ancestors that name no base models themselves."""
        return tuple(
            ancestor.reference
            for ancestor in self.ancestors
            if ancestor.evidence and not ancestor.evidence.card.base_models
        )


def trace(
    model: Evidence,
    known: Mapping[str, Evidence | Unavailable],
    *,
    max_depth: int = MAX_DEPTH,
    max_ancestors: int = MAX_ANCESTORS,
) -> Lineage:
    """The lineage of a model, as far as ``known`` (by canonical reference) goes.

    Call it again with more evidence to follow what is in ``unknown``; it ends because depth and
    number are capped. The same model under two spellings or revisions is one ancestor.
    """
    names = {identity(reference): reference for reference in known}
    start = identity(model.reference)
    edges: dict[str, tuple[str, ...]] = {start: _parents(model)}
    ancestors: list[Ancestor] = []
    unreadable = _unreadable(model)
    level: Sequence[str] = model.card.base_models
    for depth in range(1, max_depth + 1):
        following: list[str] = []
        for reference in level:
            this = identity(reference)
            if this in edges or len(ancestors) >= max_ancestors:
                continue
            found = known.get(names.get(this, reference))
            evidence = found if isinstance(found, Evidence) else None
            ancestors.append(Ancestor(reference, depth, evidence))
            edges[this] = _parents(evidence) if evidence else ()
            if evidence:
                unreadable |= _unreadable(evidence)
                following += evidence.card.base_models
        level = following
    return Lineage(
        ancestors=tuple(ancestors),
        unknown=tuple(ancestor.reference for ancestor in ancestors if not ancestor.evidence),
        cyclic=_cyclic(start, edges),
        cut=any(parent not in edges for parents in edges.values() for parent in parents),
        unreadable=unreadable,
    )


def _parents(model: Evidence) -> tuple[str, ...]:
    return tuple(identity(parent) for parent in model.card.base_models)


def _unreadable(model: Evidence) -> bool:
    return model.lacks(
        GapReason.LINEAGE_INCOMPLETE, GapReason.CARD_MALFORMED, GapReason.CONFIG_NOT_READ
    )


def _cyclic(start: str, edges: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Models that an ancestor of theirs derives from: where a walk over parents meets itself."""
    found: dict[str, None] = {}
    done: set[str] = set()
    path: dict[str, Iterator[str]] = {start: iter(edges[start])}
    while path:
        current = next(reversed(path))
        parent = next(path[current], None)
        if parent is None:
            done.add(current)
            del path[current]
        elif parent in path:
            found[parent] = None
        elif parent not in done:
            path[parent] = iter(edges.get(parent, ()))
    return tuple(found)


def identity(reference: str) -> str:
    """What two references of one model have in common: its location as the hub compares it."""
    return aliases(references.parse(reference))[-1]
