"""The check of an ``attestation`` rule: who attested what of a model, and whether it is enough.

Every statement of the rule's authorities counts, since a scan that failed must not hide behind one
that passed; so nothing may be unknown of any of them. What nobody of them signed counts nothing.
"""

from collections.abc import Sequence

from msgspec import Struct

from weighmaster.api.v1alpha1 import rules
from weighmaster.api.v1alpha1.record import AttestationState, AttestedStatement
from weighmaster.core.evaluate.evidence_checks import (
    evidence,
    ids_of,
    require_one,
    see,
    verifying,
)
from weighmaster.core.evaluate.predicates import PredicateExpression
from weighmaster.core.evaluate.records import Record
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.evaluate.verdict import PASS, Check, Verdict, error, fail
from weighmaster.core.reasons import Reason
from weighmaster.errors import ExpressionError

MAX_FOUND = 120
"""Characters of what a predicate says that a message shows."""


class _Looked(Struct):
    """What a record says of the authorities of a rule."""

    statements: list[AttestedStatement]
    attested: bool = False
    pending: bool = False
    unknown: list[str] = []
    told: list[str] = []


def attestation_check(rule: rules.AttestationRule) -> Check:
    """The check of an ``attestation`` rule. Raises ExpressionError, PolicyError."""
    for authority in rule.authorities:
        require_one(authority)
    expression = PredicateExpression(rule.expression)
    what = rule.predicate_type

    def check(subject: Subject) -> Verdict:
        record = evidence(subject)
        if isinstance(record, Verdict):
            return record
        looked = _look(rule, record, subject)
        objection = _judge(expression, looked.statements)
        where = f"{see(record)} -o yaml"
        if objection is not None and objection.reason is Reason.PREDICATE_FALSE:
            return fail(objection.reason, f"{objection.message} ({what}; {where})")
        if looked.pending:
            return verifying(record, "attestations")
        if looked.unknown:
            return error(
                Reason.EVIDENCE_NOT_AVAILABLE,
                f"may or may not be attested as the rule asks ({what}; {_once(looked.unknown)};"
                f" {where})",
            )
        if not looked.attested:
            found = _once(looked.told) or "no attestation"
            return fail(
                Reason.NOT_ATTESTED,
                f"is not attested as the rule asks ({what}; {found}; {where})",
            )
        if objection is not None:
            return error(objection.reason, f"{objection.message} ({what}; {where})")
        return PASS

    return check


def _look(rule: rules.AttestationRule, record: Record, subject: Subject) -> _Looked:
    looked = _Looked([])
    for authority in rule.authorities:
        ids = ids_of(authority, subject)
        if authority.publisher is not None and not ids:
            looked.told.append("its publisher has no identities, see ModelPublisher")
        for key in ids:
            result = record.attestations.get((rule.predicate_type, key))
            if result is None:
                looked.pending = True
                continue
            looked.statements += result.statements
            looked.attested |= result.state is AttestationState.ATTESTED
            if result.state is AttestationState.UNKNOWN:
                looked.unknown.append(result.message or "nothing is known")
            elif result.message:
                looked.told.append(result.message)
    return looked


class _Objection(Struct, frozen=True):
    reason: Reason
    message: str


def _judge(
    expression: PredicateExpression, statements: Sequence[AttestedStatement]
) -> _Objection | None:
    """The gravest objection to any of the statements: first that one is false."""
    if expression.presence:
        return None
    objections = []
    kept = [(each, each.predicate) for each in statements if each.predicate is not None]
    judged = expression.judge([text for _, text in kept])
    for (statement, text), truth in zip(kept, judged, strict=True):
        if truth is False:
            return _Objection(Reason.PREDICATE_FALSE, _false(expression, statement, text))
        if isinstance(truth, ExpressionError):
            message = f"was attested by {_signer(statement)}, which cannot be judged: {truth}"
            objections.append(_Objection(Reason.EXPRESSION_ERROR, message))
    for statement in statements:
        if statement.predicate is None:
            why = statement.message or "it is not in the record"
            message = (
                f"was attested by {_signer(statement)}, and what it says cannot be read: {why}"
            )
            objections.append(_Objection(Reason.PREDICATE_NOT_READ, message))
    return objections[0] if objections else None


def _false(expression: PredicateExpression, statement: AttestedStatement, text: str) -> str:
    found = ", ".join(f"{name} is {value}" for name, value in expression.found(text))
    shown = found if len(found) <= MAX_FOUND else f"{found[:MAX_FOUND]}..."
    said = f"; {shown}" if shown else ""
    if statement.withdrawn_at is not None:
        said += f"; withdrawn {statement.withdrawn_at:%Y-%m-%d}, which takes nothing back"
    return f"was attested by {_signer(statement)} to be otherwise: not {expression.text}{said}"


def _signer(statement: AttestedStatement) -> str:
    return f"{statement.identity}, {statement.issuer}" if statement.issuer else statement.identity


def _once(told: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(told))
