"""Files that a server may load, as what a whole model is known by.

What documentation says, and what hubs and signers leave beside a model, changes nothing about what
is served, and copies of a model often lack it. Everything else counts, by name and content.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping

from weighmaster.core.verify.classes import FileClass, classify, may_be_unsigned
from weighmaster.core.verify.manifest import manifest_digest

ALGORITHM = "sha256"

FINGERPRINT_BYTES = 24
"""Bytes of a SHA-256 that a fingerprint keeps: 96 bits against collisions, 192 against second
preimages (NIST SP 800-107 section 5.1), in three quarters of the space."""

MAX_FINGERPRINTS = 512
"""Files of one model that are told apart; 16 KiB of text. Larger models are known as a whole."""

Digests = Mapping[str, str]
"""File name to lower-case hex SHA-256."""


def is_loadable(name: str) -> bool:
    """Whether a file in a model may be loaded by a server.

    All may, but documentation, signatures and the bookkeeping of hubs (``may_be_unsigned``).
    """
    return not may_be_unsigned(name) and classify(name) is not FileClass.DOCUMENTATION


def loadable(digests: Digests) -> dict[str, str]:
    """Those of some files that may be loaded."""
    return {name: digest for name, digest in digests.items() if is_loadable(name)}


def loadable_digest(digests: Digests) -> str:
    """One digest of all files that may be loaded, names included (``manifest_digest``)."""
    return manifest_digest(ALGORITHM, loadable(digests).items())


def fingerprint(name: str, digest: str) -> bytes:
    """What one file is known by: the beginning of a SHA-256 over its line in the manifest."""
    line = name.encode() + b"\0" + f"{ALGORITHM}:{digest}\n".encode()
    return hashlib.sha256(line).digest()[:FINGERPRINT_BYTES]


def fingerprints(digests: Digests) -> str | None:
    """All files that may be loaded, in base64 and sorted; None where there are too many."""
    files = loadable(digests)
    if len(files) > MAX_FINGERPRINTS:
        return None
    return base64.b64encode(b"".join(sorted(fingerprint(*each) for each in files.items()))).decode()


def read_fingerprints(text: str) -> frozenset[bytes]:
    """Fingerprints from their text; raises ValueError when it is none."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if len(raw) % FINGERPRINT_BYTES:
        raise ValueError("not a list of fingerprints")
    return frozenset(_cut(raw))


def _cut(raw: bytes) -> Iterable[bytes]:
    return (raw[at : at + FINGERPRINT_BYTES] for at in range(0, len(raw), FINGERPRINT_BYTES))
