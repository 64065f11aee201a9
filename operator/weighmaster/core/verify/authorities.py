"""Authorities with their key material resolved: who may sign, ready to verify with.

The API's authorities (``weighmaster.api.v1alpha1.authority``) name secrets and ConfigMaps; whoever
has read those makes these values of them. They hold no state that a verification changes.
"""

import hashlib
from typing import TYPE_CHECKING, TypeGuard

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from weighmaster.core import subjects
from weighmaster.errors import AuthorityError

if TYPE_CHECKING:
    from weighmaster.core.verify.trust_root import TrustRoot

CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""P-256, P-384 and P-521: the key types of OMS."""

MAX_ROOTS = 32
MAX_PATTERN = 512


class KeyAuthority(Struct, frozen=True):
    """Whoever holds the private half of a key."""

    key: ec.EllipticCurvePublicKey

    @property
    def fingerprint(self) -> str:
        """``sha256:<hex>`` of the key in DER (SubjectPublicKeyInfo)."""
        return f"sha256:{hashlib.sha256(public_der(self.key)).hexdigest()}"


class CertificateAuthority(Struct, frozen=True):
    """Whoever holds a certificate for an identity, issued under one of the given roots.

    ``subject`` is a SAN of the leaf (URI, e-mail or DNS name) or, where it has no SAN, its whole
    subject as RFC 4514 writes it. ``code_signing`` demands that extended key usage.
    """

    roots: tuple[x509.Certificate, ...]
    subject: str
    code_signing: bool = True


class KeylessAuthority(Struct, frozen=True):
    """Whoever an OIDC issuer vouches for, by a certificate of a Sigstore instance.

    Exactly one of ``subject`` and ``pattern`` is set; a pattern is matched in full.
    """

    trust_root: "TrustRoot"
    issuer: str
    subject: str | None = None
    pattern: str | None = None

    def matches(self, subject: str) -> bool:
        """Whether a subject is this authority's."""
        if self.pattern is None:
            return subject == self.subject
        return subjects.matches(self.pattern, subject)

    @property
    def wanted(self) -> str:
        """The subject or the pattern, for messages."""
        return self.subject if self.subject is not None else f"{self.pattern} (pattern)"


Authority = KeyAuthority | CertificateAuthority | KeylessAuthority


class KnownAuthority(Struct, frozen=True):
    """An authority as records know it. ``problem`` says why its key material cannot be used.

    ``material`` is a digest of the Secrets and ConfigMaps that its key material was read from.
    """

    id: str
    authority: Authority | None = None
    problem: str | None = None
    material: str = ""


def key_authority(pem: str) -> KeyAuthority:
    """An authority from a PEM public key; raises AuthorityError."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise AuthorityError("the key is not a public key in PEM") from None
    if not is_signing_key(key):
        raise AuthorityError("the key is not an EC key on P-256, P-384 or P-521")
    return KeyAuthority(key)


def certificate_authority(
    roots_pem: str, subject: str, *, code_signing: bool = True
) -> CertificateAuthority:
    """An authority from PEM root certificates and an identity; raises AuthorityError."""
    if not subject.strip():
        raise AuthorityError("a certificate authority needs a subject: whose certificate it is")
    try:
        roots = x509.load_pem_x509_certificates(roots_pem.encode())
    except ValueError:
        raise AuthorityError("the roots are not certificates in PEM") from None
    if len(roots) > MAX_ROOTS:
        raise AuthorityError(f"there are {len(roots)} roots; {MAX_ROOTS} is the limit")
    return CertificateAuthority(tuple(roots), subject, code_signing)


def keyless_authority(
    trust_root: "TrustRoot", issuer: str, *, subject: str | None = None, pattern: str | None = None
) -> KeylessAuthority:
    """An authority from an issuer and a subject or a pattern for it; raises AuthorityError."""
    if not issuer.strip():
        raise AuthorityError("a keyless authority needs an issuer")
    if (subject is None) == (pattern is None):
        raise AuthorityError("a keyless authority needs either a subject or a pattern for it")
    if subject is not None and not subject.strip():
        raise AuthorityError("the subject of a keyless authority is empty")
    if pattern is not None:
        _check_pattern(pattern)
    return KeylessAuthority(trust_root, issuer, subject, pattern)


def is_signing_key(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Whether a key is of a type that OMS signs with."""
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES


def public_der(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key in DER (SubjectPublicKeyInfo)."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _check_pattern(pattern: str) -> None:
    if not pattern.startswith("^") or not pattern.endswith("$") or len(pattern) > MAX_PATTERN:
        raise AuthorityError(
            f"a subject pattern must begin with ^ and end with $, in {MAX_PATTERN} characters"
        )
    try:
        # By itself first: "^a$)|(?:b$" is well-formed only inside the group that anchors it.
        subjects.is_found(pattern, "")
        subjects.matches(pattern, "")
    except RuntimeError:
        raise AuthorityError("the subject pattern is not an RE2 regular expression") from None
