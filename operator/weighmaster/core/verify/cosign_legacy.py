"""Cosign's older forms: what is signed in a layer, and annotations with the rest.

A signature is of a simple-signing payload. An attestation is a DSSE envelope, which brings its
signature along; certificates and the log entry are in annotations all the same.
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md; the payload is that of
https://github.com/containers/image/blob/main/docs/containers-signature.5.md, whose ``critical``
members must all be understood.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct, structs

from weighmaster.core.evidence import SignatureBundle
from weighmaster.core.verify import dsse
from weighmaster.core.verify.authorities import (
    Authority,
    CertificateAuthority,
    KeyAuthority,
    is_signing_key,
)
from weighmaster.core.verify.bundle import (
    IN_TOTO,
    MAX_CERTIFICATE_BYTES,
    MAX_CERTIFICATES,
    MAX_SIGNATURE_BYTES,
    SignatureMethod,
)
from weighmaster.core.verify.chains import Demand, find_path, identities_of, load_certificate
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signature import Signer
from weighmaster.core.verify.signing_keys import is_signed_by
from weighmaster.core.verify.strict_json import (
    bytes_at,
    malformed,
    object_at,
    only_keys,
    parse_object,
    text_at,
)
from weighmaster.core.verify.wording import listed, shown
from weighmaster.errors import VerificationError

SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
BUNDLE = "dev.sigstore.cosign/bundle"

TYPE = "cosign container image signature"

MAX_PAYLOAD_BYTES = 64 * 1024
"""A payload has 300 bytes, and what its signer noted in ``optional``."""

MAX_ANNOTATION = 128 * 1024
_MAX_PARTS = 512
_ARMOUR = re.compile(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


class SimpleSignature(Struct, frozen=True):
    """One signature with what is said beside it; nothing of it has been verified.

    ``leaf`` is the signing certificate if there is one, ``log`` the text of Rekor's bundle.
    ``enveloped`` says that the payload was signed as a DSSE envelope has it.
    """

    payload: bytes
    signature: bytes
    leaf: x509.Certificate | None = None
    others: tuple[x509.Certificate, ...] = ()
    log: str | None = None
    enveloped: bool = False

    @property
    def message(self) -> bytes:
        """The bytes that were signed."""
        return dsse.encode(IN_TOTO, self.payload) if self.enveloped else self.payload


def verify_simple_signing(
    material: SignatureBundle, authority: Authority, digest: str, now: datetime
) -> Signer:
    """Who signed the artifact with this manifest digest, which is the authority.

    The payload is believed only after its signature verified. Raises VerificationError.
    """
    signature = bytes_at(dict(_notes(material)), SIGNATURE, "the signature's annotations")
    signed = SimpleSignature(material.content, signature)
    signer = verify_annotated(signed, material, authority, now)
    _check_payload(signed.payload, digest)
    return signer


def verify_annotated(
    signed: SimpleSignature, material: SignatureBundle, authority: Authority, now: datetime
) -> Signer:
    """Who signed, which is the authority, by what the annotations of the material say.

    Raises VerificationError.
    """
    if len(signed.signature) > MAX_SIGNATURE_BYTES:
        raise VerificationError(
            VerificationReason.TOO_LARGE,
            f"the signature has more than {MAX_SIGNATURE_BYTES} bytes",
        )
    # Certificates are read only where they count: the key says it all by itself.
    if isinstance(authority, KeyAuthority):
        check_signature(signed, authority.key)
        return Signer(SignatureMethod.KEY, authority.fingerprint)
    signed = _with_certificates(signed, material)
    if isinstance(authority, CertificateAuthority):
        return _verify_certificate(signed, authority, now)
    # Imported here: sigstore costs 0.24 s of CPU and 45 MB.
    from weighmaster.core.verify.cosign_log import verify_logged  # noqa: PLC0415

    return Signer(SignatureMethod.KEYLESS, *verify_logged(signed, authority))


def check_signature(signed: SimpleSignature, key: ec.EllipticCurvePublicKey) -> None:
    """Raise VerificationError (BadSignature) unless the key signed the payload.

    Cosign hashes with SHA-256 whatever the curve; others hash by the curve. Neither can be made to
    look like the other, so both are tried.
    """
    for algorithm in (hashes.SHA256(), None):
        if is_signed_by(key, signed.signature, signed.message, algorithm):
            return
    raise VerificationError(
        VerificationReason.BAD_SIGNATURE,
        "the signature does not fit the payload and the key: one of them was changed, or somebody"
        " else signed",
    )


def signing_key(signed: SimpleSignature) -> tuple[x509.Certificate, ec.EllipticCurvePublicKey]:
    """The certificate and its key. Raises VerificationError: WrongMethod, UnsuitableCertificate."""
    if signed.leaf is None:
        raise VerificationError(
            VerificationReason.WRONG_METHOD,
            "the artifact was signed by a key without a certificate, and the authority is known by"
            " certificates",
        )
    key = signed.leaf.public_key()
    if not is_signing_key(key):
        raise VerificationError(
            VerificationReason.UNSUITABLE_CERTIFICATE,
            "the signing certificate's key is not an EC key on P-256, P-384 or P-521",
        )
    return signed.leaf, key


def signing_certificate(material: SignatureBundle) -> x509.Certificate:
    """The certificate beside a signature that verified by it. Raises VerificationError."""
    return signing_key(_with_certificates(SimpleSignature(b"", b""), material))[0]


def read_certificates(text: str) -> tuple[x509.Certificate, ...]:
    """The certificates in PEM, and nothing else. Raises VerificationError: Malformed, TooLarge.

    Stricter than RFC 7468, which lets text stand around them that readers take differently.
    """
    blocks = _ARMOUR.findall(text)
    if _ARMOUR.sub("", text).strip():
        raise malformed("the certificates beside the signature are not plain PEM")
    if len(blocks) > MAX_CERTIFICATES:
        raise VerificationError(
            VerificationReason.TOO_LARGE, f"there are more than {MAX_CERTIFICATES} certificates"
        )
    found = []
    for block in blocks:
        try:
            der = base64.b64decode("".join(block.split()), validate=True)
        except (binascii.Error, ValueError):
            raise malformed("a certificate beside the signature is not base64") from None
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise VerificationError(
                VerificationReason.TOO_LARGE,
                f"a certificate has more than {MAX_CERTIFICATE_BYTES} bytes",
            )
        found.append(load_certificate(der))
    return tuple(found)


def _with_certificates(signed: SimpleSignature, material: SignatureBundle) -> SimpleSignature:
    notes = _notes(material)
    leaves = read_certificates(notes.get(CERTIFICATE, ""))
    if len(leaves) > 1:
        raise malformed("there must be one signing certificate beside a signature")
    return structs.replace(
        signed,
        leaf=leaves[0] if leaves else None,
        others=read_certificates(notes.get(CHAIN, "")),
        log=notes.get(BUNDLE) or None,
    )


def _notes(material: SignatureBundle) -> Mapping[str, str]:
    """The annotations that matter here, each once: manifest and layer may both have some."""
    found: dict[str, str] = {}
    for key, value in material.annotations:
        if key not in (SIGNATURE, CERTIFICATE, CHAIN, BUNDLE):
            continue
        if found.setdefault(key, value) != value:
            raise malformed("an annotation of the signature is there twice, with two values")
        if len(value) > MAX_ANNOTATION:
            raise VerificationError(
                VerificationReason.TOO_LARGE,
                f"an annotation of the signature has more than {MAX_ANNOTATION} characters",
            )
    return found


def _verify_certificate(
    signed: SimpleSignature, authority: CertificateAuthority, now: datetime
) -> Signer:
    leaf, key = signing_key(signed)
    check_signature(signed, key)
    demand = Demand(authority.roots, now, code_signing=authority.code_signing)
    path = find_path(leaf, signed.others, demand)
    names = identities_of(leaf)
    if authority.subject not in names:
        found = listed(names) if names else "nobody"
        raise VerificationError(
            VerificationReason.WRONG_IDENTITY,
            f"the signing certificate names {found}, not {shown(authority.subject)}",
        )
    root = path[-1].subject.rfc4514_string()
    return Signer(SignatureMethod.CERTIFICATE, authority.subject, root)


def _check_payload(payload: bytes, digest: str) -> None:
    """Raise VerificationError unless the payload says that this artifact was signed.

    Where the artifact lay (``docker-reference``) is its signer's note: artifacts are mirrored, and
    the digest alone says what they are.
    """
    document = parse_object(payload, "the payload", MAX_PAYLOAD_BYTES, _MAX_PARTS)
    only_keys(document, frozenset({"critical", "optional"}), "the payload")
    critical = object_at(document, "critical", "the payload")
    only_keys(critical, frozenset({"identity", "image", "type"}), "the payload's critical part")
    kind = text_at(critical, "type", "the payload")
    if kind != TYPE:
        raise VerificationError(
            VerificationReason.UNSUPPORTED,
            f"the payload is of the type {shown(kind)}, not {shown(TYPE)}",
        )
    image = object_at(critical, "image", "the payload")
    only_keys(image, frozenset({"docker-manifest-digest"}), "the payload's image")
    found = text_at(image, "docker-manifest-digest", "the payload")
    if found != digest:
        raise VerificationError(
            VerificationReason.OTHER_ARTIFACT,
            f"the signature is of the artifact {shown(found)}, not of {digest}",
        )
