"""Keyless signatures (Sigstore): Fulcio certificate, Rekor entry (v1, v2), timestamps.

On the ``sigstore`` library, offline, with a given trust root. Who signed is read from the
certificate after it verified, so that a refusal can say who it was.
"""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sigstore.errors import CertValidationError
from sigstore.errors import Error as SigstoreError
from sigstore.models import Bundle as SigstoreBundle

from weighmaster.core.verify import dsse
from weighmaster.core.verify.authorities import KeylessAuthority, is_signing_key
from weighmaster.core.verify.bundle import IN_TOTO, Bundle
from weighmaster.core.verify.chains import load_certificate
from weighmaster.core.verify.identities import issuer_of, subject_of
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signing_keys import is_signed_by
from weighmaster.core.verify.strict_json import malformed
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError


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
    subject, issuer = subject_of(leaf), issuer_of(leaf)
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
