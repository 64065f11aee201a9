"""Checks: one function per kind of rule, from a model use to a verdict.

Each gives pass, fail, error or skip, never a bare truth value. Its message says what was found and
what to do, without naming the policy or the reference: ``respond`` puts those in front.
"""

from weighmaster.api.v1alpha1 import rules
from weighmaster.core.evaluate.evidence_checks import (
    content_format,
    license_check,
    publisher_signed,
    signature_check,
)
from weighmaster.core.evaluate.expressions import Expression
from weighmaster.core.evaluate.lineage import lineage_verdict
from weighmaster.core.evaluate.selectors import Selector
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.evaluate.verdict import (
    PASS,
    Check,
    Verdict,
    error,
    fail,
    few,
)
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Outcome, Setting
from weighmaster.errors import ExpressionError, PolicyError

_EVIDENCE = "evidence not available yet"


def compile_rule(rule: rules.Rule) -> Check:
    """The check of a rule; raises PolicyError when the rule cannot be used."""
    members = [name for name in rules.MEMBERS if getattr(rule, name) is not None]
    if len(members) != 1:
        raise PolicyError(f'rule "{rule.name}" needs exactly one of {", ".join(rules.MEMBERS)}')
    if rule.code:
        return _code(rule.code)
    if rule.expression:
        return _expression(rule.name, rule.expression)
    if rule.reference:
        return _reference(rule.reference)
    if rule.origin:
        return _origin(rule.origin)
    if rule.format:
        return _format(rule.format)
    if rule.signature:
        return signature_check(rule.signature)
    if rule.license:
        return license_check(rule.license)
    return _needs_evidence(members[0])


def _needs_evidence(member: str) -> Check:
    verdict = error(Reason.EVIDENCE_NOT_AVAILABLE, f"{member}: {_EVIDENCE}")
    return lambda _: verdict


def _reference(rule: rules.ReferenceRule) -> Check:
    known = rules.ReferenceRequirement.KNOWN in rule.require
    pinned = rules.ReferenceRequirement.PINNED in rule.require

    def check(subject: Subject) -> Verdict:
        reference = subject.use.reference
        if known and not reference.known:
            return fail(
                Reason.WEIGHTS_NOT_NAMED,
                "serves weights that the manifest does not name; name them by a literal value",
            )
        if pinned and not reference.pinned:
            return fail(Reason.NOT_PINNED, f"can change after admission; {_how_to_pin(subject)}")
        return PASS

    return check


def _how_to_pin(subject: Subject) -> str:
    match subject.use.reference.scheme:
        case "hf" | "modelscope":
            return "name a commit, such as --revision <40 hex digits>"
        case "oci" | "nim" | "aim" | "image-embedded":
            return "name a digest, such as image@sha256:<64 hex digits>"
        case scheme:
            return f"{scheme} references cannot be pinned, use one that can"


def _origin(rule: rules.OriginRule) -> Check:
    lists = rule.publishers or rules.PublisherLists()
    countries = rule.jurisdictions or rules.JurisdictionLists()
    if not (rule.publishers or rule.publisher_selector or rule.jurisdictions):
        raise PolicyError("an origin rule needs publishers, publisherSelector or jurisdictions")
    for part in (rule.publishers, rule.jurisdictions):
        if part and not (part.allow or part.deny):
            raise PolicyError("allow and deny are both empty, which would check nothing")
    selector = Selector(rule.publisher_selector) if rule.publisher_selector else None
    allowed = f"allowed: {few(lists.allow)}"
    signed = rule.assurance is rules.Assurance.SIGNATURE
    lineage = rule.lineage is rules.Lineage.INCLUDE

    def judge(subject: Subject) -> Verdict | None:
        """The objection to one model by its namespace; None if there is none."""
        verdict = (
            _publisher_lists(lists, allowed, subject)
            or _publisher_selector(selector, subject)
            or _jurisdictions(countries, subject)
        )
        if verdict and verdict.outcome is Outcome.FAIL:
            return verdict
        for name in lists.deny:
            if name not in subject.snapshot.publishers_by_name:
                return error(
                    Reason.PUBLISHER_MISSING,
                    f'may be of a denied publisher: there is no ModelPublisher "{name}"',
                )
        return verdict

    def check(subject: Subject) -> Verdict:
        if subject.anonymous:
            return error(Reason.UNDECIDABLE, "has no known publisher, its weights are not named")
        if subject.proposed:
            return fail(
                Reason.PUBLISHER_UNKNOWN,
                "is a pull request's content, which anybody may write; name a commit of a branch",
            )
        objections = [judge(subject)]
        if signed and not _fails(objections):
            objections.append(publisher_signed(subject))
        if lineage and not _fails(objections):
            objections.append(lineage_verdict(subject, judge))
        return _strictest(objections)

    return check


def _fails(verdicts: list[Verdict | None]) -> bool:
    return any(verdict is not None and verdict.outcome is Outcome.FAIL for verdict in verdicts)


def _strictest(verdicts: list[Verdict | None]) -> Verdict:
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


def _format(rule: rules.FormatRule) -> Check:
    allow = frozenset(rule.allow)
    allowed = f"allowed: {few(sorted(allow))}"

    def check(subject: Subject) -> Verdict:
        found = subject.format
        if found is None:
            return content_format(allow, allowed, subject)
        if found not in allow:
            return fail(Reason.FORMAT_NOT_ALLOWED, f"is {found} by its name ({allowed})")
        return PASS

    return check


def _code(rule: rules.CodeRule) -> Check:
    remote = rule.remote is rules.Permission.FORBID
    adapters = rule.runtime_adapters is rules.Permission.FORBID
    overrides = rule.origin_overrides is rules.Permission.FORBID
    if not (remote or adapters or overrides):
        raise PolicyError("a code rule that forbids nothing would check nothing")

    def check(subject: Subject) -> Verdict:
        process = subject.use.process
        if remote and process.remote_code is Setting.ON:
            return fail(
                Reason.REMOTE_CODE, "may run code that comes with it; remove trust-remote-code"
            )
        if adapters and process.runtime_adapters is Setting.ON:
            return fail(
                Reason.RUNTIME_ADAPTERS,
                "takes adapters over its API at run time; name them in the manifest instead",
            )
        if overrides and process.origin_overrides:
            return fail(
                Reason.ORIGIN_OVERRIDDEN,
                f"is fetched from elsewhere: remove {few(process.origin_overrides)}",
            )
        for watched, setting, name in (
            (remote, process.remote_code, "remote code"),
            (adapters, process.runtime_adapters, "run-time adapters"),
        ):
            if watched and setting is Setting.UNKNOWN:
                return error(
                    Reason.SETTING_UNKNOWN,
                    f"whether it takes {name} is set by a value admission cannot see; write it out",
                )
        return PASS

    return check


def _expression(name: str, rule: rules.ExpressionRule) -> Check:
    try:
        expression = Expression(rule.cel)
    except ExpressionError as problem:
        raise ExpressionError(f'rule "{name}": {problem}') from None

    def check(subject: Subject) -> Verdict:
        try:
            holds = expression.evaluate(subject)
        except KeyError:
            return error(Reason.EVIDENCE_NOT_AVAILABLE, f"{rule.message} ({_EVIDENCE})")
        except ExpressionError as problem:
            return error(Reason.EXPRESSION_ERROR, f"{rule.message} ({problem})")
        return PASS if holds else fail(Reason.EXPRESSION_FALSE, rule.message)

    return check
