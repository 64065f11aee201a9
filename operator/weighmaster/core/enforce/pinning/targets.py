"""Targets: the immutable reference that is to be written for a use, if there is one yet."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, structs

from weighmaster.api.v1alpha1.record import EvidenceState
from weighmaster.core import references
from weighmaster.core.decide import Decision
from weighmaster.core.detect import detect
from weighmaster.core.enforce.occasion import Occasion
from weighmaster.core.enforce.pinning import marks
from weighmaster.core.evaluate import evaluate
from weighmaster.core.evaluate.records import is_gathered, read_reference, record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.globs import fold
from weighmaster.core.revisions import Standing
from weighmaster.core.values import Action, ModelReference, ModelUse, Outcome


class Target(Struct, frozen=True):
    """What a use is to be pinned to.

    ``pinned`` is None as long as that is not known; then ``awaits`` is the reference whose record
    will tell, if it can, and ``problem`` says what is in the way.
    """

    pinned: ModelReference | None = None
    awaits: str | None = None
    problem: str = ""


def resolve(use: ModelUse, snapshot: Snapshot, now: datetime) -> Target:
    """The target of a use by the record of its reference."""
    reference = use.reference
    key = record_key(reference)
    record = snapshot.records.get(key)
    if record is None:
        return Target(awaits=key) if is_gathered(reference) else Target(problem=_NOWHERE)
    see = f"see: kubectl get modelrecord {record.name}"
    if record.awaited(now):
        return Target(awaits=key)
    if record.status.state is EvidenceState.UNAVAILABLE:
        return Target(awaits=key, problem=f"{record.missing(now)} ({see})")
    if missing := record.missing(now):
        return Target(problem=f"{missing} ({see})")
    if record.renamed is not None:
        return Target(problem=f"it is served under another name, write {record.renamed} ({see})")
    if record.standing is not Standing.OWN:
        return Target(problem=f"it may be a pull request's, which anybody could write ({see})")
    resolved = read_reference(record.status.resolved or "")
    pinned = _at(reference, resolved.revision)
    if pinned is None or not resolved.pinned or fold(resolved.location) != fold(reference.location):
        return Target(problem=f"its record does not say what it stands for ({see})")
    return Target(pinned)


_NOWHERE = "nobody can be asked what it stands for"


def _at(reference: ModelReference, revision: str | None) -> ModelReference | None:
    """A reference at a revision or digest, and otherwise as the manifest spells it."""
    if revision is None:
        return None
    spelt = reference.canonical.partition(":")[2].removeprefix("//")
    image, _, path = (
        spelt.partition("#") if reference.scheme == "image-embedded" else (spelt, "", "")
    )
    image = image.partition("@")[0]
    match reference.scheme:
        case "hf":
            repository = reference.location.partition("://")[2]
            return references.hugging_face(repository, revision, reference.file)
        case "oci":
            return references.image(f"{image}@{revision}")
        case "image-embedded":
            return references.image_embedded(f"{image}@{revision}#{path}".rstrip("#"))
    return None


class Former:
    """What was written into the same object before."""

    def __init__(self, occasion: Occasion) -> None:
        self._notes = marks.noted(occasion.old)
        uses = detect(occasion.old) if self._notes else ()
        self.written = {
            use.path: use for use in uses if use.path in self._notes and use.reference.pinned
        }
        """The uses that were pinned, by their fields."""
        self._moving = marks.asks_again(occasion.document, occasion.old)

    def of(self, use: ModelUse) -> ModelReference | None:
        """What was written for a use, if one thing was and nobody asks for another."""
        revisions = {
            before.reference.revision
            for path, before in self.written.items()
            if self._notes[path].canonical == use.reference.canonical
            and (before.process.container, before.role) == (use.process.container, use.role)
        }
        if self._moving or len(revisions) != 1:
            return None
        return _at(use.reference, revisions.pop())


def choose(
    use: ModelUse, former: Former, decision: Decision, snapshot: Snapshot, now: datetime
) -> Target:
    """The target of a use: what was written before, unless policies object to that."""
    before = former.of(use)
    if before is None:
        return resolve(use, snapshot, now)
    candidate = structs.replace(use, reference=before)
    if _is_acceptable(candidate, decision, snapshot, now):
        return Target(before)
    found = resolve(use, snapshot, now)
    return found if found.pinned is not None else Target(before)


def _is_acceptable(use: ModelUse, decision: Decision, snapshot: Snapshot, now: datetime) -> bool:
    findings = evaluate(decision.workload, (use,), snapshot, now)
    return not any(
        finding.outcome is Outcome.FAIL and finding.action >= Action.SANDBOX for finding in findings
    )


def again(
    occasion: Occasion, former: Former, decision: Decision, snapshot: Snapshot
) -> tuple[Mapping[int, ModelUse], Mapping[int, ModelUse]]:
    """Pinned uses that are to be pinned anew, as they ask for it, by place.

    First those of whom somebody asks it (``weighmaster.dev/repin``). Then those that have another
    model's revision: a merge puts a new name beside what was written for the one before.
    """
    moving, left = {}, {}
    asked_again = marks.asks_again(occasion.document, occasion.old)
    notes = marks.noted(occasion.document)
    for index, use in enumerate(decision.uses):
        reference = use.reference
        if not reference.pinned:
            continue
        asked, before = notes.get(use.path), former.written.get(use.path)
        if asked_again and asked is not None and asked.location == reference.location:
            moving[index] = structs.replace(use, reference=asked)
        elif before is not None and _is_left(reference, before.reference):
            left[index] = structs.replace(use, reference=_at_head(reference))
    wished = {
        index
        for index, use in {**moving, **left}.items()
        for finding in evaluate(decision.workload, (use,), snapshot, occasion.now)
        if finding.rewrite and finding.action >= Action.SANDBOX
    }
    return (
        {index: use for index, use in moving.items() if index in wished},
        {index: use for index, use in left.items() if index in wished},
    )


def _is_left(now: ModelReference, before: ModelReference) -> bool:
    return now.location != before.location and now.revision == before.revision


def _at_head(reference: ModelReference) -> ModelReference:
    if reference.scheme != "hf":
        return references.parse(reference.location)
    return references.hugging_face(reference.location[5:], None, reference.file)


def at_default_branch(reference: ModelReference) -> ModelReference | None:
    """A hub's repository at the branch that it is loaded at when none is named."""
    return _at(reference, "main") if reference.scheme == "hf" else None
