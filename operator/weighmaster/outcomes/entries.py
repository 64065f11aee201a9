"""Entries: what reports say of the references that ModelRecords are about. Pure.

An entry is the latest word of one namespace about one reference. What was refused counts against a
place only (a claim, a folder of a node), since what is fetched anew need not be wrong again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct, structs

from weighmaster.api.v1alpha1.record import RELATIVE_SCHEMES, ContentOutcome, ContentResult
from weighmaster.core.evaluate.records import read_reference, record_key
from weighmaster.core.mounted import Expectation, Result
from weighmaster.outcomes.reports import Report

MAX_ENTRIES = 32
"""As many as a record holds."""

CONFIRMED_EVERY = timedelta(hours=1)
"""How old an entry may be that pods go on to confirm: a thousand pods are not a thousand writes."""

MAX_TEXT = 1024


class Known(Struct, frozen=True):
    """A ModelRecord as far as it matters here."""

    name: str
    key: str
    entries: tuple[ContentResult, ...] = ()


class Word(Struct, frozen=True):
    """What one report says of one reference, by the key of its record.

    ``stays`` says that it is a place that outlives pods.
    """

    key: str
    reference: str
    entry: ContentResult
    stays: bool


class Due(Struct, frozen=True):
    """A record to write: the entries it should have.

    One without a name has to be created first; ``namespace`` is what its reference is relative to.
    """

    reference: str
    namespace: str
    name: str
    entries: tuple[ContentResult, ...]


def due(reports: Iterable[Report], records: Mapping[str, Known]) -> list[Due]:
    """The records that do not say yet what reports say, in order of their keys.

    Records are only made for places where something was refused: the next pods have to know that.
    """
    latest: dict[tuple[str, str], Word] = {}
    for report in reports:
        for word in words(report):
            at = (word.key, word.entry.namespace)
            before = latest.get(at)
            if before is None or _is_newer(word.entry, before.entry):
                latest[at] = word
    found: dict[str, list[Word]] = {}
    for word in latest.values():
        known = records.get(word.key)
        refused = word.stays and word.entry.outcome is ContentOutcome.REFUSED
        if (known is not None or refused) and not _is_said(word.entry, known):
            found.setdefault(word.key, []).append(word)
    return [_due(found[key], records.get(key)) for key in sorted(found)]


def words(report: Report) -> Iterator[Word]:
    """What a report says, of each reference once."""
    verdict = report.verdict
    for weighed in verdict.verified:
        expected = _expected(report, weighed.reference, weighed.store)
        if expected is not None:
            yield from _words(report, expected, ContentOutcome.VERIFIED)
    if verdict.result is Result.REFUSED:
        expected = _expected(report, verdict.reference, verdict.store)
        if expected is not None:
            yield from _words(report, expected, ContentOutcome.REFUSED)


def _expected(report: Report, reference: str, store: str) -> Expectation | None:
    """What the container was told of what it names; longer names come back cut."""
    for each in report.expected:
        if _is_named(each.reference, reference) and _is_named(each.store, store):
            return each
    return None


def _is_named(name: str, told: str) -> bool:
    return name == told or (told.endswith("...") and name.startswith(told[:-3]) and len(told) >= 16)


def _words(report: Report, expected: Expectation, outcome: ContentOutcome) -> Iterator[Word]:
    verdict = report.verdict
    entry = ContentResult(
        namespace=report.namespace, outcome=outcome, at=report.at, pod=report.pod.name
    )
    if outcome is ContentOutcome.REFUSED:
        entry = structs.replace(
            entry,
            reason=verdict.reason or None,
            message=verdict.message[:MAX_TEXT] or None,
            files=[name[:MAX_TEXT] for name in verdict.files],
        )
    for text in dict.fromkeys(filter(None, (expected.reference, expected.store))):
        reference = read_reference(text)
        if reference.known:
            key = record_key(reference, report.namespace)
            yield Word(key, reference.canonical, entry, stays=text == expected.store)


def _is_newer(one: ContentResult, other: ContentResult) -> bool:
    """Whether an entry is later; of two at one time, the one that refuses counts."""
    refuses = one.outcome is ContentOutcome.REFUSED
    return (one.at, refuses, one.pod) > (
        other.at,
        other.outcome is ContentOutcome.REFUSED,
        other.pod,
    )


def _is_said(entry: ContentResult, known: Known | None) -> bool:
    """Whether a record says the same already, or something later."""
    for stored in known.entries if known is not None else ():
        if stored.namespace != entry.namespace:
            continue
        if stored.at >= entry.at:
            return True
        same = stored.outcome is entry.outcome is ContentOutcome.VERIFIED
        return same and entry.at < stored.at + CONFIRMED_EVERY
    return False


def _due(said: Sequence[Word], known: Known | None) -> Due:
    entries = {entry.namespace: entry for entry in (known.entries if known is not None else ())}
    entries |= {word.entry.namespace: word.entry for word in said}
    # Those that keep pods out come first, so that no number of others crowds them out.
    ordered = sorted(
        entries.values(),
        key=lambda entry: (
            entry.outcome is not ContentOutcome.REFUSED,
            -entry.at.timestamp(),
            entry.namespace,
        ),
    )
    relative = read_reference(said[0].reference).scheme in RELATIVE_SCHEMES
    return Due(
        reference=said[0].reference,
        namespace=said[0].entry.namespace if relative else "",
        name=known.name if known is not None else "",
        entries=tuple(ordered[:MAX_ENTRIES]),
    )
