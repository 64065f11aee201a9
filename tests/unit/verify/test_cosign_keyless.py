"""Keyless cosign signatures, both forms, against a Sigstore instance of our own, offline."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import public_pem
from tests.signing.chains import NOW, YEAR, Party
from tests.signing.cosign import (
    DIGEST,
    OTHER,
    SIGN,
    accepted,
    attached,
    keyless,
    legacy,
    payload_of,
    refusal,
    statement,
    verify,
)
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.core.evidence import SignatureBundle
from weighmaster.core.verify.authorities import (
    KeyAuthority,
    KeylessAuthority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.core.verify.trust_root import TrustRoot

ISSUER = "https://accounts.example.com"
SUBJECT = "release@acme.example"
NAME = x509.RFC822Name(SUBJECT)
AT = datetime(2026, 3, 1, tzinfo=UTC)
SECONDS = int(AT.timestamp()) + 1


@pytest.fixture(scope="module")
def instance() -> SigstoreInstance:
    return SigstoreInstance()


@pytest.fixture(scope="module")
def signer(instance: SigstoreInstance) -> KeylessAuthority:
    return keyless_authority(TrustRoot(instance.trusted_root()), ISSUER, subject=SUBJECT)


@pytest.fixture(scope="module")
def party(instance: SigstoreInstance) -> Party:
    return instance.certificate(NAME, ISSUER, AT)


Make = Callable[[str], SignatureBundle]


@pytest.fixture(params=["legacy", "bundle"])
def make(request: pytest.FixtureRequest, instance: SigstoreInstance, party: Party) -> Make:
    """A signature of an artifact, in each form."""

    def signed(digest: str) -> SignatureBundle:
        if request.param == "legacy":
            return keyless(payload_of(digest), instance, party, SECONDS)
        return attached(instance.sign(statement(digest), NAME, ISSUER, AT, party), digest)

    return signed


def test_a_keyless_signature_is_verified_years_after_its_certificate_expired(
    make: Make, signer: KeylessAuthority
) -> None:
    found = verify(make(DIGEST), by=signer, now=NOW + 5 * YEAR)
    assert (found.identity, found.issuer) == (SUBJECT, ISSUER)


def test_a_bundle_of_rekor_v2_is_verified_by_its_timestamp(
    instance: SigstoreInstance, signer: KeylessAuthority, tmp_path: Path
) -> None:
    document = instance.sign_v2(statement(DIGEST), NAME, ISSUER, tmp_path)
    assert verify(attached(document, DIGEST), by=signer).identity == SUBJECT


def test_somebody_else_or_another_issuer_is_refused(make: Make, signer: KeylessAuthority) -> None:
    root = signer.trust_root
    for issuer, subject in ((ISSUER, "x@acme.example"), ("https://evil.example", SUBJECT)):
        stranger = keyless_authority(root, issuer, subject=subject)
        assert refusal(make(DIGEST), by=stranger) is R.WRONG_IDENTITY
    assert accepted(make(DIGEST), by=keyless_authority(root, ISSUER, pattern="^.*@acme[.]example$"))


def test_a_keyless_signature_of_another_artifact_is_refused(
    make: Make, signer: KeylessAuthority
) -> None:
    assert refusal(make(OTHER), by=signer) is R.OTHER_ARTIFACT


def test_another_instance_vouches_for_nothing(make: Make) -> None:
    root = TrustRoot(SigstoreInstance().trusted_root())
    stranger = keyless_authority(root, ISSUER, subject=SUBJECT)
    assert refusal(make(DIGEST), by=stranger) in (R.NOT_LOGGED, R.UNTRUSTED_ROOT)


def test_a_keyless_attestation_is_no_signature(
    instance: SigstoreInstance, party: Party, signer: KeylessAuthority
) -> None:
    document = instance.sign(statement(DIGEST, f"{SIGN}x"), NAME, ISSUER, AT, party)
    assert refusal(attached(document, DIGEST), by=signer) is R.ATTESTATION


def test_a_keyless_signature_is_none_by_key_nor_by_a_certificate_that_must_be_valid_now(
    make: Make, instance: SigstoreInstance, party: Party
) -> None:
    found = make(DIGEST)
    roots = instance.fulcio.pem + instance.root.pem
    assert refusal(found, by=certificate_authority(roots, SUBJECT)) is R.EXPIRED
    other = key_authority(public_pem(ec.generate_private_key(ec.SECP256R1())))
    assert refusal(found, by=other) in (R.WRONG_METHOD, R.BAD_SIGNATURE)


def test_a_signature_by_key_is_not_keyless(
    signer: KeylessAuthority, key: ec.EllipticCurvePrivateKey, authority: KeyAuthority
) -> None:
    plain = legacy(payload_of(DIGEST), key)
    assert accepted(plain, by=authority)
    assert refusal(plain, by=signer) is R.WRONG_METHOD


def test_a_bundle_with_the_log_entry_of_another_artifact_is_refused(
    instance: SigstoreInstance, party: Party, signer: KeylessAuthority
) -> None:
    mine, other = (
        instance.sign(statement(digest), NAME, ISSUER, AT, party) for digest in (DIGEST, OTHER)
    )
    entries = other["verificationMaterial"]["tlogEntries"]
    mine["verificationMaterial"]["tlogEntries"] = entries
    assert refusal(attached(mine, DIGEST), by=signer) is R.NOT_LOGGED
