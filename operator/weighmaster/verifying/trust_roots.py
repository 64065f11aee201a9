"""The trust root of the Sigstore public good instance, as shipped with the ``sigstore`` package."""

from importlib.resources import files
from urllib.parse import quote

from weighmaster.core.verify.trust_root import TrustRoot

PUBLIC_GOOD = "https://tuf-repo-cdn.sigstore.dev"


def public_good_trust_root() -> TrustRoot:
    """The public good instance's trust root; read from the package, never from the network."""
    folder = files("sigstore._store") / quote(PUBLIC_GOOD, safe="")
    return TrustRoot((folder / "trusted_root.json").read_bytes())
