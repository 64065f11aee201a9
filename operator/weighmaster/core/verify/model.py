"""Verification of a model: bundles and authorities, then the files. The one path for all callers.

    signed = verify_bundles(bundles, requirement, now)        # before any file is read
    verified = verify_files(signed, files, scope)             # a hub's list, or a hashed tree

or both with ``verify_model``.
"""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime

from msgspec import Struct

from weighmaster.core.matching import match
from weighmaster.core.verify.authorities import Authority
from weighmaster.core.verify.bundle import parse_bundle
from weighmaster.core.verify.compare import Comparison, File, Scope, compare
from weighmaster.core.verify.manifest import Manifest
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signature import Signer, verify_signature
from weighmaster.core.verify.statement import Terms, parse_statement
from weighmaster.errors import AuthorityError, VerificationError

MAX_BUNDLES = 16
"""Signatures of one model that are looked at; more are refused rather than left unread."""


class Requirement(Struct, frozen=True, kw_only=True):
    """Who must have signed: ``threshold`` of ``authorities``, each counted once.

    ``groups`` gives each authority a number, and those with the same count once together; without
    it each has its own. Raises AuthorityError when it could never be met, or would be met by
    nothing.
    """

    authorities: tuple[Authority, ...]
    threshold: int = 1
    terms: Terms = Terms()
    groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """An empty list of authorities must fail, not pass."""
        if self.groups and len(self.groups) != len(self.authorities):
            raise AuthorityError("not every authority is in a group")
        count = len(set(self.groups)) if self.groups else len(self.authorities)
        if not 1 <= self.threshold <= count:
            raise AuthorityError("the threshold must be between 1 and the number of authorities")

    def group(self, index: int) -> int:
        """As whom an authority counts."""
        return self.groups[index] if self.groups else index


class Signature(Struct, frozen=True):
    """One who signed, and the numbers of the authorities in the requirement that this is."""

    signer: Signer
    authorities: tuple[int, ...]


class SignedManifest(Struct, frozen=True):
    """A manifest that enough authorities have signed, and who.

    ``signers`` are those who count, ``signatures`` all that hold.
    """

    manifest: Manifest
    signers: tuple[Signer, ...]
    signatures: tuple[Signature, ...] = ()


class Verified(Struct, frozen=True):
    """The outcome of a verification that held.

    ``manifest_digest`` binds names and digests (``manifest.manifest_digest``).
    """

    signers: tuple[Signer, ...]
    manifest_digest: str
    comparison: Comparison
    signatures: tuple[Signature, ...] = ()


def verify_model(
    bundles: Sequence[bytes],
    requirement: Requirement,
    files: Mapping[str, File],
    scope: Scope,
    now: datetime,
) -> Verified:
    """Verify that the files are those that the required authorities signed.

    Raises VerificationError.
    """
    return verify_files(verify_bundles(bundles, requirement, now), files, scope)


def verify_bundles(
    bundles: Sequence[bytes], requirement: Requirement, now: datetime
) -> tuple[SignedManifest, ...]:
    """The manifests that ``threshold`` authorities have signed; at least one.

    Several differ when a model carries signatures of several versions; the files then decide.
    Raises VerificationError: what is wrong with the bundle that came nearest, or ThresholdNotMet.
    """
    if not bundles:
        raise VerificationError(VerificationReason.NOT_SIGNED, "the model has no signature")
    if len(bundles) > MAX_BUNDLES:
        raise VerificationError(
            VerificationReason.TOO_LARGE,
            f"the model has {len(bundles)} signatures; {MAX_BUNDLES} is the limit",
        )
    groups: dict[str, tuple[Manifest, dict[Signer, set[int]]]] = {}
    failures: list[VerificationError] = []
    for raw in bundles:
        try:
            manifest, signatures = _verify_bundle(raw, requirement, now)
        except VerificationError as error:
            failures.append(error)
            continue
        group = groups.setdefault(manifest.digest, (manifest, {}))
        for index, signer in signatures:
            group[1].setdefault(signer, set()).add(index)
        if group[0].allow_symlinks and not manifest.allow_symlinks:
            groups[manifest.digest] = (manifest, group[1])
    counted = [
        SignedManifest(manifest, _distinct(found, requirement), _signatures(found))
        for manifest, found in groups.values()
    ]
    enough = tuple(each for each in counted if len(each.signers) >= requirement.threshold)
    if enough:
        return enough
    if not counted:
        raise min(failures, key=_distance)
    most = max((each.signers for each in counted), key=len)
    raise VerificationError(
        VerificationReason.THRESHOLD_NOT_MET,
        f"{len(most)} of the authorities signed the model and {requirement.threshold} must"
        f" (found: {'; '.join(str(signer) for signer in most)})",
    )


def verify_files(
    signed: Sequence[SignedManifest], files: Mapping[str, File], scope: Scope
) -> Verified:
    """The first of the signed manifests that the files fulfil.

    Raises VerificationError: what is wrong by the first of them.
    """
    failure: VerificationError | None = None
    for each in signed:
        try:
            comparison = compare(each.manifest, files, scope)
        except VerificationError as error:
            failure = failure or error
            continue
        return Verified(each.signers, each.manifest.digest, comparison, each.signatures)
    raise failure or VerificationError(VerificationReason.NOT_SIGNED, "nothing was signed")


def _verify_bundle(
    raw: bytes, requirement: Requirement, now: datetime
) -> tuple[Manifest, list[tuple[int, Signer]]]:
    """The manifest of one bundle and which authorities signed it; at least one did."""
    terms = requirement.terms
    bundle = parse_bundle(raw)
    # The broken encoding of the legacy format may sign nothing but a legacy statement.
    legacy = terms.legacy and parse_statement(bundle.payload, terms).legacy
    signatures: list[tuple[int, Signer]] = []
    failures: list[VerificationError] = []
    for index, authority in enumerate(requirement.authorities):
        try:
            signer = verify_signature(bundle, authority, now, legacy=legacy)
        except VerificationError as error:
            failures.append(error)
            continue
        signatures.append((index, signer))
    if signatures:
        return parse_statement(bundle.payload, terms), signatures
    raise min(failures, key=_distance)


def _distinct(found: Mapping[Signer, Set[int]], requirement: Requirement) -> tuple[Signer, ...]:
    """The largest set of signers such that each has an authority of its own, and each once.

    One signature that fits two authorities fills one of them only.
    """
    groups = {signer: {requirement.group(n) for n in numbers} for signer, numbers in found.items()}
    taken = match(groups)
    return tuple(taken[authority] for authority in sorted(taken))


def _signatures(found: Mapping[Signer, Set[int]]) -> tuple[Signature, ...]:
    return tuple(Signature(signer, tuple(sorted(numbers))) for signer, numbers in found.items())


_NEAREST = (
    VerificationReason.LEGACY_FORMAT,
    VerificationReason.INCONSISTENT,
    VerificationReason.UNSAFE_NAME,
    VerificationReason.WRONG_IDENTITY,
    VerificationReason.EXPIRED,
    VerificationReason.NOT_YET_VALID,
    VerificationReason.UNSUITABLE_CERTIFICATE,
    VerificationReason.UNTRUSTED_ROOT,
    VerificationReason.NOT_LOGGED,
    VerificationReason.BAD_SIGNATURE,
)


def _distance(error: VerificationError) -> int:
    """How far a failure was from success; the nearest makes the most useful message."""
    reason = error.reason
    if reason in _NEAREST:
        return _NEAREST.index(VerificationReason(reason))
    return len(_NEAREST) + (reason is VerificationReason.WRONG_METHOD)
