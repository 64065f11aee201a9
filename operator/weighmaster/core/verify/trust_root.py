"""Trust roots of Sigstore instances. Importing this imports ``sigstore`` (0.24 s of CPU, 45 MB).

Here, and in `keyless` where it verifies, is all that Weighmaster knows of ``sigstore``; it uses
nothing that is private there. What the library's verifier does not offer is read from the same
document.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from sigstore.errors import Error as SigstoreError
from sigstore.models import TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.common.v1 import TimeRange
from sigstore_models.trustroot.v1 import CertificateAuthority, TransparencyLogInstance
from sigstore_models.trustroot.v1 import TrustedRoot as TrustedRootDocument

from weighmaster.core.verify.chains import load_certificate
from weighmaster.core.verify.transparency import Issuers, LogKey, Period, PublicKey
from weighmaster.errors import AuthorityError, VerificationError

MAX_TRUST_ROOT_BYTES = 1024 * 1024


class TrustRoot:
    """A Sigstore instance's keys and certificates, from its ``trusted_root.json``.

    Fully offline: nothing is fetched or refreshed. It may be shared by authorities and threads.
    ``verifier`` verifies bundles; ``sigstore`` leaves out log keys of it that are not valid yet by
    the system's clock. The others are all there is, each with the time at which it was in use.
    """

    __slots__ = ("certificate_logs", "issuers", "logs", "verifier")

    def __init__(self, document: bytes) -> None:
        """Read a trusted root; raises AuthorityError when it cannot be used."""
        if len(document) > MAX_TRUST_ROOT_BYTES:
            raise AuthorityError(f"the trust root is larger than {MAX_TRUST_ROOT_BYTES} bytes")
        try:
            parsed = TrustedRootDocument.from_json(document)
            self.verifier = Verifier(trusted_root=TrustedRoot(parsed))
            self.logs = tuple(_log_keys(parsed.tlogs))
            self.certificate_logs = tuple(_log_keys(parsed.ctlogs))
            self.issuers = tuple(map(_issuers, parsed.certificate_authorities))
        except (SigstoreError, VerificationError, ValueError):
            raise AuthorityError(
                "the trust root is not a Sigstore trusted root (trusted_root.json) with"
                " certificate authorities and transparency logs"
            ) from None
        except (AttributeError, TypeError):
            # Either a document that the library trips over, or a library that is not the one we
            # know: tests/unit/verify/test_sigstore.py tells which.
            raise AuthorityError(
                "the installed sigstore library does not take the trust root: it may be a version"
                " that this one of Weighmaster does not know"
            ) from None


def _log_keys(logs: Iterable[TransparencyLogInstance]) -> Iterator[LogKey]:
    """The keys of logs that can be read; what the others sign counts for nothing."""
    for log in logs:
        try:
            key = serialization.load_der_public_key(log.public_key.raw_bytes or b"")
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(key, PublicKey):
            yield LogKey(key, _period(log.public_key.valid_for))


def _issuers(authority: CertificateAuthority) -> Issuers:
    certificates: tuple[x509.Certificate, ...] = tuple(
        load_certificate(each.raw_bytes) for each in authority.cert_chain.certificates
    )
    return Issuers(certificates, _period(authority.valid_for))


def _period(period: TimeRange | None) -> Period:
    if period is None:
        return Period()
    return Period(_aware(period.start), None if period.end is None else _aware(period.end))


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
