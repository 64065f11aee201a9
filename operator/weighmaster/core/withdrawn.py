"""Attestations that were there and are there no more: they go on counting against a model.

Nobody can tell from a registry what was taken out of it, so a scan that failed could be withdrawn
and leave an older one that passed. A record remembers what it has said, until the same signer
attests anew: later, where signatures prove when they were made, or something not seen before.
This is the monotonic principle of in-toto as far as a cluster can see: removing an attestation
never turns a denial into an admission
(https://github.com/in-toto/attestation/blob/main/spec/v1/README.md#parsing-rules).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import structs

from weighmaster.api.v1alpha1.record import (
    AttestationResult,
    AttestationState,
    AttestedStatement,
    EvidenceState,
    ModelRecordStatus,
)
from weighmaster.core.attestations import MAX_PREDICATES, MAX_STATEMENTS, Demand
from weighmaster.core.verify.authorities import (
    Authority,
    CertificateAuthority,
    KeyAuthority,
)


def with_withdrawn(
    status: ModelRecordStatus,
    before: ModelRecordStatus | None,
    demands: Iterable[Demand],
    now: datetime,
) -> ModelRecordStatus:
    """A status with the attestations that the one before had, of the same content, and it has not.

    Where nothing could be found out this time, what was found before is kept as it is.
    """
    if before is None or not before.attestations:
        return status
    if status.state is not EvidenceState.RESOLVED:
        return structs.replace(status, attestations=before.attestations)
    told = {(each.predicate_type, each.authority): each for each in before.attestations}
    authorities = {
        (demand.predicate_type, demand.authority.id): demand.authority.authority
        for demand in demands
    }
    room = MAX_PREDICATES - sum(map(_size, status.attestations))
    results = []
    for result in status.attestations:
        key = result.predicate_type, result.authority
        gone = _gone(result, told[key], authorities.get(key)) if key in told else []
        kept = _bounded(gone, room, now)
        room -= sum(len(each.predicate.encode()) for each in kept if each.predicate)
        results.append(_joined(result, kept))
    return structs.replace(status, attestations=results)


def _gone(
    result: AttestationResult, before: AttestationResult, authority: Authority | None
) -> list[AttestedStatement]:
    """What is found no more, and neither renewed nor by somebody the authority has parted with."""
    present = {_key(each) for each in result.statements}
    seen = {_key(each) for each in before.statements}
    # What is seen now may have been there before where not all could be seen.
    new = (
        []
        if before.state is AttestationState.UNKNOWN
        else [each for each in result.statements if _key(each) not in seen]
    )
    return [
        each
        for each in before.statements
        if _key(each) not in present
        and (authority is None or _is_of(each, authority))
        and not any(_renews(other, each, other in new) for other in result.statements)
    ]


def _renews(other: AttestedStatement, gone: AttestedStatement, new: bool) -> bool:
    """Whether a statement takes the place of one that is gone."""
    if (other.method, other.identity, other.issuer) != (gone.method, gone.identity, gone.issuer):
        return False
    if other.issued_at is None or gone.issued_at is None:
        return new and other.issued_at is gone.issued_at
    return other.issued_at > gone.issued_at


def _is_of(statement: AttestedStatement, authority: Authority) -> bool:
    """Whether an authority, as it is now, is who signed."""
    if isinstance(authority, KeyAuthority):
        return statement.identity == authority.fingerprint
    if isinstance(authority, CertificateAuthority):
        return statement.identity == authority.subject[: len(statement.identity)]
    return statement.issuer == authority.issuer and authority.matches(statement.identity)


def _bounded(
    gone: Sequence[AttestedStatement], room: int, now: datetime
) -> list[AttestedStatement]:
    kept = []
    for each in gone:
        statement = structs.replace(each, withdrawn_at=each.withdrawn_at or now)
        size = len(each.predicate.encode()) if each.predicate else 0
        if size > room:
            message = f"a record has room for {MAX_PREDICATES} bytes of predicates"
            statement = structs.replace(
                statement, predicate=None, reason="PredicateTooLarge", message=message
            )
        else:
            room -= size
        kept.append(statement)
    return kept


def _joined(result: AttestationResult, gone: Sequence[AttestedStatement]) -> AttestationResult:
    statements = [*result.statements, *gone]
    if len(statements) <= MAX_STATEMENTS:
        return structs.replace(result, statements=statements)
    return structs.replace(
        result,
        statements=statements[:MAX_STATEMENTS],
        state=AttestationState.UNKNOWN,
        reason="TooManyAttestations",
        message=f"it attested {len(statements)} times, withdrawn ones included",
    )


def _key(statement: AttestedStatement) -> tuple[str, str, str | None]:
    return statement.digest, statement.identity, statement.issuer


def _size(result: AttestationResult) -> int:
    return sum(len(each.predicate.encode()) for each in result.statements if each.predicate)
