"""Signed files against the files that are there: one comparison for hubs and for trees."""

from collections.abc import Collection, Mapping

from msgspec import Struct

from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.core.verify.classes import FileClass, classify, may_be_unsigned
from weighmaster.core.verify.manifest import Manifest
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import MAX_NAMES, listed
from weighmaster.errors import VerificationError


class File(Struct, frozen=True):
    """A file of a model as a hub lists it, or as it was hashed.

    ``digest`` is lower-case hex in ``algorithm``, None where it is not known; ``size`` in bytes,
    None where it is not known.
    """

    digest: str | None
    size: int | None = None
    algorithm: str = "sha256"
    symlink: bool = False


class Scope(Struct, frozen=True, kw_only=True):
    """What a comparison demands.

    ``coverage``: ``All`` files must be signed, or the ``Weights``, which is all but documentation.
    ``ignore`` are paths, of files or folders, that the caller (never the signer) leaves out, such
    as where the signature lies. ``allow_symlinks`` accepts links whatever the signer says, since
    the bytes behind them were hashed.
    """

    coverage: Coverage = Coverage.ALL
    ignore: frozenset[str] = frozenset()
    allow_symlinks: bool = False


class Comparison(Struct, frozen=True):
    """Outcome of a comparison that held: counts of files, and bytes in the signed ones.

    ``size`` is None where the size of a file is not known.
    """

    signed: int
    unsigned: int
    size: int | None


def compare(manifest: Manifest, files: Mapping[str, File], scope: Scope) -> Comparison:
    """Compare all signed files, names included, with all that are there.

    Raises VerificationError, the first of: Mismatch, MissingFiles, UnknownDigest, Symlink,
    IncompleteCoverage, ExtraFiles. Every signed file must be there whatever the coverage.
    """
    signed = manifest.digests
    missing = signed.keys() - files.keys()
    present = [(name, digest, files[name]) for name, digest in signed.items() if name in files]
    known = [each for each in present if _is_known(each[2], manifest)]
    changed = [name for name, digest, file in known if file.digest != digest]
    _refuse(changed, VerificationReason.MISMATCH, "differ from what was signed")
    _refuse(missing, VerificationReason.MISSING_FILES, "were signed and are not there")
    unknown = [name for name, _, file in present if not _is_known(file, manifest)]
    _refuse(
        unknown,
        VerificationReason.UNKNOWN_DIGEST,
        f"have no {manifest.algorithm} digest to compare",
    )
    if not (manifest.allow_symlinks or scope.allow_symlinks):
        links = [name for name, _, file in present if file.symlink]
        _refuse(links, VerificationReason.SYMLINK, "are symbolic links, which were not signed")
    extra = [name for name in files.keys() - signed.keys() if not _is_ignored(name, scope.ignore)]
    _check_extra(extra, manifest, scope.coverage)
    sizes = [file.size for _, _, file in present]
    total = sum(size for size in sizes if size is not None)
    return Comparison(len(signed), len(files) - len(signed), None if None in sizes else total)


def _check_extra(extra: Collection[str], manifest: Manifest, coverage: Coverage) -> None:
    unsigned = [name for name in extra if not may_be_unsigned(name)]
    documentation = [name for name in unsigned if classify(name) is FileClass.DOCUMENTATION]
    loaded = set(unsigned) - set(documentation)
    hint = ""
    if any(_is_ignored(name, frozenset(manifest.left_out)) for name in unsigned):
        hint = " (the signer chose to leave some out, which does not excuse them)"
    _refuse(
        loaded,
        VerificationReason.INCOMPLETE_COVERAGE,
        f"are there and not signed, and may be loaded{hint}",
    )
    if coverage is Coverage.ALL:
        _refuse(
            documentation,
            VerificationReason.EXTRA_FILES,
            f"are there and not signed{hint}",
        )


def _refuse(names: Collection[str], reason: VerificationReason, what: str) -> None:
    if names:
        first = tuple(sorted(names)[:MAX_NAMES])
        raise VerificationError(reason, f"{len(names)} files {what}: {listed(names)}", first)


def _is_known(file: File, manifest: Manifest) -> bool:
    return file.digest is not None and file.algorithm == manifest.algorithm


def _is_ignored(name: str, ignored: frozenset[str]) -> bool:
    """Whether a path, or a folder above it, is among those to ignore."""
    if name in ignored:
        return True
    return bool(ignored) and any(
        name[:index] in ignored for index, c in enumerate(name) if c == "/"
    )
