"""In-toto statements about models: from a signed payload to a manifest.

OMS v1.0 sections 5, 6.5 and 8.3, https://github.com/in-toto/attestation/blob/main/spec/v1. The
rules here are stricter than the reference implementation's where that accepts what it should not.
"""

import hashlib

from msgspec import Struct

from weighmaster.core.verify.manifest import Manifest
from weighmaster.core.verify.names import check_name
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.strict_json import (
    list_at,
    malformed,
    object_at,
    only_keys,
    parse_object,
    text_at,
)
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
LEGACY_PREDICATE = "https://model_signing/Digests/v0.1"

_WITH_EXTRA = (
    "; `weighmaster verify` can verify its files, where the extra for it is installed: pip install"
    " 'weighmaster[blake3]'"
)

DIGEST_LENGTHS = {"sha256": 64, "blake2b": 128, "blake3": 64}
"""Hash algorithms of the OMS registry and the length of their hex digests."""

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
MAX_FILES = 50_000
_MAX_CONTAINERS = 2 * MAX_FILES + 4096

_SERIALIZATION = frozenset({"method", "hash_type", "allow_symlinks", "ignore_paths", "shard_size"})


class Terms(Struct, frozen=True, kw_only=True):
    """What a caller accepts in a statement.

    ``algorithms`` are the hashes it has digests in; ``legacy`` allows the deprecated format of
    model-signing 0.2; ``single_file`` is the name of the file where the model is one file and no
    folder, since old signers wrote ``.`` for it.
    """

    algorithms: frozenset[str] = frozenset({"sha256"})
    legacy: bool = False
    single_file: str | None = None


def parse_statement(payload: bytes, terms: Terms) -> Manifest:
    """The manifest in the payload of a verified DSSE envelope.

    Raises VerificationError: Malformed, TooLarge, Unsupported, LegacyFormat, Inconsistent,
    UnsafeName.
    """
    statement = parse_object(payload, "the statement", MAX_PAYLOAD_BYTES, _MAX_CONTAINERS)
    if text_at(statement, "_type", "the statement") != STATEMENT:
        raise _unsupported(f"the statement's type is not {STATEMENT}")
    predicate_type = text_at(statement, "predicateType", "the statement")
    subjects = list_at(statement, "subject", "the statement")
    if predicate_type == LEGACY_PREDICATE:
        if not terms.legacy:
            raise VerificationError(
                VerificationReason.LEGACY_FORMAT,
                "the model was signed in the deprecated format of model-signing 0.2; it has to be"
                " signed again, or the legacy format allowed",
            )
        return _legacy_manifest(subjects, terms)
    if predicate_type != PREDICATE:
        raise _unsupported(f"the statement is not about a model ({shown(predicate_type)})")
    manifest, root = _manifest(object_at(statement, "predicate", "the statement"), terms)
    if _root_digest_of(subjects) != root:
        raise VerificationError(
            VerificationReason.INCONSISTENT,
            "the root digest of the statement is not that of the files it lists",
        )
    return manifest


def _manifest(predicate: dict[str, object], terms: Terms) -> tuple[Manifest, str]:
    """The manifest of a predicate and its root digest, hex (OMS section 6.5.1)."""
    serialization = object_at(predicate, "serialization", "the predicate")
    only_keys(serialization, _SERIALIZATION, "the serialization")
    method = text_at(serialization, "method", "the serialization")
    if method != "files" or "shard_size" in serialization:
        raise _unsupported(
            f"the model was signed by {shown(method)}, whose digests no hub has; it has to be"
            ' signed by "files"'
        )
    algorithm = text_at(serialization, "hash_type", "the serialization")
    if algorithm not in DIGEST_LENGTHS:
        raise _unsupported(f"the model was signed over {shown(algorithm)} digests")
    if algorithm not in terms.algorithms:
        raise _unsupported(
            f"the model was signed over {algorithm} digests, which no hub lists"
            f"{_WITH_EXTRA if algorithm == 'blake3' else ''}"
        )
    allow_symlinks = serialization.get("allow_symlinks")
    if not isinstance(allow_symlinks, bool):
        raise malformed("the serialization does not say whether links were allowed")
    resources = list_at(predicate, "resources", "the predicate")
    root = hashlib.sha256()
    digests: dict[str, str] = {}
    for resource in resources:
        if not isinstance(resource, dict):
            raise malformed("a signed file in the predicate is not an object")
        if text_at(resource, "algorithm", "a signed file") != algorithm:
            raise _unsupported("a signed file has a digest in another algorithm than the model")
        digest = _hex(text_at(resource, "digest", "a signed file"), algorithm)
        root.update(bytes.fromhex(digest))
        _add(digests, _name(resource.get("name"), len(resources), terms), digest)
    _check_count(digests)
    left_out = _left_out(serialization)
    return Manifest(digests, algorithm, allow_symlinks, left_out), root.hexdigest()


def _legacy_manifest(subjects: list[object], terms: Terms) -> Manifest:
    """Format of model-signing 0.2: one subject for each file, no root digest (OMS section 5.1)."""
    digests: dict[str, str] = {}
    for subject in subjects:
        if not isinstance(subject, dict):
            raise malformed("a subject of the statement is not an object")
        name = _name(subject.get("name"), len(subjects), terms)
        _add(digests, name, _subject_digest(subject))
    _check_count(digests)
    return Manifest(digests, legacy=True)


def _root_digest_of(subjects: list[object]) -> str:
    if len(subjects) != 1 or not isinstance(subjects[0], dict):
        raise malformed("the statement must have exactly one subject, the model")
    return _subject_digest(subjects[0])


def _subject_digest(subject: dict[str, object]) -> str:
    digest = object_at(subject, "digest", "a subject")
    only_keys(digest, frozenset({"sha256"}), "the digest of a subject")
    return _hex(text_at(digest, "sha256", "a subject"), "sha256")


def _name(name: object, count: int, terms: Terms) -> str:
    if name == "." and count == 1 and terms.single_file is not None:
        return check_name(terms.single_file)
    return check_name(name)


def _add(digests: dict[str, str], name: str, digest: str) -> None:
    if name in digests:
        raise VerificationError(
            VerificationReason.UNSAFE_NAME, f"the signed file name {shown(name)} is listed twice"
        )
    digests[name] = digest


def _check_count(digests: dict[str, str]) -> None:
    if not digests:
        raise malformed("the statement lists no files, so it says nothing about any")
    if len(digests) > MAX_FILES:
        raise VerificationError(
            VerificationReason.TOO_LARGE,
            f"the statement lists {len(digests)} files; {MAX_FILES} is the limit",
        )


def _left_out(serialization: dict[str, object]) -> tuple[str, ...]:
    paths = serialization.get("ignore_paths", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise malformed("ignore_paths is not a list of texts")
    return tuple(str(path) for path in paths)


def _hex(text: str, algorithm: str) -> str:
    if len(text) != DIGEST_LENGTHS[algorithm] or text.strip("0123456789abcdef"):
        raise malformed(f"a digest is not {algorithm} in lower-case hex")
    return text


def _unsupported(message: str) -> VerificationError:
    return VerificationError(VerificationReason.UNSUPPORTED, message)
