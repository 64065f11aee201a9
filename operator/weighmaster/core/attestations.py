"""What a record says of attestations: who attested what, as bounded as everything in it.

The webhook judges predicates by the policies it has at the moment, so they are kept and not
outcomes. What does not fit is said to be missing.
"""

import json
import math
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from weighmaster.api.v1alpha1.record import (
    MAX_PREDICATE,
    AttestationResult,
    AttestationState,
    AttestedStatement,
    SignatureMethod,
)
from weighmaster.core.evidence import Evidence, GapReason, SignatureBundle, content_digest
from weighmaster.core.verify.attestation import (
    Attestation,
    Attested,
    Envelope,
    Target,
    attested,
    read_envelopes,
)
from weighmaster.core.verify.authorities import KnownAuthority
from weighmaster.core.verify.classes import FileClass, classify
from weighmaster.core.verify.cosign import distance
from weighmaster.core.verify.loadable import is_loadable, loadable_digest
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import listed
from weighmaster.errors import VerificationError

MAX_DEMANDS = 64
"""As many as a record holds."""

MAX_STATEMENTS = 16
"""Statements of one type by one authority; none of more can be left out, so none counts."""

MAX_PREDICATES = 128 * 1024
"""Bytes of all predicates in a record."""

MAX_MESSAGE = 512

ATTESTED, NOT_ATTESTED, UNKNOWN = (
    AttestationState.ATTESTED,
    AttestationState.NOT_ATTESTED,
    AttestationState.UNKNOWN,
)


class Demand(Struct, frozen=True):
    """Something that a policy wants attested: what, and by whom."""

    predicate_type: str
    authority: KnownAuthority


def attestation_results(
    evidence: Evidence,
    demands: Sequence[Demand],
    more: Sequence[SignatureBundle],
    now: datetime,
    unread: str | None = None,
) -> list[AttestationResult]:
    """What was attested of a model, for each demand.

    ``more`` are bundles that were not found beside the model, ``unread`` is why one of them could
    not be read. ``now`` is when certificates must be valid.
    """
    found = _Found(evidence, (*evidence.signatures, *more), unread)
    room = MAX_PREDICATES
    results = []
    for demand in demands[:MAX_DEMANDS]:
        result = found.result(demand, now, room)
        room -= sum(len(each.predicate.encode()) for each in result.statements if each.predicate)
        results.append(result)
    return results


class Claim(Struct, frozen=True):
    """An attestation that was found beside a model, unverified: what it says that it is about."""

    material: SignatureBundle
    predicate_type: str
    about: str


def claims(evidence: Evidence) -> list[Claim]:
    """The attestations that were found beside a model, for people; nobody has verified them."""
    return _Found(evidence, evidence.signatures).claims()


class _Found:
    """The envelopes that were found, each with what it must be about."""

    def __init__(
        self,
        evidence: Evidence,
        material: Sequence[SignatureBundle],
        unread: str | None = None,
    ) -> None:
        self._evidence = evidence
        self._unread = unread
        files = _target_of_files(evidence, frozenset(each.source for each in material))
        digest = evidence.resolved.rpartition("@")[2]
        parts = frozenset({digest.removeprefix("sha256:")})
        targets = {None: files, digest: Target(parts, parts)}
        self._targets = tuple(targets.values())
        self._names = {file.sha256: file.name for file in evidence.files}
        self._envelopes = [
            (envelope, targets[envelope.material.subject])
            for envelope in read_envelopes(material)
            if envelope.material.subject in targets
        ]

    def result(self, demand: Demand, now: datetime, room: int) -> AttestationResult:
        """What is said of one demand; its predicates may take so many bytes."""
        authority = demand.authority
        if authority.authority is None:
            problem = authority.problem or "it cannot be used"
            return _result(demand, UNKNOWN, (), "AuthorityUnusable", problem)
        outcome = attested(self._envelopes, demand.predicate_type, authority.authority, now)
        state, reason, message = self._judge(outcome, demand.predicate_type)
        kept = outcome.attestations[:MAX_STATEMENTS]
        return _result(demand, state, _statements(kept, room), reason, message)

    def claims(self) -> list[Claim]:
        """What the envelopes say that they are, where that can be read."""
        return [
            Claim(envelope.material, envelope.predicate_type, _claimed(envelope, target))
            for envelope, target in self._envelopes
            if envelope.predicate_type is not None
        ]

    def _judge(self, outcome: Attested, kind: str) -> tuple[AttestationState, str, str]:
        """Whether the attestations are enough, and why they are not."""
        if len(outcome.attestations) > MAX_STATEMENTS:
            count = len(outcome.attestations)
            message = f"it attested {count} times, {MAX_STATEMENTS} is the limit; remove old ones"
            return UNKNOWN, "TooManyAttestations", message
        if outcome.doubts:
            return UNKNOWN, "AttestationUnreadable", _unreadable(outcome.doubts)
        if self._unread is not None:
            return UNKNOWN, "AttestationsUnknown", self._unread
        if self._evidence.lacks(GapReason.SIGNATURES_UNKNOWN, GapReason.SIGNATURE_NOT_READ):
            return UNKNOWN, "AttestationsUnknown", "not all attestations could be read"
        if outcome.attestations:
            missing = self._missing(outcome.attestations)
            if not missing:
                return ATTESTED, "", ""
            names = [self._names.get(digest) or digest for digest in missing]
            message = f"{len(names)} files are not among what it attested: {listed(names)}"
            return NOT_ATTESTED, VerificationReason.INCOMPLETE_COVERAGE, message
        if self._is_partly_listed(kind):
            message = "the digests of its files are not all known, so there is nothing to compare"
            return UNKNOWN, "ListingIncomplete", message
        nearest = self._nearest(outcome.refusals, kind)
        return NOT_ATTESTED, nearest.reason, nearest.message

    def _missing(self, found: Sequence[Attestation]) -> frozenset[str]:
        """What would have to be attested as well: of the artifact, or else of its files."""
        parts = frozenset(part for each in found for part in each.parts)
        begun = (target.parts - parts for target in self._targets if target.parts & parts)
        return min(begun, key=len)

    def _is_partly_listed(self, kind: str) -> bool:
        """Whether an attestation of files meets files of which too little is known."""
        return not self._evidence.complete and any(
            envelope.predicate_type in (kind, None)
            for envelope, _ in self._envelopes
            if envelope.material.subject is None
        )

    def _nearest(self, refusals: Sequence[VerificationError], kind: str) -> VerificationError:
        """What is wrong with the attestation that came nearest to one that counts."""
        if refusals:
            return min(refusals, key=distance)
        types = {envelope.predicate_type for envelope, _ in self._envelopes}
        others = [each for each in types if each is not None and each != kind]
        hint = f"; there are attestations of {listed(others)}" if others else ""
        return VerificationError(
            VerificationReason.NOT_ATTESTED, f"there is no attestation of this type{hint}"
        )


def _claimed(envelope: Envelope, target: Target) -> str:
    if isinstance(envelope.content, VerificationError):
        return f"which cannot be read: {envelope.content.message}"
    covered = target.covered(envelope.content)
    if not covered:
        return "of something else"
    if covered < target.parts:
        return f"of {len(covered)} of its {len(target.parts)} files"
    return "of this model"


def _target_of_files(evidence: Evidence, sources: frozenset[str]) -> Target:
    """All files that may be loaded, but those that attestations and signatures lie in."""
    if not evidence.complete:
        return Target(frozenset(), frozenset())
    files = [file for file in evidence.files if file.name not in sources and is_loadable(file.name)]
    telling = [file for file in files if file.size and classify(file.name) is FileClass.WEIGHTS]
    whole = content_digest(evidence.files), loadable_digest_of(evidence)
    return Target(
        frozenset(file.sha256 for file in files if file.sha256),
        frozenset(file.sha256 for file in telling or files if file.sha256),
        frozenset(each.removeprefix("sha256:") for each in whole if each),
    )


def loadable_digest_of(evidence: Evidence) -> str | None:
    """The digest of all files that may be loaded, as a record has it; None if it is not known."""
    if not evidence.complete:
        return None
    try:
        return loadable_digest({file.name: file.sha256 or "" for file in evidence.files})
    except UnicodeEncodeError:  # JSON may spell half a surrogate pair
        return None


def _statements(found: Sequence[Attestation], room: int) -> list[AttestedStatement]:
    statements = []
    for each in found:
        predicate, reason, message = _predicate(each.statement.predicate, room)
        room -= len(predicate.encode()) if predicate else 0
        statements.append(
            AttestedStatement(
                digest=each.statement.digest,
                method=SignatureMethod(each.signer.method.value),
                identity=each.signer.identity[:1024],
                issuer=each.signer.issuer[:512] or None,
                issued_at=each.issued,
                predicate=predicate,
                reason=reason,
                message=message,
            )
        )
    return statements


def _predicate(
    predicate: dict[str, object], room: int
) -> tuple[str | None, str | None, str | None]:
    """A predicate as text, or why it is not kept: a reason and a message."""
    try:
        text = json.dumps(
            _plain(predicate), ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        size = len(text.encode())
    except ValueError:
        return None, "PredicateUnreadable", "the predicate has texts or numbers that are none"
    if size > MAX_PREDICATE:
        message = f"the predicate has {size} bytes, {MAX_PREDICATE} is the limit"
        return None, "PredicateTooLarge", message
    if size > room:
        message = f"a record has room for {MAX_PREDICATES} bytes of predicates"
        return None, "PredicateTooLarge", message
    return text, None, None


def _plain(value: object) -> object:
    """JSON with integers that every reader takes for the same: others are floats (RFC 8259 6)."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 2**1023 else math.inf
    return value


def _unreadable(doubts: Sequence[VerificationError]) -> str:
    return f"it signed something that cannot be read, and may be of this type: {doubts[0].message}"


def _result(
    demand: Demand,
    state: AttestationState,
    statements: Sequence[AttestedStatement],
    reason: str,
    message: str,
) -> AttestationResult:
    clipped = message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 3]}..."
    return AttestationResult(
        predicate_type=demand.predicate_type,
        authority=demand.authority.id,
        state=state,
        statements=list(statements),
        reason=reason[:64] or None,
        message=clipped or None,
    )
