"""Keyless signatures (Sigstore): Fulcio certificate, Rekor entry (v1, v2), timestamps.

On the ``sigstore`` library, offline, with a given trust root. Who signed is read from the
certificate after it verified, so that a refusal can say who it was.
"""

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from sigstore.errors import CertValidationError
from sigstore.errors import Error as SigstoreError
from sigstore.models import Bundle as SigstoreBundle

from weighmaster.core.verify import dsse
from weighmaster.core.verify.authorities import KeylessAuthority, is_signing_key
from weighmaster.core.verify.bundle import IN_TOTO, Bundle
from weighmaster.core.verify.chains import identities_of, load_certificate
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signing_keys import is_signed_by
from weighmaster.core.verify.strict_json import malformed
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError

# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OTHER_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")


class _Anybody:
    """A policy of ``sigstore`` that leaves the identity to us."""

    def verify(self, cert: x509.Certificate) -> None:
        """Accept."""


def verify_keyless(bundle: Bundle, authority: KeylessAuthority) -> tuple[str, str]:
    """The subject and the issuer that signed, which are the authority's.

    Raises VerificationError: BadSignature, NotLogged, UntrustedRoot, Malformed, WrongIdentity.
    """
    leaf = load_certificate(bundle.certificates[0])
    key = leaf.public_key()
    if not is_signing_key(key):
        raise VerificationError(
            VerificationReason.UNSUITABLE_CERTIFICATE, "the signing certificate's key is no EC key"
        )
    # sigstore-python signs and verifies DSSE with SHA-256 whatever the curve.
    message = dsse.encode(IN_TOTO, bundle.payload)
    if not is_signed_by(key, bundle.signature, message, hashes.SHA256()):
        raise VerificationError(
            VerificationReason.BAD_SIGNATURE,
            "the signature does not fit the statement: one of them was changed",
        )
    if not bundle.logged:
        raise VerificationError(
            VerificationReason.NOT_LOGGED, "the bundle has no transparency log entry"
        )
    _verify_evidence(bundle, authority)
    subject, issuer = _subject(leaf), _issuer(leaf)
    if issuer != authority.issuer or not authority.matches(subject):
        raise VerificationError(
            VerificationReason.WRONG_IDENTITY,
            f"the model was signed by {shown(subject)}, issuer {shown(issuer)}, not by"
            f" {shown(authority.wanted)}, issuer {shown(authority.issuer)}",
        )
    return subject, issuer


def _verify_evidence(bundle: Bundle, authority: KeylessAuthority) -> None:
    try:
        parsed = SigstoreBundle.from_json(bundle.raw)
        kind, payload = authority.trust_root.verifier.verify_dsse(parsed, _Anybody())
    except CertValidationError:
        raise VerificationError(
            VerificationReason.UNTRUSTED_ROOT,
            "the signing certificate was not issued by the Sigstore instance of the trust root, or"
            " not valid when it signed",
        ) from None
    except SigstoreError:
        raise VerificationError(
            VerificationReason.NOT_LOGGED,
            "the transparency log entry, the certificate's timestamp or the signed time does not"
            " verify against the trust root",
        ) from None
    except Exception:  # noqa: BLE001 - on hostile input the library raises many builtin types
        raise malformed("the keyless signature is not well-formed") from None
    same_certificate = parsed.signing_certificate == load_certificate(bundle.certificates[0])
    if kind != IN_TOTO or payload != bundle.payload or not same_certificate:
        raise malformed("the bundle reads differently to two parsers")


def _subject(leaf: x509.Certificate) -> str:
    """The one SAN of a Fulcio certificate; raises VerificationError when there is not one."""
    names = identities_of(leaf) if _has_alternatives(leaf) else ()
    if not names:
        names = _other_names(leaf)
    if len(names) != 1:
        raise malformed("the signing certificate names nobody, or several")
    return names[0]


def _has_alternatives(leaf: x509.Certificate) -> bool:
    return any(isinstance(each.value, x509.SubjectAlternativeName) for each in leaf.extensions)


def _other_names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Usernames, which Fulcio writes as otherName."""
    try:
        value = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(
            asn1.decode_der(str, other.value)
            for other in value.get_values_for_type(x509.OtherName)
            if other.type_id == _OTHER_NAME
        )
    except (x509.ExtensionNotFound, ValueError):
        return ()


def _issuer(leaf: x509.Certificate) -> str:
    """The OIDC issuer; both extensions for it must agree where both are there."""
    found = set()
    for extension in leaf.extensions:
        value = extension.value
        if not isinstance(value, x509.UnrecognizedExtension):
            continue
        try:
            if extension.oid == _ISSUER_V1:
                found.add(value.value.decode())
            elif extension.oid == _ISSUER_V2:
                found.add(asn1.decode_der(str, value.value))
        except ValueError:
            raise malformed("the issuer in the signing certificate is not a text") from None
    if len(found) != 1:
        raise malformed("the signing certificate names no issuer, or several")
    return found.pop()
