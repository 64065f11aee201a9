"""Verification of a model on disk: signature, then names, then bytes, in order of what they cost.

A tree that lacks a file or has one too many is refused before any weights are read.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from weighmaster.core.verify.compare import File, Scope
from weighmaster.core.verify.model import (
    Requirement,
    SignedManifest,
    Verified,
    verify_bundles,
    verify_files,
)
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import VerificationError
from weighmaster.verifying.hashing import Hashing, hash_files
from weighmaster.verifying.tree import Links, TreeFile, walk


class Request(Struct, frozen=True, kw_only=True):
    """What to verify: the model's folder (or its one file), its bundles, and by whom and how.

    ``signatures`` are where the bundles lie; in the folder they are left out of the comparison, by
    that path and no other.
    """

    root: Path
    bundles: Sequence[bytes]
    requirement: Requirement
    scope: Scope = Scope()
    links: Links = Links.INSIDE
    signatures: tuple[Path, ...] = ()


def verify_directory(request: Request, now: datetime, hashing: Hashing) -> Verified:
    """Verify a model on disk; raises VerificationError.

    Only what was signed is read: other files can but be there, or not be allowed to.
    """
    signed = verify_bundles(request.bundles, request.requirement, now)
    files = _without(walk(request.root, request.links), request.root, request.signatures)
    failure: VerificationError | None = None
    for each in signed:
        try:
            return _verify_one(each, files, request.scope, hashing)
        except VerificationError as error:
            failure = failure or error
    raise failure or VerificationError(VerificationReason.NOT_SIGNED, "nothing was signed")


def _verify_one(
    signed: SignedManifest, files: Sequence[TreeFile], scope: Scope, hashing: Hashing
) -> Verified:
    digests, algorithm = signed.manifest.digests, signed.manifest.algorithm
    presumed = {
        file.name: File(digests.get(file.name), file.size, algorithm, file.symlink)
        for file in files
    }
    verify_files([signed], presumed, scope)
    hashed = hash_files((file for file in files if file.name in digests), algorithm, hashing)
    unread = {
        file.name: File(None, file.size, algorithm, file.symlink)
        for file in files
        if file.name not in digests
    }
    return verify_files([signed], {**unread, **hashed}, scope)


def _without(files: Sequence[TreeFile], root: Path, signatures: Sequence[Path]) -> list[TreeFile]:
    """The files but for the signatures (OMS section 6.2); a link to a signature is none."""
    top = root.resolve()
    places = {signature.parent.resolve() / signature.name for signature in signatures}
    return [file for file in files if top / file.name not in places or top.is_file()]
