"""Cosign signatures of OCI artifacts: who signed the manifest with a given digest.

What cosign writes (seen from 2.5.0 and 3.1.1): simple-signing payloads with everything else in
annotations, under a tag named after the digest or as a referrer (``cosign_legacy``); and, since
3.0, Sigstore bundles in referrers, whose envelope is an in-toto statement about the digest.
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md and BUNDLE_SPEC.md.

A registry answers whatever it likes, so where a signature was found proves nothing: the signed
bytes name the artifact, and they must name this one.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from weighmaster.core.evidence import SignatureBundle, SignatureKind
from weighmaster.core.verify.authorities import Authority, CertificateAuthority
from weighmaster.core.verify.bundle import Bundle, SignatureMethod, parse_bundle
from weighmaster.core.verify.cosign_legacy import verify_simple_signing
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signature import Signer, verify_signature
from weighmaster.core.verify.statement import LEGACY_PREDICATE, PREDICATE, STATEMENT
from weighmaster.core.verify.strict_json import (
    list_at,
    malformed,
    object_at,
    only_keys,
    parse_object,
    text_at,
)
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError

SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
"""Predicate type of a signature. Whatever else is signed about an artifact attests something."""

MAX_MATERIAL = 64
"""Signatures of one artifact that are looked at; more are refused rather than left unread."""

MAX_BUNDLE_BYTES = 256 * 1024
"""A keyless bundle has 10 KB. Attestations may be larger, and are not read here."""

_MAX_PARTS = 512


def verify_cosign(
    material: Sequence[SignatureBundle], authority: Authority, digest: str, now: datetime
) -> Signer:
    """Who signed the artifact whose manifest has ``digest`` (``sha256:<hex>``): the authority.

    One good signature is enough, whatever lies beside it. ``now`` is when certificates of the
    certificate method must be valid. Raises VerificationError: what is wrong with the signature
    that came nearest, which an unrelated one beside it does not change.
    """
    if not material:
        raise VerificationError(VerificationReason.NOT_SIGNED, "the artifact has no signature")
    if len(material) > MAX_MATERIAL:
        raise VerificationError(
            VerificationReason.TOO_LARGE,
            f"the artifact has {len(material)} signatures; {MAX_MATERIAL} is the limit",
        )
    failures: list[VerificationError] = []
    for each in material:
        try:
            return _verify_one(each, authority, digest, now)
        except VerificationError as error:
            failures.append(error)
    raise min(failures, key=distance)


def split_material(
    signatures: Sequence[SignatureBundle], digest: str
) -> tuple[list[SignatureBundle], list[SignatureBundle]]:
    """What is cosign's about the artifact with this digest, and bundles that sign files (OMS).

    Both kinds of bundles may be referrers, so what the envelope holds decides. Nothing is verified
    here; what cannot be read counts as a signature, which is refused. Attestations of files are
    neither.
    """
    cosign, others = [], []
    for each in signatures:
        kind = _predicate_type(each)
        if kind in (PREDICATE, LEGACY_PREDICATE) or (each.subject is None and kind is None):
            others.append(each)
        elif each.subject == digest:
            cosign.append(each)
    return cosign, [each for each in others if each.kind is SignatureKind.BUNDLE]


def _verify_one(
    material: SignatureBundle, authority: Authority, digest: str, now: datetime
) -> Signer:
    if material.kind is SignatureKind.COSIGN_SIGNATURE:
        return verify_simple_signing(material, authority, digest, now)
    if material.kind is SignatureKind.BUNDLE:
        return _verify_bundle(material.content, authority, digest, now)
    if material.kind is SignatureKind.COSIGN_ATTESTATION:
        raise _attestation("of cosign")
    raise VerificationError(
        VerificationReason.UNSUPPORTED, "the signature is not in a format of cosign's"
    )


def _verify_bundle(raw: bytes, authority: Authority, digest: str, now: datetime) -> Signer:
    if len(raw) > MAX_BUNDLE_BYTES:
        raise VerificationError(
            VerificationReason.TOO_LARGE,
            f"the bundle has {len(raw)} bytes; {MAX_BUNDLE_BYTES} is the limit",
        )
    bundle = parse_bundle(raw)
    statement = _statement(bundle)
    # Before anything else: whoever may sign attestations may have nothing to say about signing.
    kind = text_at(statement, "predicateType", "the statement")
    if kind != SIGN_PREDICATE:
        raise _attestation(f"of type {shown(kind)}")
    if text_at(statement, "_type", "the statement") != STATEMENT:
        raise VerificationError(
            VerificationReason.UNSUPPORTED, f"the statement's type is not {STATEMENT}"
        )
    signer = verify_envelope(bundle, authority, now)
    found = _subject(statement)
    if found != digest:
        raise VerificationError(
            VerificationReason.OTHER_ARTIFACT,
            f"the signature is of the artifact {shown(found)}, not of {digest}",
        )
    return signer


def verify_envelope(bundle: Bundle, authority: Authority, now: datetime) -> Signer:
    """Who signed the envelope of a bundle, which is the authority. Raises VerificationError."""
    if isinstance(authority, CertificateAuthority) and bundle.method is SignatureMethod.KEYLESS:
        # Cosign writes only the leaf of a given certificate, where a keyless one has its own, so
        # the form does not tell them apart. The authority decides: its roots, its time, its name.
        bundle = structs.replace(bundle, method=SignatureMethod.CERTIFICATE)
    return verify_signature(bundle, authority, now)


def _statement(bundle: Bundle) -> dict[str, object]:
    return parse_object(bundle.payload, "the statement", MAX_BUNDLE_BYTES, _MAX_PARTS)


def _subject(statement: dict[str, object]) -> str:
    """The digest of the one artifact that a statement is about."""
    subjects = list_at(statement, "subject", "the statement")
    if len(subjects) != 1 or not isinstance(subjects[0], dict):
        raise malformed("the statement must have exactly one subject, the artifact")
    digest = object_at(subjects[0], "digest", "the subject")
    only_keys(digest, frozenset({"sha256"}), "the digest of the subject")
    return f"sha256:{text_at(digest, 'sha256', 'the subject')}"


def _predicate_type(material: SignatureBundle) -> str | None:
    """The type of the predicate in a bundle; None where there is none to be read."""
    if material.kind is not SignatureKind.BUNDLE:
        return None
    try:
        bundle = parse_bundle(material.content)
        # Statements about files may be as large as a bundle: their own limits come later.
        found = parse_object(bundle.payload, "the statement", len(bundle.payload), 1 << 20)
        return text_at(found, "predicateType", "the statement")
    except VerificationError:
        return None


def _attestation(kind: str) -> VerificationError:
    return VerificationError(
        VerificationReason.ATTESTATION, f"it is an attestation {kind}, which is no signature"
    )


_NEAREST = (
    VerificationReason.OTHER_ARTIFACT,
    VerificationReason.WRONG_IDENTITY,
    VerificationReason.EXPIRED,
    VerificationReason.NOT_YET_VALID,
    VerificationReason.UNSUITABLE_CERTIFICATE,
    VerificationReason.UNTRUSTED_ROOT,
    VerificationReason.NOT_LOGGED,
    VerificationReason.BAD_SIGNATURE,
    VerificationReason.MALFORMED,
    VerificationReason.TOO_LARGE,
    VerificationReason.UNSUPPORTED,
    VerificationReason.WRONG_METHOD,
    VerificationReason.ATTESTATION,
)


def distance(error: VerificationError) -> int:
    """How far a failure was from success; the nearest makes the most useful message."""
    reason = error.reason
    return _NEAREST.index(VerificationReason(reason)) if reason in _NEAREST else len(_NEAREST)
