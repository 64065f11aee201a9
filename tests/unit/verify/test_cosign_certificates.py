"""Cosign signatures with certificates under given roots, in both forms."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import (
    b64,
    bundle,
    certificate_bundle,
    envelope,
)
from tests.signing.chains import NOW, YEAR, Chain
from tests.signing.cosign import (
    DIGEST,
    OTHER,
    attached,
    cosign_bundle,
    legacy,
    noted,
    payload_of,
    refusal,
    statement,
    verify,
)
from tests.signing.sigstore_instance import der
from weighmaster.core.evidence import SignatureBundle
from weighmaster.core.verify.authorities import (
    CertificateAuthority,
    KeyAuthority,
    certificate_authority,
)
from weighmaster.core.verify.bundle import MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES
from weighmaster.core.verify.reasons import VerificationReason as R

Key = ec.EllipticCurvePrivateKey


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def certified(chain: Chain) -> CertificateAuthority:
    return certificate_authority(chain.root.pem, chain.identity)


def by_certificate(chain: Chain, form: str, digest: str = DIGEST) -> SignatureBundle:
    leaf = chain.leaf()
    certificates = [leaf.certificate, chain.intermediate.certificate, chain.root.certificate]
    if form == "legacy":
        return legacy(payload_of(digest), leaf.key, certificates)
    if form == "chain":
        return attached(certificate_bundle(statement(digest), leaf.key, certificates), digest)
    material = {"certificate": {"rawBytes": b64(der(leaf.certificate))}}
    return attached(bundle(envelope(statement(digest), leaf.key), material), digest)


BOTH = pytest.mark.parametrize("form", ["legacy", "chain"])


@BOTH
def test_an_artifact_signed_with_a_certificate_is_verified(
    chain: Chain, certified: CertificateAuthority, form: str
) -> None:
    assert verify(by_certificate(chain, form), by=certified).identity == chain.identity


def test_a_bundle_with_the_leaf_alone_needs_the_intermediate_among_the_roots(
    chain: Chain, certified: CertificateAuthority
) -> None:
    found = by_certificate(chain, "leaf")
    assert refusal(found, by=certified) is R.UNTRUSTED_ROOT
    both = certificate_authority(chain.intermediate.pem, chain.identity)
    assert verify(found, by=both).identity == chain.identity
    stranger = certificate_authority(chain.intermediate.pem, "https://evil.example")
    assert refusal(found, by=stranger) is R.WRONG_IDENTITY
    assert refusal(found, by=both, now=NOW + 2 * YEAR) is R.EXPIRED


@BOTH
def test_a_certificate_of_somebody_else_is_refused(chain: Chain, form: str) -> None:
    found = by_certificate(chain, form)
    stranger = certificate_authority(chain.root.pem, "https://acme.example/sign")
    assert refusal(found, by=stranger) is R.WRONG_IDENTITY
    elsewhere = certificate_authority(Chain(root="Other").root.pem, chain.identity)
    assert refusal(found, by=elsewhere) is R.UNTRUSTED_ROOT


@BOTH
def test_a_certificate_outside_its_time_is_refused(
    chain: Chain, certified: CertificateAuthority, form: str
) -> None:
    found = by_certificate(chain, form)
    assert refusal(found, by=certified, now=NOW + 2 * YEAR) is R.EXPIRED
    assert refusal(found, by=certified, now=NOW - 2 * YEAR) is R.NOT_YET_VALID


@BOTH
def test_a_certificate_that_is_not_for_signing_code_is_refused(
    chain: Chain, certified: CertificateAuthority, form: str
) -> None:
    chain.leaf_request["purpose"] = None
    assert refusal(by_certificate(chain, form), by=certified) is R.UNSUITABLE_CERTIFICATE


@BOTH
def test_a_certified_signature_of_another_artifact_is_refused(
    chain: Chain, certified: CertificateAuthority, form: str
) -> None:
    assert refusal(by_certificate(chain, form, OTHER), by=certified) is R.OTHER_ARTIFACT


def test_a_certificate_beside_a_signature_that_is_not_its_own_is_refused(
    chain: Chain, certified: CertificateAuthority, key: Key
) -> None:
    leaf = chain.leaf()
    certificates = [leaf.certificate, chain.intermediate.certificate]
    assert refusal(legacy(payload_of(DIGEST), key, certificates), by=certified) is R.BAD_SIGNATURE


def test_a_signature_of_another_method_is_refused(
    chain: Chain, certified: CertificateAuthority, key: Key, authority: KeyAuthority
) -> None:
    assert refusal(legacy(payload_of(DIGEST), key), by=certified) is R.WRONG_METHOD
    assert (
        refusal(attached(cosign_bundle(statement(DIGEST), key), DIGEST), by=certified)
        is R.WRONG_METHOD
    )
    assert refusal(by_certificate(chain, "chain"), by=authority) is R.WRONG_METHOD
    assert refusal(by_certificate(chain, "legacy"), by=authority) is R.BAD_SIGNATURE


def _armoured(content: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{b64(content)}\n-----END CERTIFICATE-----\n"


def test_certificates_beside_a_signature_must_be_plain(
    chain: Chain, certified: CertificateAuthority
) -> None:
    found = by_certificate(chain, "legacy")
    leaf = chain.leaf().pem
    for text, reason in (
        (f"# a comment\n{leaf}", R.MALFORMED),
        (leaf + leaf, R.MALFORMED),
        (leaf.replace("MII", "!!!"), R.MALFORMED),
        ("-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----", R.MALFORMED),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", R.MALFORMED),
        (leaf * (MAX_CERTIFICATES + 1), R.TOO_LARGE),
        (_armoured(b"x" * (MAX_CERTIFICATE_BYTES + 1)), R.TOO_LARGE),
        (None, R.WRONG_METHOD),
    ):
        assert refusal(noted(found, certificate=text), by=certified) is reason, text
    assert refusal(noted(found, chain=""), by=certified) is R.UNTRUSTED_ROOT


def test_a_certificate_with_a_key_that_is_no_ec_key_is_refused(
    certified: CertificateAuthority, chain: Chain
) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(65537, 2048)
    builder = (
        x509.CertificateBuilder()
        .subject_name(chain.root.certificate.subject)
        .issuer_name(chain.root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - YEAR)
        .not_valid_after(NOW + YEAR)
    )
    certificate = builder.sign(chain.root.key, hashes.SHA256())
    found = legacy(payload_of(DIGEST), chain.root.key, [certificate])
    assert refusal(found, by=certified) is R.UNSUITABLE_CERTIFICATE
