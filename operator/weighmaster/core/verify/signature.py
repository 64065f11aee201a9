"""Who signed the envelope of a bundle: one bundle against one authority."""

from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from weighmaster.core.verify import dsse
from weighmaster.core.verify.authorities import (
    Authority,
    CertificateAuthority,
    KeyAuthority,
    KeylessAuthority,
    is_signing_key,
)
from weighmaster.core.verify.bundle import IN_TOTO, Bundle, SignatureMethod
from weighmaster.core.verify.chains import Demand, find_path, identities_of, load_certificate
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signing_keys import check_key, is_signed_by
from weighmaster.core.verify.wording import listed, shown
from weighmaster.errors import VerificationError

_METHODS = {
    KeyAuthority: SignatureMethod.KEY,
    CertificateAuthority: SignatureMethod.CERTIFICATE,
    KeylessAuthority: SignatureMethod.KEYLESS,
}


class Signer(Struct, frozen=True):
    """Who signed, as verified.

    ``identity`` is a key's fingerprint (``sha256:<hex>`` of its DER), a certificate's SAN or
    subject, or a keyless subject; ``issuer`` the OIDC issuer, or the subject of the root
    certificate, or empty for a key.
    """

    method: SignatureMethod
    identity: str
    issuer: str = ""

    def __str__(self) -> str:
        by = f"{self.method.value} {shown(self.identity)}"
        return f"{by}, issuer {shown(self.issuer)}" if self.issuer else by


def verify_signature(
    bundle: Bundle, authority: Authority, now: datetime, *, legacy: bool = False
) -> Signer:
    """Who signed ``bundle.payload``, which is the authority.

    ``now`` is the time that certificates of the certificate method must be valid at (a keyless one
    is checked at the time the log or the timestamp says). ``legacy`` accepts signatures over the
    broken encoding of model-signing 0.2; the caller must then see to it that the payload is legacy.
    Raises VerificationError.
    """
    if bundle.method is not _METHODS[type(authority)]:
        raise VerificationError(
            VerificationReason.WRONG_METHOD,
            f"the model was signed by {bundle.method.value}, and the authority is of method"
            f" {_METHODS[type(authority)].value}",
        )
    if isinstance(authority, KeyAuthority):
        check_key(bundle, authority)
        _check_signature(bundle, authority.key, legacy=legacy, legacy_hash=None)
        return Signer(SignatureMethod.KEY, authority.fingerprint)
    if isinstance(authority, CertificateAuthority):
        return _verify_certificate(bundle, authority, now, legacy=legacy)
    # Imported here: sigstore costs 0.24 s of CPU and 45 MB, which key and certificate do not need.
    from weighmaster.core.verify.keyless import verify_keyless  # noqa: PLC0415

    return Signer(SignatureMethod.KEYLESS, *verify_keyless(bundle, authority))


def _verify_certificate(
    bundle: Bundle, authority: CertificateAuthority, now: datetime, *, legacy: bool
) -> Signer:
    leaf, *others = (load_certificate(der) for der in bundle.certificates)
    key = leaf.public_key()
    if not is_signing_key(key):
        raise VerificationError(
            VerificationReason.UNSUITABLE_CERTIFICATE,
            "the signing certificate's key is not an EC key on P-256, P-384 or P-521",
        )
    # Model-signing 0.2 hashed with SHA-256 whatever the curve.
    _check_signature(bundle, key, legacy=legacy, legacy_hash=hashes.SHA256())
    path = find_path(
        leaf, tuple(others), Demand(authority.roots, now, code_signing=authority.code_signing)
    )
    names = identities_of(leaf)
    if authority.subject not in names:
        found = listed(names) if names else "nobody"
        raise VerificationError(
            VerificationReason.WRONG_IDENTITY,
            f"the signing certificate names {found}, not {shown(authority.subject)}",
        )
    root = path[-1].subject.rfc4514_string()
    return Signer(SignatureMethod.CERTIFICATE, authority.subject, root)


def _check_signature(
    bundle: Bundle,
    key: ec.EllipticCurvePublicKey,
    *,
    legacy: bool,
    legacy_hash: hashes.HashAlgorithm | None,
) -> None:
    if is_signed_by(key, bundle.signature, dsse.encode(IN_TOTO, bundle.payload)):
        return
    if legacy and is_signed_by(
        key, bundle.signature, dsse.encode_legacy(IN_TOTO, bundle.payload), legacy_hash
    ):
        return
    raise VerificationError(
        VerificationReason.BAD_SIGNATURE,
        "the signature does not fit the statement and the key: one of them was changed, or"
        " somebody else signed",
    )
