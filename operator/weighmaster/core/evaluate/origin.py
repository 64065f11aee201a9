"""The check of an ``origin`` rule: whose a model is, and how well that is known.

By its name a model is of the publisher in whose namespace it lies. What assures that the name is
right is another matter: a signature of the publisher's, or else that the content was put there by
whoever may write to the repository. Hubs also serve what anybody proposes, under the same name.
"""

from collections.abc import Sequence

from msgspec import structs

from weighmaster.api.v1alpha1 import content, rules
from weighmaster.core.evaluate.evidence_checks import (
    evidence,
    found,
    nothing_fetched,
    publisher_ids,
    see,
    verifying,
)
from weighmaster.core.evaluate.lineage import lineage_verdict
from weighmaster.core.evaluate.records import Record, read_reference
from weighmaster.core.evaluate.selectors import Selector
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.evaluate.verdict import PASS, Check, Verdict, error, fail, few
from weighmaster.core.hub_urls import repository_of
from weighmaster.core.reasons import Reason
from weighmaster.core.revisions import Standing
from weighmaster.core.values import Outcome, Setting
from weighmaster.errors import PolicyError

_PROPOSAL = fail(
    Reason.PUBLISHER_UNKNOWN,
    "is a pull request's content, or of no branch or tag, so that anybody may have written it; name"
    " a commit of a branch",
)


_PLAIN_HTTP = fail(
    Reason.PUBLISHER_UNKNOWN,
    "is fetched without TLS, so that anybody on the way may answer for the hub; use https",
)


def origin_check(rule: rules.OriginRule) -> Check:
    """The check of a rule; raises PolicyError when it would check nothing."""
    if not (rule.publishers or rule.publisher_selector or rule.jurisdictions):
        raise PolicyError("an origin rule needs publishers, publisherSelector or jurisdictions")
    for part in (rule.publishers, rule.jurisdictions):
        if part and not (part.allow or part.deny):
            raise PolicyError("allow and deny are both empty, which would check nothing")
    return _Origin(rule).check


class _Origin:
    """One rule. Its methods give an objection, or None where there is none."""

    def __init__(self, rule: rules.OriginRule) -> None:
        self._lists = rule.publishers or rules.PublisherLists()
        self._allowed = f"allowed: {few(self._lists.allow)}"
        self._countries = rule.jurisdictions or rules.JurisdictionLists()
        self._selector = Selector(rule.publisher_selector) if rule.publisher_selector else None
        self._signed = rule.assurance is rules.Assurance.SIGNATURE
        self._lineage = rule.lineage is rules.Lineage.INCLUDE
        self._assertions = rule.assertions
        # A rule that only denies publishers lets strangers through: it need not know who wrote it.
        self._believes_names = bool(self._lists.allow or self._selector or rule.jurisdictions)

    def check(self, subject: Subject) -> Verdict:
        """The verdict on a model use."""
        if subject.anonymous:
            return error(Reason.UNDECIDABLE, "has no known publisher, its weights are not named")
        if subject.standing_by_name is Standing.PROPOSED:
            return _PROPOSAL
        objections = [self._judge(subject)]
        if not _fails(objections):
            objections.append(self._assure(subject))
        if self._believes_names and not _fails(objections):
            objections.append(self._code(subject))
        if self._lineage and not _fails(objections):
            objections.append(self._of_lineage(subject))
        return _strictest(objections)

    def _of_lineage(self, subject: Subject) -> Verdict | None:
        """To the models that it was made from."""
        return lineage_verdict(subject, self._judge, self._assure_ancestor, self._assertions)

    def _judge(self, subject: Subject) -> Verdict | None:
        """To one model by its namespace."""
        verdict = (
            _publisher_lists(self._lists, self._allowed, subject)
            or _publisher_selector(self._selector, subject)
            or _jurisdictions(self._countries, subject)
        )
        if verdict and verdict.outcome is Outcome.FAIL:
            return verdict
        for name in self._lists.deny:
            if name not in subject.snapshot.publishers_by_name:
                return error(
                    Reason.PUBLISHER_MISSING,
                    f'may be of a denied publisher: there is no ModelPublisher "{name}"',
                )
        return verdict

    def _assure(self, subject: Subject) -> Verdict | None:
        """To believing the name of what is loaded."""
        if self._signed:
            record = evidence(subject)
            return record if isinstance(record, Verdict) else _signed(record, subject)
        if not self._believes_names:
            return None
        if subject.use.reference.scheme == "http" and repository_of(subject.use.reference):
            return _PLAIN_HTTP
        if subject.standing_by_name is Standing.OWN:
            return None
        record = found(subject)
        if isinstance(record, Record):
            return _placed(record)
        return structs.replace(
            record,
            message=f"is named by a commit, which may be a pull request's: {record.message}",
        )

    def _code(self, subject: Subject) -> Verdict | None:
        """To code of other repositories, which the model names and the server may run."""
        if subject.use.process.remote_code is Setting.OFF:
            return None
        record = found(subject)
        if isinstance(record, Verdict):
            message = f"may run code that comes with it, from wherever it names: {record.message}"
            return structs.replace(record, message=message)
        for text in record.status.foreign_code:
            if objection := self._judge(subject.of(read_reference(text))):
                message = f"may run code from {text}, which {objection.message}"
                return structs.replace(objection, message=message)
        if record.code_unknown:
            return error(
                Reason.EVIDENCE_NOT_AVAILABLE,
                "may run code from another repository: what it names could not all be read"
                f" ({see(record)})",
            )
        return None

    def _assure_ancestor(self, subject: Subject, record: Record) -> Verdict | None:
        """To believing the name of an ancestor, by what is there now under it."""
        if self._signed:
            return nothing_fetched(subject) if record.asserted else _signed(record, subject)
        return _placed(record) if self._believes_names else None


def _placed(record: Record) -> Verdict | None:
    """The objection to content of which nobody knows that the repository's owner put it there."""
    match record.standing:
        case Standing.PROPOSED:
            return _PROPOSAL
        case Standing.UNKNOWN:
            return error(
                Reason.EVIDENCE_NOT_AVAILABLE,
                "may be a pull request's content, which anybody may write: whether it is on a"
                f" branch could not be found out ({see(record)})",
            )
    return None


def _signed(record: Record, subject: Subject) -> Verdict | None:
    """The objection unless an identity of one of the model's own publishers signed it.

    Files that nobody signed are believed by their place, as without a signature.
    """
    results = [record.authorities.get(key) for key in publisher_ids(subject)]
    verified = [result for result in results if result is not None and result.verified]
    if any(result.coverage is content.Coverage.ALL for result in verified):
        return None
    if any(result is None for result in results):
        return verifying(record)
    if verified:
        return _placed(record)
    told = [result.message for result in results if result is not None and result.message]
    seen = "; ".join(dict.fromkeys(told)) or "its publisher has no identities, see ModelPublisher"
    return fail(
        Reason.NOT_SIGNED,
        f"is not signed by an identity of its publisher ({seen}; {see(record)})",
    )


def _fails(verdicts: Sequence[Verdict | None]) -> bool:
    return any(verdict is not None and verdict.outcome is Outcome.FAIL for verdict in verdicts)


def _strictest(verdicts: Sequence[Verdict | None]) -> Verdict:
    """The first failure, else the first error, else a pass."""
    for outcome in (Outcome.FAIL, Outcome.ERROR):
        for verdict in verdicts:
            if verdict is not None and verdict.outcome is outcome:
                return verdict
    return PASS


def _publisher_lists(lists: rules.PublisherLists, allowed: str, subject: Subject) -> Verdict | None:
    for publisher in subject.publishers:
        if publisher.name in lists.deny:
            return fail(Reason.PUBLISHER_DENIED, f'is of the denied publisher "{publisher.name}"')
    if not lists.allow:
        return None
    if not subject.publishers:
        missing = [n for n in lists.allow if n not in subject.snapshot.publishers_by_name]
        if missing:
            return fail(
                Reason.PUBLISHER_UNKNOWN,
                f"is in no known publisher's namespace ({allowed}; there is no ModelPublisher"
                f" {few(missing)})",
            )
        return fail(Reason.PUBLISHER_UNKNOWN, f"is in no known publisher's namespace ({allowed})")
    for publisher in subject.publishers:
        if publisher.name not in lists.allow:
            return fail(
                Reason.PUBLISHER_NOT_ALLOWED, f'is of publisher "{publisher.name}" ({allowed})'
            )
    return None


def _publisher_selector(selector: Selector | None, subject: Subject) -> Verdict | None:
    if selector is None:
        return None
    if not subject.publishers:
        return fail(Reason.PUBLISHER_UNKNOWN, "is in no known publisher's namespace")
    for publisher in subject.publishers:
        if not selector.matches(publisher.labels):
            return fail(
                Reason.PUBLISHER_NOT_ALLOWED,
                f'is of publisher "{publisher.name}", whose labels the rule does not select',
            )
    return None


def _jurisdictions(countries: rules.JurisdictionLists, subject: Subject) -> Verdict | None:
    if not (countries.allow or countries.deny):
        return None
    for publisher in subject.publishers:
        country, name = publisher.jurisdiction, publisher.name
        if country is not None and country in countries.deny:
            return fail(
                Reason.JURISDICTION_DENIED, f'is of publisher "{name}" in {country}, denied'
            )
        if country is not None and countries.allow and country not in countries.allow:
            return fail(
                Reason.JURISDICTION_NOT_ALLOWED,
                f'is of publisher "{name}" in {country} (allowed: {few(countries.allow)})',
            )
    if not subject.publishers:
        return error(Reason.JURISDICTION_UNKNOWN, "is in no known publisher's namespace")
    for publisher in subject.publishers:
        if publisher.jurisdiction is None:
            return error(
                Reason.JURISDICTION_UNKNOWN,
                f'is of publisher "{publisher.name}", whose jurisdiction is not recorded',
            )
    return None
