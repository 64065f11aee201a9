"""Assessment: from gathered evidence to what a ModelRecord says of its reference.

Signatures are verified here, against every authority that any policy or publisher names, so that
the webhook only has to look results up. Pure, but it imports the verifier, which the webhook never
does.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.api.v1alpha1.record import (
    Assertions,
    AuthorityResult,
    Basis,
    EvidenceState,
    Failure,
    FormatCount,
    ModelRecordSpec,
    ModelRecordStatus,
    SignatureMethod,
)
from weighmaster.core.attestations import Demand, attestation_results
from weighmaster.core.evaluate.records import HIDING, PROPOSED, UNREAD_CODE, supplied_digest
from weighmaster.core.evidence import (
    UNPLACED,
    Evidence,
    GapReason,
    SignatureBundle,
    SignatureKind,
    Unavailable,
    content_digest,
)
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import Authority, KnownAuthority
from weighmaster.core.verify.compare import File, Scope
from weighmaster.core.verify.cosign import split_material, verify_cosign
from weighmaster.core.verify.loadable import fingerprints, is_loadable, loadable_digest
from weighmaster.core.verify.model import Requirement, verify_model
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signature import Signer
from weighmaster.errors import VerificationError

MAX_AUTHORITIES = 256
"""As many as a record holds."""

MAX_BUNDLE = 524_288
"""Bytes of a detached signature bundle."""

MAX_MESSAGE = 512
MAX_FAILURES = 32
MAX_FORMATS = 32
MAX_LICENSE = 256
MAX_LISTED = 64
MAX_REFERENCE = 2048
MAX_INTEGER = 2**63 - 1
"""What the API server takes as an integer: a hub may state any size at all."""

_REFERENCE = re.compile(r"[a-z][a-z0-9+.-]*:\S+\Z")

_TELLING = HIDING | UNPLACED | UNREAD_CODE
"""Gaps that rules ask after; no number of others may crowd them out."""

_LINEAGE_GAPS = (
    GapReason.LINEAGE_INCOMPLETE,
    GapReason.CARD_MISSING,
    GapReason.CARD_MALFORMED,
    GapReason.CONFIG_NOT_READ,
)


class Supplied(Struct, frozen=True):
    """What people supply: a record's spec, and the detached bundle where that is kept elsewhere.

    ``unread`` says why that bundle could not be read.
    """

    spec: ModelRecordSpec
    bundle: bytes | None = None
    unread: str | None = None


def assess(
    evidence: Evidence,
    supplied: Supplied,
    authorities: Sequence[KnownAuthority],
    belonging: Belonging,
    now: datetime,
    demands: Sequence[Demand] = (),
) -> ModelRecordStatus:
    """The status of a record whose reference could be resolved.

    What people assert only fills in what could not be fetched. ``now`` is when certificates must
    be valid, ``demands`` what policies want attested.
    """
    spec = supplied.spec
    license_, license_basis = _license(evidence, spec.asserted)
    lineage = _lineage(evidence, spec.asserted)
    found = _found(evidence, supplied)
    digests = _digests(evidence)
    results = [_result(known, evidence, found, now) for known in authorities[:MAX_AUTHORITIES]]
    signer = next((result.identity for result in results if result.verified), None)
    return ModelRecordStatus(
        state=EvidenceState.RESOLVED,
        resolved=evidence.resolved,
        manifest_digest=content_digest(evidence.files),
        loadable_digest=loadable_digest(digests) if digests else None,
        fingerprints=fingerprints(digests) if digests else None,
        publisher=belonging.publisher,
        jurisdiction=belonging.jurisdiction,
        license=license_,
        license_basis=license_basis,
        remote_code=evidence.content.code.present,
        foreign_code=_references(evidence.content.code.foreign)[:MAX_LISTED],
        base_models=lineage.base_models,
        lineage_known=lineage.known,
        lineage_basis=lineage.basis,
        size_bytes=min(evidence.size, MAX_INTEGER),
        formats=[
            FormatCount(
                format=fact.format,
                files=fact.files,
                bytes=min(fact.bytes, MAX_INTEGER),
                basis=fact.basis,
            )
            for fact in evidence.content.formats[:MAX_FORMATS]
        ],
        signed_by=signer,
        authorities=results,
        attestations=attestation_results(
            evidence, demands, _supplied(supplied), now, supplied.unread
        ),
        failures=_failures(evidence, supplied.unread),
        supplied=supplied_digest(spec),
        fetched_at=_time(evidence.fetched_at),
        expires_at=_earliest(evidence.expires_at, evidence.signatures_expire_at),
    )


def _digests(evidence: Evidence) -> dict[str, str]:
    """The files that may be loaded with their digests; none unless all of them are known."""
    files = [file for file in evidence.files if is_loadable(file.name)]
    digests = {file.name: file.sha256 for file in files if file.sha256}
    whole = len(digests) == len(files) and not evidence.lacks(*HIDING)
    return digests if whole and all(map(_is_unicode, digests)) else {}


def _is_unicode(name: str) -> bool:
    """Whether a name can be that of a file: JSON may spell half a surrogate pair."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def unavailable(answer: Unavailable, belonging: Belonging) -> ModelRecordStatus:
    """The status of a record whose reference could not be resolved."""
    state = EvidenceState.UNAVAILABLE if answer.transient else EvidenceState.FAILED
    return ModelRecordStatus(
        state=state,
        publisher=belonging.publisher,
        jurisdiction=belonging.jurisdiction,
        failures=[
            Failure(reason=answer.reason, message=_clip(answer.message) or answer.reason.value)
        ],
        fetched_at=_time(answer.at),
    )


class _Lineage(Struct, frozen=True):
    """Base models, whether they are all there are, and how that is known."""

    base_models: list[str]
    known: bool
    basis: Basis | None


class _Signatures(Struct, frozen=True):
    """What there is to verify: signatures of the artifact's manifest, and bundles about files."""

    digest: str
    attached: tuple[SignatureBundle, ...]
    of_files: tuple[bytes, ...]
    unread: str | None = None


def _found(evidence: Evidence, supplied: Supplied) -> _Signatures:
    """The signatures that were gathered, and the one that people supply."""
    digest = evidence.resolved.rpartition("@")[2]
    attached, of_files = split_material(evidence.signatures, digest)
    bundles = [each.content for each in (*of_files, *_supplied(supplied))]
    return _Signatures(digest, tuple(attached), tuple(bundles), supplied.unread)


def _supplied(supplied: Supplied) -> list[SignatureBundle]:
    """The bundles that people supply."""
    given = supplied.spec.signature
    contents = [given.inline.encode()] if given is not None and given.inline is not None else []
    if supplied.bundle is not None:
        contents.append(supplied.bundle)
    return [
        SignatureBundle(kind=SignatureKind.BUNDLE, content=content, source="spec.signature")
        for content in contents
    ]


def _result(
    known: KnownAuthority, evidence: Evidence, found: _Signatures, now: datetime
) -> AuthorityResult:
    if known.authority is None:
        return _refused(known.id, "AuthorityUnusable", known.problem or "it cannot be used")
    failure: VerificationError | None = None
    if found.attached:
        # It covers everything in the artifact, whatever else could not be read and whether the
        # digests of files are known or not: a good one comes first.
        try:
            signer = verify_cosign(found.attached, known.authority, found.digest, now)
        except VerificationError as error:
            failure = error
        else:
            return _verified(known.id, signer, Coverage.ALL)
    if evidence.lacks(GapReason.SIGNATURES_UNKNOWN, GapReason.SIGNATURE_NOT_READ):
        return _refused(known.id, "SignaturesUnknown", "its signatures could not be read")
    if found.unread is not None:
        return _refused(known.id, "SignaturesUnknown", found.unread)
    if failure is not None and not found.of_files:
        return _refused(known.id, failure.reason, failure.message)
    return _result_of_files(known.id, known.authority, found.of_files, evidence, now)


def _result_of_files(
    key: str,
    authority: Authority,
    bundles: Sequence[bytes],
    evidence: Evidence,
    now: datetime,
) -> AuthorityResult:
    """Whether the authority signed the files, by name and digest (OMS)."""
    if bundles and not evidence.complete:
        return _refused(
            key,
            "ListingIncomplete",
            "it is signed, but the digests of its files are not all known, so there is nothing to"
            " compare the signature with",
        )
    requirement = Requirement(authorities=(authority,))
    files = {file.name: File(file.sha256, file.size) for file in evidence.files}
    # Files that signatures lie in cannot sign themselves.
    sources = frozenset(each.source for each in evidence.signatures)
    for coverage in (Coverage.ALL, Coverage.WEIGHTS):
        try:
            scope = Scope(coverage=coverage, ignore=sources)
            verified = verify_model(bundles, requirement, files, scope, now)
        except VerificationError as error:
            if error.reason is VerificationReason.EXTRA_FILES:
                continue
            return _refused(key, error.reason, error.message)
        return _verified(key, verified.signers[0], coverage)
    return _refused(key, VerificationReason.EXTRA_FILES, "it has files that nobody signed")


def _verified(key: str, signer: Signer, coverage: Coverage) -> AuthorityResult:
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


def _lineage(evidence: Evidence, asserted: Assertions | None) -> _Lineage:
    """The base models, and whether they are all there are.

    A card that could be read and names no base model says that there is none. What people assert
    is added where the card is silent or incomplete, and never takes anything away from it: that
    there is none can be asserted only where nothing speaks of any.
    """
    fetched = evidence.card.base_models
    stated = asserted.base_models if asserted else None
    complete = bool(evidence.card.source) and not evidence.lacks(*_LINEAGE_GAPS)
    if stated:
        counts = not complete or not fetched
    else:
        speaks = bool(fetched) or evidence.lacks(GapReason.LINEAGE_INCOMPLETE)
        counts = stated is not None and not complete and not speaks
    named = tuple(dict.fromkeys((*fetched, *(stated or ())))) if counts else fetched
    fit = _references(named)
    known = (complete or counts) and len(fit) == len(named) <= MAX_LISTED
    basis = Basis.ASSERTED if counts else Basis.FETCHED
    return _Lineage(fit[:MAX_LISTED], known, basis if known or fit else None)


def _failures(evidence: Evidence, unread: str | None) -> list[Failure]:
    """What could not be found out: what rules ask after first, then what people asked for."""
    first = {gap.reason: gap for gap in reversed(evidence.gaps) if gap.reason in _TELLING}
    gaps = [*first.values(), *(gap for gap in evidence.gaps if gap not in first.values())]
    found = [Failure(reason=gap.reason, message=_clip(gap.detail) or gap.reason) for gap in gaps]
    foreign = evidence.content.code.foreign
    if len(_references(foreign)) != len(foreign):
        message = "it names code of another repository in a way that cannot be read"
        found.insert(0, Failure(reason=GapReason.CONFIG_MALFORMED, message=message))
    if unread is not None:
        found.insert(0, Failure(reason=GapReason.SIGNATURE_NOT_READ, message=_clip(unread)))
    if evidence.proposed:
        message = "the commit is a pull request's, which anybody may have written"
        found.insert(0, Failure(reason=PROPOSED, message=message))
    return found[:MAX_FAILURES]


def _license(evidence: Evidence, asserted: Assertions | None) -> tuple[str | None, Basis | None]:
    """The licence, as a record may hold it, and how it is known.

    One that is too long to be said is not allowed by name.
    """
    found = evidence.card.license
    if found is not None:
        return (found if len(found) <= MAX_LICENSE else "LicenseRef-too-long"), Basis.FETCHED
    if asserted is not None and asserted.license is not None:
        return asserted.license, Basis.ASSERTED
    return None, None


def _references(found: Sequence[str]) -> list[str]:
    """Those that a record may hold as references."""
    return [text for text in found if len(text) <= MAX_REFERENCE and _REFERENCE.match(text)]


def _clip(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def _earliest(*times: float | None) -> datetime | None:
    known = [seconds for seconds in times if seconds is not None]
    return _time(min(known)) if known else None
