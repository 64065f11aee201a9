"""The key method: three curves, the hash that follows from each, hints and raw keys."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.signing.bundles import (
    b64,
    bundle,
    envelope,
    key_bundle,
    model_statement,
    public_pem,
)
from tests.signing.models import accepted, refusal
from weighmaster.core.verify.authorities import KeyAuthority, key_authority
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.errors import AuthorityError

Key = ec.EllipticCurvePrivateKey
CURVES: list[ec.EllipticCurve] = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: str(curve.name))
def test_each_curve_of_the_specification_is_verified_with_its_own_hash(
    curve: ec.EllipticCurve,
) -> None:
    key = ec.generate_private_key(curve)
    authority = key_authority(public_pem(key))
    assert accepted(key_bundle(model_statement(), key), authority)
    other: hashes.HashAlgorithm = hashes.SHA384() if curve.name == "secp256r1" else hashes.SHA256()
    signed = bundle(envelope(model_statement(), key, other), {"publicKey": {}})
    assert refusal(signed, authority) is R.BAD_SIGNATURE


def test_another_key_is_a_wrong_identity_where_the_bundle_says_so_and_bad_where_not(
    authority: KeyAuthority,
) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    signed = key_bundle(model_statement(), other)
    assert refusal(signed, authority) is R.WRONG_IDENTITY
    del signed["verificationMaterial"]["publicKey"]["hint"]
    assert refusal(signed, authority) is R.BAD_SIGNATURE


def test_the_hint_proves_nothing(key: Key, authority: KeyAuthority) -> None:
    other = key_bundle(model_statement(), ec.generate_private_key(ec.SECP256R1()))
    other["verificationMaterial"] = key_bundle(model_statement(), key)["verificationMaterial"]
    assert refusal(other, authority) is R.BAD_SIGNATURE


def test_keys_may_be_named_by_hint_of_pem_or_der_or_stand_in_the_bundle(
    key: Key, authority: KeyAuthority
) -> None:
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = public_pem(key).encode()
    forms = [
        {"hint": hashlib.sha256(pem).hexdigest()},
        {"hint": hashlib.sha256(der).hexdigest()},
        {"hint": base64.b64encode(hashlib.sha256(der).digest()).decode()},
        {"rawBytes": b64(der), "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
        {"rawBytes": b64(pem)},
        {},
    ]
    for form in forms:
        signed = bundle(envelope(model_statement(), key), {"publicKey": form})
        assert accepted(signed, authority)


@pytest.mark.parametrize("raw", [b"junk", b"-----BEGIN PUBLIC KEY-----\n"])
def test_a_key_in_the_bundle_that_is_not_the_authoritys_is_a_wrong_identity(
    key: Key, authority: KeyAuthority, raw: bytes
) -> None:
    other = public_pem(ec.generate_private_key(ec.SECP256R1())).encode()
    for rawbytes in (raw, other):
        material = {"publicKey": {"rawBytes": b64(rawbytes)}}
        signed = bundle(envelope(model_statement(), key), material)
        assert refusal(signed, authority) is R.WRONG_IDENTITY


def test_a_statement_changed_after_signing_is_refused(key: Key, authority: KeyAuthority) -> None:
    signed = key_bundle(model_statement(), key)
    other = key_bundle(model_statement(allow_symlinks=True), key)
    signed["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    assert refusal(signed, authority) is R.BAD_SIGNATURE


def test_the_same_json_in_other_bytes_is_refused(key: Key, authority: KeyAuthority) -> None:
    """What is signed are the bytes of the payload, not what they mean."""
    signed = key_bundle(model_statement(), key)
    payload = base64.b64decode(signed["dsseEnvelope"]["payload"])
    signed["dsseEnvelope"]["payload"] = b64(payload + b"\n")
    assert refusal(signed, authority) is R.BAD_SIGNATURE


@pytest.mark.parametrize(
    "material",
    [
        {"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}},
        {"certificate": {"rawBytes": "AAAA"}},
    ],
)
def test_a_bundle_of_another_method_than_the_authoritys_is_refused(
    key: Key, authority: KeyAuthority, material: dict[str, object]
) -> None:
    signed = bundle(envelope(model_statement(), key), material)
    assert refusal(signed, authority) is R.WRONG_METHOD


def _pem(key: object) -> str:
    public = key.public_key()  # type: ignore[attr-defined]
    return str(
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()
    )


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "junk",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        _pem(rsa.generate_private_key(65537, 2048)),
        _pem(ed25519.Ed25519PrivateKey.generate()),
        _pem(ec.generate_private_key(ec.SECP256K1())),
    ],
)
def test_what_is_not_a_key_of_the_specification_makes_no_authority(pem: str) -> None:
    with pytest.raises(AuthorityError):
        key_authority(pem)
