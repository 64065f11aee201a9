"""Transparency logs of a Sigstore instance: their keys, and whether a certificate is in one.

RFC 6962 sections 3.2 and 3.3: Fulcio logs a certificate before it issues it, and embeds the log's
promise, a signed certificate timestamp (SCT).
"""

import hashlib
import struct
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.certificate_transparency import LogEntryType, SignedCertificateTimestamp
from msgspec import Struct

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.strict_json import malformed
from weighmaster.errors import VerificationError

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
"""What logs sign with."""

_MAX_CERTIFICATE = 1 << 24


class Period(Struct, frozen=True):
    """A time during which something was in use, both ends included; None has no end."""

    start: datetime | None = None
    end: datetime | None = None

    def contains(self, at: datetime) -> bool:
        """Whether a time is in it."""
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)


class LogKey(Struct, frozen=True):
    """A key of a log and when it was in use; ``id`` is the SHA-256 of the key in DER."""

    key: PublicKey
    in_use: Period = Period()

    @property
    def id(self) -> bytes:
        """What entries and timestamps of the log call it (RFC 6962 section 3.2)."""
        return hashlib.sha256(_der(self.key)).digest()


class Issuers(Struct, frozen=True):
    """Certificates of a certificate authority, and when they were in use."""

    certificates: tuple[x509.Certificate, ...]
    in_use: Period = Period()


def check_logged(leaf: x509.Certificate, issuer: x509.Certificate, logs: Iterable[LogKey]) -> None:
    """Raise VerificationError unless one of the logs promised to hold the certificate.

    ``issuer`` has been verified to be the certificate's. NotLogged, or Malformed where the
    timestamp cannot be read.
    """
    try:
        promise = _timestamp(leaf)
        signed = None if promise is None else _signed(promise, leaf, issuer)
    except Exception:  # noqa: BLE001 - on hostile input the library raises many builtin types
        raise malformed("the certificate's timestamp is not well-formed") from None
    if promise is None or signed is None:
        raise _not_logged("the certificate has no timestamp of a log: it was not logged")
    at = promise.timestamp.replace(tzinfo=UTC)
    for log in logs:
        if log.id == promise.log_id and log.in_use.contains(at):
            if _is_signed(log.key, promise.signature, signed):
                return
            raise _not_logged("the certificate's timestamp does not verify: it was not logged")
    raise _not_logged("the certificate's timestamp is of no log of the trust root")


def _timestamp(leaf: x509.Certificate) -> SignedCertificateTimestamp | None:
    """The one SCT; None where there is not one, of a form that a log signs."""
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.PrecertificateSignedCertificateTimestamps):
            found = list(extension.value)
            usable = len(found) == 1 and (
                found[0].entry_type is LogEntryType.PRE_CERTIFICATE
                and isinstance(found[0].signature_hash_algorithm, hashes.SHA256)
            )
            return found[0] if usable else None
    return None


def _signed(
    promise: SignedCertificateTimestamp, leaf: x509.Certificate, issuer: x509.Certificate
) -> bytes | None:
    """What the log signed (RFC 6962 section 3.2); None for what is too large for its form."""
    certificate = leaf.tbs_precertificate_bytes
    extensions = promise.extension_bytes
    key = issuer.public_key()
    if len(certificate) >= _MAX_CERTIFICATE or not isinstance(key, PublicKey):
        return None
    milliseconds = round(promise.timestamp.replace(tzinfo=UTC).timestamp() * 1000)
    return b"".join(
        (
            struct.pack("!BBQH", promise.version.value, 0, milliseconds, promise.entry_type.value),
            hashlib.sha256(_der(key)).digest(),
            struct.pack("!I", len(certificate))[1:],
            certificate,
            struct.pack("!H", len(extensions)),
            extensions,
        )
    )


def _is_signed(key: PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _der(key: PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _not_logged(message: str) -> VerificationError:
    return VerificationError(VerificationReason.NOT_LOGGED, message)
