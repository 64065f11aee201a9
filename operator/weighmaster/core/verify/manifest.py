"""Manifests: what was signed, as names and digests."""

import hashlib
from collections.abc import Iterable, Mapping

from msgspec import Struct


class Manifest(Struct, frozen=True):
    """The signed files of a model.

    ``digests`` maps each name to the lower-case hex digest of the whole file, ``algorithm`` is
    ``sha256``, ``blake2b`` or ``blake3``. ``allow_symlinks`` is whether the signer followed links.
    ``left_out`` is what the signer says was not signed; it is for messages and excuses nothing.
    """

    digests: Mapping[str, str]
    algorithm: str = "sha256"
    allow_symlinks: bool = False
    left_out: tuple[str, ...] = ()
    legacy: bool = False

    @property
    def digest(self) -> str:
        """The manifest digest, ``sha256:<hex>``."""
        return manifest_digest(self.algorithm, self.digests.items())


def manifest_digest(algorithm: str, digests: Iterable[tuple[str, str]]) -> str:
    """A digest that binds names, unlike the root digest of OMS section 6.5.

    SHA-256 over one line per file, sorted by the bytes of the name in UTF-8:
    ``name`` NUL ``algorithm:hex`` LF. Names hold no NUL, so no two manifests give the same text.
    """
    lines = sorted(
        name.encode() + b"\0" + f"{algorithm}:{digest}\n".encode() for name, digest in digests
    )
    return f"sha256:{hashlib.sha256(b''.join(lines)).hexdigest()}"
