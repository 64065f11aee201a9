"""Verification of mounted weights against expectations that arrived by value.

Nothing is believed that lies on the volume: what is there only has to be what was expected, whole.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import Struct, structs

from weighmaster.core.mounted import Expectation, Proof, Result, Signatures, Verdict, Weighed
from weighmaster.core.verify.bundle import MAX_BUNDLE_BYTES
from weighmaster.core.verify.compare import File, Scope
from weighmaster.core.verify.expected import Expected, check_all, check_some
from weighmaster.core.verify.loadable import ALGORITHM, is_loadable, loadable_digest
from weighmaster.core.verify.model import (
    Requirement,
    SignedManifest,
    Verified,
    verify_bundles,
    verify_files,
)
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.statement import Terms
from weighmaster.core.verify.wording import shown
from weighmaster.errors import AuthorityError, VerificationError
from weighmaster.verifying.hashing import Hashing, algorithms, changed, hash_files
from weighmaster.verifying.mounts import Mount
from weighmaster.verifying.signers import authority_of
from weighmaster.verifying.tree import TreeFile, walk_mounted

SIGNATURE_NAMES = ("model.sig", "result.sigstore", "model.sigstore.json")
"""Where a model's bundle lies in its folder; the first is what model-signing writes."""

FILE_SIGNATURES = (".sig", ".sigstore.json", ".oms.sig")
"""What the name of a single file's bundle has in addition to the file's."""

_PART = re.compile(r"(.+)-\d{5}-of-\d{5}\.gguf\Z")
"""llama.cpp loads all parts of a split file when it is given the first (gguf-split)."""


class Work(Struct, frozen=True):
    """How to verify: the folder of the mounts, the time, how to hash, a clock in seconds."""

    mounts: Path
    now: datetime
    hashing: Hashing = Hashing()
    clock: Callable[[], float] = time.monotonic


def verify_expectations(expectations: Sequence[Expectation], work: Work) -> Verdict:
    """The verdict on all places; the first that is not as expected ends it. Never raises."""
    started = work.clock()
    weighed: list[Weighed] = []
    verdict = Verdict(result=Result.VERIFIED)
    for expectation in expectations:
        try:
            weighed.append(_weigh(expectation, work))
        except (VerificationError, AuthorityError) as error:
            verdict = _refused(expectation, error)
            break
        except OSError:
            unreadable = VerificationError(
                VerificationReason.UNREADABLE, "the volume cannot be read"
            )
            verdict = _refused(expectation, unreadable)
            break
    return structs.replace(
        verdict, verified=tuple(weighed), seconds=round(work.clock() - started, 3)
    )


def _refused(expectation: Expectation, error: VerificationError | AuthorityError) -> Verdict:
    about = Verdict(
        result=Result.REFUSED,
        message=str(error),
        reference=expectation.reference,
        store=expectation.store,
    )
    if isinstance(error, VerificationError):
        return structs.replace(about, reason=error.reason.value, files=error.files)
    return structs.replace(about, result=Result.FAILED, reason="AuthorityUnusable")


def _weigh(expectation: Expectation, work: Work) -> Weighed:
    """Verify one place; raises VerificationError or AuthorityError."""
    started = work.clock()
    if not (expectation.digest or expectation.fingerprints or expectation.signatures):
        raise VerificationError(
            VerificationReason.NOT_SIGNED, "nothing says what the files must be"
        )
    place = _Place(expectation, work)
    signed = [_signed(place, each, work.now) for each in expectation.signatures]
    files = place.hash(signed)
    if expectation.digest or expectation.fingerprints:
        _compare(expectation, _digests(files))
    verified = [
        _fulfilled(place, rule, manifests, files)
        for rule, manifests in zip(expectation.signatures, signed, strict=True)
    ]
    place.check_unchanged()
    return Weighed(
        reference=expectation.reference,
        store=expectation.store,
        digest=loadable_digest(_digests(files)),
        signed_by=tuple(dict.fromkeys(str(by) for each in verified for by in each.signers)),
        proofs=tuple(_proofs(each) for each in verified),
        files=len(files),
        bytes=sum(file.size or 0 for file in files.values()),
        seconds=round(work.clock() - started, 3),
    )


def _proofs(verified: Verified) -> tuple[Proof, ...]:
    return tuple(
        Proof(by=each.authorities, identity=each.signer.identity, issuer=each.signer.issuer)
        for each in verified.signatures
    )


class _Place:
    """The files at one place, by their names in the model."""

    def __init__(self, expectation: Expectation, work: Work) -> None:
        self.expectation = expectation
        self._mount = Mount((work.mounts / expectation.mount).resolve(), expectation.hidden)
        self._hashing = work.hashing
        self.files = self._look()

    def _look(self) -> list[TreeFile]:
        wanted = self.expectation
        found = walk_mounted(self._mount, wanted.path) if not wanted.file else self._look_at_file()
        if not found:
            raise VerificationError(
                VerificationReason.MISSING_FILES, f"there is nothing at {shown(wanted.path or '.')}"
            )
        return found

    def _look_at_file(self) -> list[TreeFile]:
        """The one file that is wanted, and its further parts."""
        wanted = self.expectation
        folder, _, last = wanted.file.rpartition("/")
        part = _PART.match(last)
        names = [wanted.file]
        if part is not None:
            first = part[1]
            beside = self._mount.resolve(f"{wanted.path}/{folder}", wanted.file)
            with _readable(wanted.file):
                names = [
                    f"{folder}/{each.name}".lstrip("/")
                    for each in beside.iterdir()
                    if (match := _PART.match(each.name)) and match[1] == first
                ]
        return [self._file(name) for name in sorted({*names, wanted.file})]

    def _file(self, name: str) -> TreeFile:
        path = f"{self.expectation.path}/{name}"
        if self._mount.resolve(path, name).is_dir():
            raise VerificationError(
                VerificationReason.UNSAFE_TREE, f"{shown(name)} is a folder", (name,)
            )
        (file,) = walk_mounted(self._mount, path)
        return structs.replace(file, name=name)

    def read(self, name: str) -> bytes | None:
        """The content of a bundle at a path below the model's folder; None if there is none."""
        try:
            path = self._mount.resolve(f"{self.expectation.path}/{name}", name)
        except VerificationError as error:
            if error.reason is VerificationReason.MISSING_FILES:
                return None
            raise
        if not path.is_file():
            return None
        with _readable(name), path.open("rb") as bundle:
            return bundle.read(MAX_BUNDLE_BYTES + 1)

    def hash(self, signed: Sequence[Sequence[SignedManifest]]) -> dict[str, File]:
        """All files that anybody asks after, hashed."""
        signed_names = {
            name for manifests in signed for each in manifests for name in each.manifest.digests
        }
        wanted = [
            file for file in self.files if is_loadable(file.name) or file.name in signed_names
        ]
        return dict(hash_files(wanted, ALGORITHM, self._hashing))

    def check_unchanged(self) -> None:
        """Raise VerificationError when anything has come, gone or changed since it was listed."""
        before = {file.name: file for file in self.files}
        after = {file.name: file for file in self._look()}
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                raise changed(name)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError:
        raise VerificationError(
            VerificationReason.UNREADABLE, f"{shown(name)} cannot be read", (name,)
        ) from None


def _digests(files: Mapping[str, File]) -> dict[str, str]:
    return {name: file.digest for name, file in files.items() if file.digest is not None}


def _compare(expectation: Expectation, digests: Mapping[str, str]) -> None:
    """Compare files with a model as a whole, or a file with those of a model."""
    expected = Expected(expectation.reference, expectation.digest, expectation.fingerprints)
    if expectation.file:
        check_some(expected, digests)
    else:
        check_all(expected, digests)


def _signed(place: _Place, rule: Signatures, now: datetime) -> tuple[SignedManifest, ...]:
    """What the signers have signed, by the bundles beside the weights."""
    file = place.expectation.file
    names = [f"{file}{ending}" for ending in FILE_SIGNATURES] if file else []
    folder = file.rpartition("/")[0]
    names += [f"{folder}/{name}".lstrip("/") for name in SIGNATURE_NAMES]
    bundles = [bundle for name in names if (bundle := place.read(name)) is not None]
    if not bundles:
        raise VerificationError(
            VerificationReason.NOT_SIGNED,
            f"there is no signature beside the weights ({' or '.join(names)})",
        )
    grouped = [(n, each) for n, signers in enumerate(rule.authorities) for each in signers]
    requirement = Requirement(
        authorities=tuple(authority_of(signer) for _, signer in grouped),
        groups=tuple(number for number, _ in grouped),
        threshold=rule.threshold,
        terms=Terms(algorithms=algorithms() & {ALGORITHM}, single_file=_last(file) or None),
    )
    return verify_bundles(bundles, requirement, now)


def _fulfilled(
    place: _Place, rule: Signatures, signed: Sequence[SignedManifest], files: Mapping[str, File]
) -> Verified:
    """Compare the files with what was signed; of a single file's folder, that file only."""
    everything = {file.name: File(None, file.size, symlink=file.symlink) for file in place.files}
    present = {**everything, **files}
    # Links were followed inside the volume, and the bytes behind them hashed.
    scope = Scope(coverage=rule.coverage, allow_symlinks=True)
    file = place.expectation.file
    if not file:
        return verify_files(signed, present, scope)
    folder = file.rpartition("/")[0]
    present = {name.removeprefix(f"{folder}/"): each for name, each in present.items()}
    return verify_files([_only(each, present) for each in signed], present, scope)


def _only(signed: SignedManifest, files: Mapping[str, File]) -> SignedManifest:
    """The part of what was signed that is about some files."""
    manifest = signed.manifest
    digests = {name: digest for name, digest in manifest.digests.items() if name in files}
    return structs.replace(signed, manifest=structs.replace(manifest, digests=digests))


def _last(path: str) -> str:
    return path.rpartition("/")[2]
