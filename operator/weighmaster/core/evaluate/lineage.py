"""Lineage: whether the models that a model was made from satisfy a rule too."""

from collections.abc import Callable

from weighmaster.api.v1alpha1.rules import AssertionScope
from weighmaster.core.evaluate.evidence_checks import fetchable, stated
from weighmaster.core.evaluate.records import Record, read_reference
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.evaluate.verdict import Verdict, error, fail
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Outcome

MAX_ANCESTORS = 32
"""Models in one lineage; the longest known have a handful."""

Judge = Callable[[Subject], Verdict | None]
"""A rule's opinion of one model by its name, None for no objection."""

Assure = Callable[[Subject, Record], Verdict | None]
"""A rule's opinion of one model by what is known of it, None for no objection."""


def lineage_verdict(
    subject: Subject, judge: Judge, assure: Assure, assertions: AssertionScope
) -> Verdict | None:
    """The first failure of an ancestor, else the first open question; None when there is neither.

    A model that two others were made from, or a circle, is looked at once. Evidence about an
    ancestor is about what it is now: cards name no commits, and what it was then nobody knows.
    """
    own = stated(subject, assertions)
    if isinstance(own, Verdict):
        return own
    key = subject.key
    seen = {key}
    waiting = [own]
    open_question: Verdict | None = None
    while waiting:
        record = waiting.pop()
        if not record.status.lineage_known:
            return fail(
                Reason.LINEAGE_UNKNOWN,
                f"has an unknown lineage: {record.reference} does not say what it was made from;"
                f" assert its base models in ModelRecord {record.name}",
            )
        for text in record.status.base_models:
            ancestor = subject.of(read_reference(text))
            name = ancestor.key
            if name in seen:
                continue
            seen.add(name)
            if len(seen) > MAX_ANCESTORS:
                return fail(
                    Reason.LINEAGE_UNKNOWN, f"has more than {MAX_ANCESTORS} models in its lineage"
                )
            if ancestor.anonymous:
                return fail(Reason.LINEAGE_UNKNOWN, f"was made from {name}, which names no model")
            objection = _of_ancestor(ancestor, judge, assure) or _missing(ancestor, assertions, key)
            if objection is None:
                waiting += filter(None, [ancestor.record])
            elif objection.outcome is Outcome.FAIL:
                return objection
            else:
                open_question = open_question or objection
    return open_question


def _of_ancestor(ancestor: Subject, judge: Judge, assure: Assure) -> Verdict | None:
    """The rule's objection to an ancestor, as one to what was made from it."""
    record = ancestor.record
    known = record is not None and record.missing(ancestor.now) is None
    objection = judge(ancestor)
    if objection is None and record is not None and record.renamed is not None:
        # Cards go on naming what has moved; whose it is now counts as well.
        objection = judge(ancestor.of(read_reference(record.renamed)))
    if objection is None and record is not None and known:
        objection = assure(ancestor, record)
    if objection is None:
        return None
    name = ancestor.key
    return Verdict(
        objection.outcome,
        objection.reason,
        f"was made from {name}, which {objection.message}",
        objection.awaits,
    )


def _missing(ancestor: Subject, assertions: AssertionScope, descendant: str) -> Verdict | None:
    """The open question that an ancestor is of which nothing is known; None where something is."""
    record, name = ancestor.record, ancestor.key
    if not fetchable(ancestor):
        asserted = stated(ancestor, assertions)
        if isinstance(asserted, Record):
            return None
        message = f"was made from {name}, which {asserted.message}"
        return Verdict(asserted.outcome, asserted.reason, message, asserted.awaits)
    if record is None:  # the controller makes one, since there is one of what was made from it
        return error(
            Reason.EVIDENCE_PENDING,
            f"was made from {name}, of which evidence is being gathered",
            descendant,
        )
    missing = record.missing(ancestor.now)
    if missing is None:
        return None
    if record.awaited(ancestor.now):
        return error(Reason.EVIDENCE_PENDING, f"was made from {name}, of which {missing}", name)
    return error(Reason.EVIDENCE_NOT_AVAILABLE, f"was made from {name}, of which {missing}")
