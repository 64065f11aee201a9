"""Authorities from signers that arrived by value."""

from weighmaster.core.mounted import Signer
from weighmaster.core.verify.authorities import (
    Authority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.errors import AuthorityError


def authority_of(signer: Signer) -> Authority:
    """The authority that a signer is; raises AuthorityError."""
    forms = [bool(signer.key), bool(signer.roots), bool(signer.issuer)]
    if sum(forms) != 1:
        raise AuthorityError("a signer is not exactly one of a key, a certificate and keyless")
    if signer.key:
        return key_authority(signer.key)
    if signer.roots:
        return certificate_authority(signer.roots, signer.subject, code_signing=signer.code_signing)
    # Imported here: sigstore takes a quarter of a second, which only keyless is worth.
    from weighmaster.core.verify.trust_root import TrustRoot  # noqa: PLC0415
    from weighmaster.verifying.trust_roots import public_good_trust_root  # noqa: PLC0415

    root = TrustRoot(signer.trust_root.encode()) if signer.trust_root else public_good_trust_root()
    return keyless_authority(
        root, signer.issuer, subject=signer.subject or None, pattern=signer.pattern or None
    )
