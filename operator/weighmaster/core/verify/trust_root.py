"""Trust roots of Sigstore instances. Importing this imports ``sigstore`` (0.24 s of CPU, 45 MB)."""

from sigstore.errors import Error as SigstoreError
from sigstore.models import TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.trustroot.v1 import TrustedRoot as TrustedRootDocument

from weighmaster.errors import AuthorityError

MAX_TRUST_ROOT_BYTES = 1024 * 1024


class TrustRoot:
    """A Sigstore instance's keys and certificates, from its ``trusted_root.json``.

    Fully offline: nothing is fetched or refreshed. It may be shared by authorities and threads.
    ``sigstore`` leaves out log keys that are not valid yet by the system's clock.
    """

    __slots__ = ("verifier",)

    def __init__(self, document: bytes) -> None:
        """Read a trusted root; raises AuthorityError when it cannot be used."""
        if len(document) > MAX_TRUST_ROOT_BYTES:
            raise AuthorityError(f"the trust root is larger than {MAX_TRUST_ROOT_BYTES} bytes")
        try:
            root = TrustedRoot(TrustedRootDocument.from_json(document))
            self.verifier = Verifier(trusted_root=root)
        except (SigstoreError, ValueError):
            raise AuthorityError(
                "the trust root is not a Sigstore trusted root (trusted_root.json) with"
                " certificate authorities and transparency logs"
            ) from None
