"""Files of a model against what is expected of them as a whole: a digest, and fingerprints."""

from collections.abc import Collection

from msgspec import Struct

from weighmaster.core.verify.loadable import (
    Digests,
    fingerprint,
    loadable,
    loadable_digest,
    read_fingerprints,
)
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import MAX_NAMES, listed
from weighmaster.errors import AuthorityError, VerificationError


class Expected(Struct, frozen=True):
    """What the files of a model must be that may be loaded.

    ``digest`` is that of all of them (``loadable_digest``), ``fingerprints`` tells them apart, and
    is empty where there are too many. ``reference`` is for messages.
    """

    reference: str
    digest: str
    fingerprints: str = ""


def check_all(expected: Expected, digests: Digests) -> None:
    """Raise VerificationError unless the files are all that are expected, and no others.

    Raises AuthorityError when what is expected cannot be read.
    """
    known = _known(expected)
    if loadable_digest(digests) == expected.digest:
        return
    found = loadable(digests)
    if known:
        _refuse_strangers(expected, known, found)
        missing = len(known) - len(found)
        raise VerificationError(
            VerificationReason.MISSING_FILES,
            f"{missing} of the {len(known)} files of {expected.reference} are not there",
        )
    raise VerificationError(
        VerificationReason.MISMATCH,
        f"the {len(found)} files are not those of {expected.reference}; there are too many to"
        " tell which differ",
    )


def check_some(expected: Expected, digests: Digests) -> None:
    """Raise VerificationError unless each of the files is one that is expected.

    Raises AuthorityError when nothing tells the expected files apart.
    """
    known = _known(expected)
    if not known:
        raise AuthorityError("single files are expected, and nothing tells them apart")
    _refuse_strangers(expected, known, loadable(digests))


def _known(expected: Expected) -> frozenset[bytes]:
    try:
        return read_fingerprints(expected.fingerprints)
    except ValueError:
        raise AuthorityError("the fingerprints that were expected cannot be read") from None


def _refuse_strangers(expected: Expected, known: Collection[bytes], found: Digests) -> None:
    names = [name for name, digest in found.items() if fingerprint(name, digest) not in known]
    if names:
        raise VerificationError(
            VerificationReason.MISMATCH,
            f"{len(names)} files differ from {expected.reference}, or do not belong to it:"
            f" {listed(names)}",
            tuple(sorted(names)[:MAX_NAMES]),
        )
