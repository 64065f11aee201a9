"""Signatures by EC keys (OMS section 4.2): P-256 with SHA-256, P-384 with SHA-384, P-521 with 512.

The hash follows from the curve; the bundle has no say in it.
"""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from weighmaster.core.verify.authorities import KeyAuthority, public_der
from weighmaster.core.verify.bundle import Bundle
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import VerificationError

HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


def is_signed_by(
    key: ec.EllipticCurvePublicKey,
    signature: bytes,
    message: bytes,
    algorithm: hashes.HashAlgorithm | None = None,
) -> bool:
    """Whether ``signature`` is the key's over ``message``; the hash is the curve's by default."""
    try:
        key.verify(signature, message, ec.ECDSA(algorithm or HASHES[key.curve.name]))
    except InvalidSignature:
        return False
    return True


def check_key(bundle: Bundle, authority: KeyAuthority) -> None:
    """Raise VerificationError (WrongIdentity) when the bundle says that it is by another key.

    What it says proves nothing and only makes for a better message: the signature decides.
    """
    if bundle.key_bytes is not None and not _is_key(bundle.key_bytes, authority):
        raise _other_key(authority)
    if bundle.key_hint is not None and bundle.key_hint not in _fingerprints(authority.key):
        raise _other_key(authority)


def _other_key(authority: KeyAuthority) -> VerificationError:
    return VerificationError(
        VerificationReason.WRONG_IDENTITY,
        f"the model was signed by another key than {authority.fingerprint}",
    )


def _is_key(raw: bytes, authority: KeyAuthority) -> bool:
    """Whether bytes are the authority's key: DER, or PEM as some old signers have it."""
    if raw == public_der(authority.key):
        return True
    try:
        key = serialization.load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return key == authority.key


def _fingerprints(key: ec.EllipticCurvePublicKey) -> tuple[str, ...]:
    """Hints by which signers name a key: hex SHA-256 of its PEM text (OMS), or of its DER."""
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    der = hashlib.sha256(public_der(key))
    return (
        hashlib.sha256(pem).hexdigest(),
        hashlib.sha256(pem.rstrip(b"\n")).hexdigest(),
        der.hexdigest(),
        base64.b64encode(der.digest()).decode(),
    )
