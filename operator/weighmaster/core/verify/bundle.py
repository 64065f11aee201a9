"""Sigstore bundles that carry a DSSE envelope: parsing, strict and bounded.

https://docs.sigstore.dev/about/bundle/ and OMS v1.0 sections 4 and 11.
"""

from enum import StrEnum

from msgspec import Struct

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.strict_json import (
    bytes_at,
    list_at,
    malformed,
    object_at,
    only_keys,
    parse_object,
    text_at,
)
from weighmaster.errors import VerificationError

MAX_BUNDLE_BYTES = 8 * 1024 * 1024
"""A manifest of 2,000 files makes a bundle of half a megabyte."""

MAX_CONTAINERS = 4096
"""Objects and lists in a bundle; the payload is one string in it."""

MAX_CERTIFICATES = 10
MAX_CERTIFICATE_BYTES = 64 * 1024
MAX_SIGNATURE_BYTES = 1024

MEDIA_TYPES = frozenset(
    {
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
    }
)
"""Both spellings of version 0.3, which OMS is defined on."""

IN_TOTO = "application/vnd.in-toto+json"
"""Payload type of in-toto statements, the only one accepted."""


class SignatureMethod(StrEnum):
    """How a bundle was signed (OMS section 4.1)."""

    KEY = "key"
    CERTIFICATE = "certificate"
    KEYLESS = "keyless"


class Bundle(Struct, frozen=True):
    """A parsed bundle; nothing in it has been verified.

    ``payload`` are the raw bytes that were signed, ``signature`` is DER (ECDSA). ``key_hint`` and
    ``key_bytes`` are what a key-signed bundle says about its key; ``certificates`` are DER, the
    leaf first. ``raw`` is the whole bundle.
    """

    method: SignatureMethod
    payload: bytes
    signature: bytes
    raw: bytes
    key_hint: str | None = None
    key_bytes: bytes | None = None
    certificates: tuple[bytes, ...] = ()
    logged: bool = False


_TOP = frozenset({"mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"})
_ENVELOPE = frozenset({"payload", "payloadType", "signatures"})
_SIGNATURE = frozenset({"sig", "keyid"})
_METHODS = {
    "publicKey": SignatureMethod.KEY,
    "x509CertificateChain": SignatureMethod.CERTIFICATE,
    "certificate": SignatureMethod.KEYLESS,
}
_MATERIAL = frozenset({*_METHODS, "tlogEntries", "timestampVerificationData"})


def parse_bundle(raw: bytes) -> Bundle:
    """Parse a bundle.

    Raises VerificationError: Malformed, TooLarge, or Unsupported for another media type, payload
    type, kind of content, or for more than one signature (all but the first would go unread).
    """
    document = parse_object(raw, "the bundle", MAX_BUNDLE_BYTES, MAX_CONTAINERS)
    only_keys(document, _TOP, "the bundle")
    media_type = text_at(document, "mediaType", "the bundle")
    if media_type not in MEDIA_TYPES:
        raise _unsupported("the bundle's media type is not that of a Sigstore bundle v0.3")
    if document.get("messageSignature") is not None:
        raise _unsupported("the bundle signs a bare message; a DSSE envelope is needed")
    payload, signature = parse_envelope(object_at(document, "dsseEnvelope", "the bundle"))
    material = object_at(document, "verificationMaterial", "the bundle")
    only_keys(material, _MATERIAL, "the verification material")
    present = [key for key in _METHODS if material.get(key) is not None]
    if len(present) != 1:
        raise malformed(
            "the verification material must be exactly one of a public key, a certificate chain"
            " and a certificate"
        )
    logged = material.get("tlogEntries") not in (None, [])
    inner = object_at(material, present[0], "the verification material")
    method = _METHODS[present[0]]
    hint, key_bytes = _key(inner) if method is SignatureMethod.KEY else (None, None)
    certificates: tuple[bytes, ...] = ()
    if method is SignatureMethod.CERTIFICATE:
        certificates = _chain(inner)
    elif method is SignatureMethod.KEYLESS:
        certificates = (_certificate(inner),)
    return Bundle(method, payload, signature, raw, hint, key_bytes, certificates, logged)


def parse_envelope(envelope: dict[str, object]) -> tuple[bytes, bytes]:
    """Payload and the one signature of a DSSE envelope; keyid says nothing (OMS section 4.1).

    Raises VerificationError.
    """
    only_keys(envelope, _ENVELOPE, "the DSSE envelope")
    if text_at(envelope, "payloadType", "the DSSE envelope") != IN_TOTO:
        raise _unsupported(f"the DSSE payload type is not {IN_TOTO}")
    signatures = list_at(envelope, "signatures", "the DSSE envelope")
    if not signatures:
        raise VerificationError(
            VerificationReason.NOT_SIGNED, "the DSSE envelope has no signature in it"
        )
    if len(signatures) > 1:
        raise _unsupported(
            f"the DSSE envelope has {len(signatures)} signatures; put each into a bundle of its own"
        )
    only = signatures[0]
    if not isinstance(only, dict):
        raise malformed("the signature in the DSSE envelope is not an object")
    only_keys(only, _SIGNATURE, "the signature in the DSSE envelope")
    if not isinstance(only.get("keyid"), str | None):
        raise malformed("the keyid in the DSSE envelope is not a text")
    signature = bytes_at(only, "sig", "the DSSE envelope")
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise VerificationError(
            VerificationReason.TOO_LARGE,
            f"the signature has more than {MAX_SIGNATURE_BYTES} bytes",
        )
    return bytes_at(envelope, "payload", "the DSSE envelope"), signature


def _key(public_key: dict[str, object]) -> tuple[str | None, bytes | None]:
    """Hint and raw bytes of a public key; OMS section 11.1: either, and neither is trusted."""
    hint = public_key.get("hint")
    if not isinstance(hint, str | None):
        raise malformed("the public key's hint is not a text")
    if public_key.get("rawBytes") is None:
        return hint or None, None
    return hint or None, bytes_at(public_key, "rawBytes", "the public key")


def _chain(value: dict[str, object]) -> tuple[bytes, ...]:
    certificates = list_at(value, "certificates", "the certificate chain")
    if not 1 <= len(certificates) <= MAX_CERTIFICATES:
        raise malformed(f"the certificate chain must have 1 to {MAX_CERTIFICATES} certificates")
    return tuple(_certificate(each) for each in certificates)


def _certificate(value: object) -> bytes:
    if not isinstance(value, dict):
        raise malformed("a certificate in the bundle is not an object")
    der = bytes_at(value, "rawBytes", "a certificate in the bundle")
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise VerificationError(
            VerificationReason.TOO_LARGE,
            f"a certificate has more than {MAX_CERTIFICATE_BYTES} bytes",
        )
    return der


def _unsupported(message: str) -> VerificationError:
    return VerificationError(VerificationReason.UNSUPPORTED, message)
