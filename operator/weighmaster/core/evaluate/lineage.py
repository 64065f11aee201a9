"""Lineage: whether the models that a model was made from satisfy a rule too."""

from collections.abc import Callable

from weighmaster.core.evaluate.evidence_checks import stated
from weighmaster.core.evaluate.records import read_reference, record_key
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.evaluate.verdict import Verdict, error, fail
from weighmaster.core.reasons import Reason

MAX_ANCESTORS = 32
"""Models in one lineage; the longest known have a handful."""


def lineage_verdict(subject: Subject, judge: Callable[[Subject], Verdict | None]) -> Verdict | None:
    """The first objection to an ancestor; None when all are known and nobody objects.

    ``judge`` is the rule's opinion of one model, None for no objection. A model that two others
    were made from, or a circle, is looked at once.
    """
    own = stated(subject)
    if isinstance(own, Verdict):
        return own
    seen = {record_key(subject.use.reference)}
    waiting = [own]
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
            key = record_key(ancestor.use.reference)
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > MAX_ANCESTORS:
                return fail(
                    Reason.LINEAGE_UNKNOWN, f"has more than {MAX_ANCESTORS} models in its lineage"
                )
            if ancestor.anonymous:
                return fail(Reason.LINEAGE_UNKNOWN, f"was made from {key}, which names no model")
            found = ancestor.record
            objection = judge(ancestor)
            if objection is None and found is not None and found.renamed is not None:
                # Cards go on naming what has moved; whose it is now counts as well.
                objection = judge(subject.of(read_reference(found.renamed)))
            if objection is not None:
                return Verdict(
                    objection.outcome,
                    objection.reason,
                    f"was made from {key}, which {objection.message}",
                )
            if found is None or found.pending:
                return error(
                    Reason.EVIDENCE_PENDING,
                    f"was made from {key}, of which evidence is being gathered",
                )
            if missing := found.missing(subject.now):
                return error(
                    Reason.EVIDENCE_NOT_AVAILABLE, f"was made from {key}, of which {missing}"
                )
            waiting.append(found)
    return None
