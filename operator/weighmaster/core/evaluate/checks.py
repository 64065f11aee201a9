"""Checks: one function per kind of rule, from a model use to a verdict.

Each gives pass, fail, error or skip, never a bare truth value. Its message says what was found and
what to do, without naming the policy or the reference: ``respond`` puts those in front.
"""

from msgspec import structs

from weighmaster.api.v1alpha1 import rules
from weighmaster.core.evaluate.attestation_check import attestation_check
from weighmaster.core.evaluate.content_checks import content_check, signed_in_place
from weighmaster.core.evaluate.evidence_checks import (
    content_format,
    fetchable,
    license_check,
    signature_check,
)
from weighmaster.core.evaluate.expressions import Expression
from weighmaster.core.evaluate.origin import origin_check
from weighmaster.core.evaluate.published import Keys, with_keys
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


def compile_rule(rule: rules.Rule, keys: Keys | None = None) -> Check:
    """The check of a rule; raises PolicyError when the rule cannot be used.

    ``keys`` are what was published of the key material that its authorities keep elsewhere.
    """
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
        return origin_check(rule.origin)
    if rule.format:
        return _format(rule.format)
    if rule.signature:
        return _signature(rule.signature, keys or {})
    if rule.license:
        return license_check(rule.license)
    if rule.content:
        content = rule.content
        authorities = with_keys(content.authorities, keys or {})
        return content_check(structs.replace(content, authorities=authorities))
    if rule.attestation:
        return _attestation(rule.name, rule.attestation)
    return _needs_evidence(members[0])


def _needs_evidence(member: str) -> Check:
    verdict = error(Reason.EVIDENCE_NOT_AVAILABLE, f"{member}: {_EVIDENCE}")
    return lambda _: verdict


def _signature(rule: rules.SignatureRule, keys: Keys) -> Check:
    by_evidence = signature_check(rule)  # records know authorities by how they are written
    written_out = structs.replace(rule, authorities=with_keys(rule.authorities, keys))

    def check(subject: Subject) -> Verdict:
        if fetchable(subject):
            return by_evidence(subject)
        return signed_in_place(written_out, subject) or by_evidence(subject)

    return check


def _reference(rule: rules.ReferenceRule) -> Check:
    known = rules.ReferenceRequirement.KNOWN in rule.require
    pinned = rules.ReferenceRequirement.PINNED in rule.require
    rewrite = rule.pin is rules.Pin.REWRITE
    if rewrite and not pinned:
        raise PolicyError("pin: Rewrite needs Pinned among what the rule requires")

    def check(subject: Subject) -> Verdict:
        reference = subject.use.reference
        if known and not reference.known:
            return fail(
                Reason.WEIGHTS_NOT_NAMED,
                "serves weights that the manifest does not name; name them by a literal value",
            )
        if pinned and not reference.pinned:
            return Verdict(
                Outcome.FAIL,
                Reason.NOT_PINNED,
                f"can change after admission; {_how_to_pin(subject)}",
                rewrite=rewrite and reference.scheme in _PINNABLE,
            )
        return PASS

    return check


_PINNABLE = frozenset({"hf", "modelscope", "oci", "nim", "aim", "image-embedded"})
"""Schemes that have names for immutable content."""


def _how_to_pin(subject: Subject) -> str:
    match subject.use.reference.scheme:
        case "hf" | "modelscope":
            return "name a commit, such as --revision <40 hex digits>"
        case "oci" | "nim" | "aim" | "image-embedded":
            return "name a digest, such as image@sha256:<64 hex digits>"
        case scheme:
            return f"{scheme} references cannot be pinned, use one that can"


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
        if overrides and process.unseen_settings:
            return error(
                Reason.SETTING_UNKNOWN,
                "may be fetched from elsewhere, by a variable that admission cannot see, from"
                f" {few(process.unseen_settings)}; give its envFrom a prefix, or name under env"
                " what is needed of it",
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


def _attestation(name: str, rule: rules.AttestationRule) -> Check:
    try:
        return attestation_check(rule)
    except ExpressionError as problem:
        raise ExpressionError(f'rule "{name}": {problem}') from None


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
