"""Assessment: from gathered evidence to what a ModelRecord says of its reference.

Signatures are verified here, against every authority that any policy or publisher names, so that
the webhook only has to look results up. Pure, but it imports the verifier, which the webhook never
does.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from weighmaster.api.v1alpha1.jurisdictions import Code
from weighmaster.api.v1alpha1.record import (
    AuthorityResult,
    EvidenceState,
    Failure,
    FormatCount,
    ModelRecordSpec,
    ModelRecordStatus,
    SignatureMethod,
)
from weighmaster.api.v1alpha1.rules import Coverage
from weighmaster.core.evidence import (
    Evidence,
    GapReason,
    SignatureKind,
    Unavailable,
    content_digest,
)
from weighmaster.core.verify.authorities import Authority
from weighmaster.core.verify.compare import File, Scope
from weighmaster.core.verify.model import Requirement, Verified, verify_model
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import VerificationError

MAX_AUTHORITIES = 256
"""As many as a record holds."""

MAX_MESSAGE = 512
MAX_FAILURES = 32

_LINEAGE_GAPS = (
    GapReason.LINEAGE_INCOMPLETE,
    GapReason.CARD_MALFORMED,
    GapReason.CONFIG_NOT_READ,
)


class KnownAuthority(Struct, frozen=True):
    """An authority as records know it. ``problem`` says why its key material cannot be used."""

    id: str
    authority: Authority | None = None
    problem: str | None = None


class Belonging(Struct, frozen=True):
    """Whose namespace a reference lies in, for people."""

    publisher: str | None = None
    jurisdiction: Code | None = None


def assess(
    evidence: Evidence,
    spec: ModelRecordSpec,
    authorities: Sequence[KnownAuthority],
    belonging: Belonging,
    now: datetime,
) -> ModelRecordStatus:
    """The status of a record whose reference could be resolved.

    What people assert only fills in what could not be fetched. ``now`` is when certificates must
    be valid.
    """
    asserted = spec.asserted
    card = evidence.card
    base_models = card.base_models or tuple(asserted.base_models if asserted else ())
    results = [_result(known, evidence, spec, now) for known in authorities[:MAX_AUTHORITIES]]
    signer = next((result.identity for result in results if result.verified), None)
    return ModelRecordStatus(
        state=EvidenceState.RESOLVED,
        resolved=evidence.resolved,
        manifest_digest=content_digest(evidence.files),
        publisher=belonging.publisher,
        jurisdiction=belonging.jurisdiction,
        license=card.license or (asserted.license if asserted else None),
        remote_code=evidence.content.code.present,
        foreign_code=list(evidence.content.code.foreign[:64]),
        base_models=list(base_models[:64]),
        lineage_known=_lineage_known(evidence, asserted is not None and bool(asserted.base_models)),
        size_bytes=evidence.size,
        formats=[
            FormatCount(format=fact.format, files=fact.files, bytes=fact.bytes, basis=fact.basis)
            for fact in evidence.content.formats[:32]
        ],
        signed_by=signer,
        authorities=results,
        failures=[
            Failure(reason=gap.reason, message=_clip(gap.detail) or gap.reason)
            for gap in evidence.gaps[:MAX_FAILURES]
        ],
        fetched_at=_time(evidence.fetched_at),
        expires_at=_earliest(evidence.expires_at, evidence.signatures_expire_at),
    )


def unavailable(answer: Unavailable, belonging: Belonging) -> ModelRecordStatus:
    """The status of a record whose reference could not be resolved."""
    state = EvidenceState.UNAVAILABLE if answer.transient else EvidenceState.FAILED
    return ModelRecordStatus(
        state=state,
        publisher=belonging.publisher,
        jurisdiction=belonging.jurisdiction,
        failures=[Failure(reason=answer.reason, message=_clip(answer.message))],
        fetched_at=_time(answer.at),
    )


def _result(
    known: KnownAuthority, evidence: Evidence, spec: ModelRecordSpec, now: datetime
) -> AuthorityResult:
    if known.authority is None:
        return _refused(known.id, "AuthorityUnusable", known.problem or "it cannot be used")
    if evidence.lacks(GapReason.SIGNATURES_UNKNOWN, GapReason.SIGNATURE_NOT_READ):
        return _refused(known.id, "SignaturesUnknown", "its signatures could not be read")
    bundles, sources = _bundles(evidence, spec)
    if bundles and not evidence.complete:
        return _refused(
            known.id,
            "ListingIncomplete",
            "it is signed, but the digests of its files are not all known, so there is nothing to"
            " compare the signature with",
        )
    requirement = Requirement(authorities=(known.authority,))
    files = {file.name: File(file.sha256, file.size) for file in evidence.files}
    for coverage in (Coverage.ALL, Coverage.WEIGHTS):
        try:
            scope = Scope(coverage=coverage, ignore=sources)
            verified = verify_model(bundles, requirement, files, scope, now)
        except VerificationError as error:
            if error.reason is VerificationReason.EXTRA_FILES:
                continue
            return _refused(known.id, error.reason, error.message)
        return _verified(known.id, verified, coverage)
    return _refused(known.id, VerificationReason.EXTRA_FILES, "it has files that nobody signed")


def _bundles(evidence: Evidence, spec: ModelRecordSpec) -> tuple[list[bytes], frozenset[str]]:
    """Signatures to look at, and the files they lie in, which cannot sign themselves."""
    found = [each for each in evidence.signatures if each.kind is SignatureKind.BUNDLE]
    bundles = [each.content for each in found]
    if spec.signature is not None and spec.signature.inline is not None:
        bundles.append(spec.signature.inline.encode())
    return bundles, frozenset(each.source for each in evidence.signatures)


def _verified(key: str, verified: Verified, coverage: Coverage) -> AuthorityResult:
    signer = verified.signers[0]
    return AuthorityResult(
        id=key,
        verified=True,
        method=SignatureMethod(signer.method.value),
        identity=signer.identity[:1024],
        issuer=signer.issuer[:512] or None,
        coverage=coverage,
    )


def _refused(key: str, reason: str, message: str) -> AuthorityResult:
    return AuthorityResult(id=key, verified=False, reason=reason[:64], message=_clip(message))


def _lineage_known(evidence: Evidence, asserted: bool) -> bool:
    """A card that could be read and names no base model says that there is none."""
    return asserted or (bool(evidence.card.source) and not evidence.lacks(*_LINEAGE_GAPS))


def _clip(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def _earliest(*times: float | None) -> datetime | None:
    known = [seconds for seconds in times if seconds is not None]
    return _time(min(known)) if known else None
