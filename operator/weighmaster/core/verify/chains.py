"""Certificate chains up to given roots (RFC 5280 section 6), for signing, never the web PKI.

Our own path building, since the verifier of ``cryptography`` is for TLS: it wants what the web PKI
wants of names and extensions. Name constraints and policy constraints are refused, not evaluated.
"""

from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from msgspec import Struct

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import VerificationError

MAX_PATH = 8
"""Certificates on a path, leaf and root included."""

MAX_CHECKS = 64
"""Signatures checked while looking for a path: hostile chains have exponentially many paths."""

MIN_RSA_BITS = 2048

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)
_REFUSED = frozenset(
    {
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    }
)


T = TypeVar("T", bound=x509.ExtensionType)


class Demand(Struct, frozen=True):
    """What a path must satisfy: the roots, the time it must be valid at, the key usage."""

    roots: tuple[x509.Certificate, ...]
    at: datetime
    code_signing: bool


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate from DER; raises VerificationError (Malformed).

    All that is used later is parsed here, so that nothing later meets what cannot be parsed.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.public_key()
        _ = (
            certificate.extensions,
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )
    except Exception:  # noqa: BLE001 - the library has many errors for hostile DER, and builtin ones
        raise _malformed() from None
    if certificate.serial_number <= 0:
        raise _malformed()
    return certificate


def _malformed() -> VerificationError:
    return VerificationError(
        VerificationReason.MALFORMED, "a certificate in the bundle is not well-formed"
    )


def find_path(
    leaf: x509.Certificate, others: tuple[x509.Certificate, ...], demand: Demand
) -> list[x509.Certificate]:
    """A path from the leaf to one of the roots, both included.

    Raises VerificationError: Expired, NotYetValid, UnsuitableCertificate for the leaf or the
    nearest certificate above it that is at fault, else UntrustedRoot.
    """
    for problem in (_validity(leaf, demand.at), _leaf_problem(leaf, demand)):
        if problem is not None:
            raise problem
    search = _Search((*demand.roots, *others), demand)
    path = search.extend([leaf])
    if path is not None:
        return path
    raise search.problem or VerificationError(
        VerificationReason.UNTRUSTED_ROOT,
        "the signing certificate does not lead up to any of the given roots",
    )


class _Search:
    """Depth-first search for a path; ``problem`` is the first thing that was wrong with one."""

    def __init__(self, candidates: tuple[x509.Certificate, ...], demand: Demand) -> None:
        self._candidates = candidates
        self._demand = demand
        self._checks = 0
        self.problem: VerificationError | None = None

    def extend(self, path: list[x509.Certificate]) -> list[x509.Certificate] | None:
        last = path[-1]
        if last in self._demand.roots:
            return path
        if len(path) >= MAX_PATH:
            return None
        for issuer in self._candidates:
            if issuer in path or issuer.subject != last.issuer or not self._issued(last, issuer):
                continue
            problem = _validity(issuer, self._demand.at) or _issuer_problem(
                issuer, path, self._demand
            )
            if problem is not None:
                self.problem = self.problem or problem
                continue
            found = self.extend([*path, issuer])
            if found is not None:
                return found
        return None

    def _issued(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        self._checks += 1
        if self._checks > MAX_CHECKS:
            raise VerificationError(
                VerificationReason.TOO_LARGE, "the certificate chain has too many possible paths"
            )
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


def _validity(certificate: x509.Certificate, at: datetime) -> VerificationError | None:
    if at > certificate.not_valid_after_utc:
        until = certificate.not_valid_after_utc.isoformat()
        return VerificationError(
            VerificationReason.EXPIRED, f"a certificate of the chain expired at {until}"
        )
    if at < certificate.not_valid_before_utc:
        since = certificate.not_valid_before_utc.isoformat()
        return VerificationError(
            VerificationReason.NOT_YET_VALID, f"a certificate of the chain is valid from {since}"
        )
    return None


def _leaf_problem(leaf: x509.Certificate, demand: Demand) -> VerificationError | None:
    """OMS leaves CA:TRUE open (its own test chain has it), so the key's usage tells."""
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        return _unsuitable("the signing certificate's key usage is not digital signature")
    if usage.key_cert_sign:
        return _unsuitable("the signing certificate is one that issues certificates")
    if demand.code_signing:
        extended = _extension(leaf, x509.ExtendedKeyUsage)
        if extended is None or ExtendedKeyUsageOID.CODE_SIGNING not in extended:
            return _unsuitable("the signing certificate's extended key usage is not code signing")
    return _common_problem(leaf)


def _issuer_problem(
    issuer: x509.Certificate, path: list[x509.Certificate], demand: Demand
) -> VerificationError | None:
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return _unsuitable("a certificate in the chain was issued by one that is no authority's")
    below = sum(1 for each in path[1:] if each.subject != each.issuer)
    if constraints.path_length is not None and below > constraints.path_length:
        return _unsuitable("the chain is longer than an authority in it may have it")
    usage = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return _unsuitable("an authority in the chain may not issue certificates")
    extended = _extension(issuer, x509.ExtendedKeyUsage)
    if (
        demand.code_signing
        and extended is not None
        and ExtendedKeyUsageOID.CODE_SIGNING not in extended
        and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in extended
    ):
        return _unsuitable("an authority in the chain is not for code signing")
    return _common_problem(issuer)


def _common_problem(certificate: x509.Certificate) -> VerificationError | None:
    for extension in certificate.extensions:
        oid = extension.oid
        if oid in _REFUSED or (extension.critical and oid not in _UNDERSTOOD):
            return _unsuitable(
                f"a certificate in the chain has the extension {oid.dotted_string}, which is not"
                " supported and must not be ignored"
            )
    try:
        algorithm = certificate.signature_hash_algorithm
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return _unsuitable("a certificate in the chain uses an unknown algorithm")
    if algorithm is not None and not isinstance(algorithm, _HASHES):
        return _unsuitable("a certificate in the chain is signed with a weak hash")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return _unsuitable(f"a certificate in the chain has an RSA key under {MIN_RSA_BITS} bits")
    return None


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _unsuitable(message: str) -> VerificationError:
    return VerificationError(VerificationReason.UNSUITABLE_CERTIFICATE, message)


def identities_of(leaf: x509.Certificate) -> tuple[str, ...]:
    """Whom a certificate names: its SANs (URI, e-mail, DNS) or, without a SAN, its whole subject.

    A common name counts for nothing by itself: anybody's certificate can have any.
    """
    alternatives = _extension(leaf, x509.SubjectAlternativeName)
    if alternatives is None:
        subject = leaf.subject.rfc4514_string()
        return (subject,) if subject else ()
    kinds = (x509.UniformResourceIdentifier, x509.RFC822Name, x509.DNSName)
    return tuple(str(value) for kind in kinds for value in alternatives.get_values_for_type(kind))
