"""Evidence: what has been found out about a model reference, and how each item is known.

Values only. `weighmaster.gather` produces them, verification and the rules read them. An outage is
a value of its own, `Unavailable`, and never looks like evidence that nothing is wrong.
"""

import hashlib
from enum import StrEnum

from msgspec import Struct

from weighmaster.api.v1alpha1.record import Basis

__all__ = [
    "MAX_BASE_MODELS",
    "MAX_NAMES",
    "UNPLACED",
    "Basis",
    "CardFacts",
    "CodeFacts",
    "ContentFacts",
    "Disguise",
    "Evidence",
    "FileFact",
    "FormatFact",
    "Gap",
    "GapReason",
    "SignatureBundle",
    "SignatureKind",
    "Unavailable",
    "UnavailableReason",
    "Weights",
    "content_digest",
]

MAX_NAMES = 64
"""File names and foreign references that are listed; the count beside them is the whole truth."""

MAX_BASE_MODELS = 64
"""As many as a ModelRecord holds."""


class UnavailableReason(StrEnum):
    """Why there is no evidence about a reference. Nothing of this speaks for or against a model."""

    NOT_FOUND = "NotFound"
    """The hub or registry says that it does not exist."""
    UNAUTHORIZED = "Unauthorized"
    """It is gated or private (or does not exist: hubs do not tell), and no credentials open it."""
    RATE_LIMITED = "RateLimited"
    """The host asks to come back later; ``retry_after`` says when."""
    UNREACHABLE = "Unreachable"
    """No answer, a broken one, or a server error: an outage."""
    TOO_LARGE = "TooLarge"
    """An answer exceeds what we are willing to read."""
    HOSTILE_ANSWER = "HostileAnswer"
    """An answer contradicts itself, its digest or the protocol, or leads where it must not."""
    AMBIGUOUS_REVISION = "AmbiguousRevision"
    """The revision looks like a commit, but the hub resolves it to another one."""
    FORBIDDEN_ADDRESS = "ForbiddenAddress"
    """The host is, or resolves to, an address that is not public and not configured."""
    FAILED = "Failed"
    """Gathering failed by a fault of its own; the controller's log says where."""
    CREDENTIALS_MISSING = "CredentialsMissing"
    """The Secret with credentials that its ModelRecord names does not exist."""
    CREDENTIALS_UNUSABLE = "CredentialsUnusable"
    """The Secret with credentials that its ModelRecord names has none for whom would be asked."""
    UNSUPPORTED_SCHEME = "UnsupportedScheme"
    """Nothing can be fetched for this scheme; people state the facts in a ModelRecord instead."""


TRANSIENT = frozenset({UnavailableReason.RATE_LIMITED, UnavailableReason.UNREACHABLE})
"""Reasons that pass by themselves."""


class Unavailable(Struct, frozen=True, kw_only=True):
    """No evidence could be gathered; ``message`` is for a person and holds no secret.

    ``retry_after`` is in seconds from ``at`` (Unix time), None when waiting alone will not help.
    """

    reference: str
    reason: UnavailableReason
    message: str
    at: float = 0.0
    retry_after: float | None = None

    @property
    def transient(self) -> bool:
        """Whether the same question may get another answer without anybody changing anything."""
        return self.reason in TRANSIENT


class GapReason(StrEnum):
    """What a piece of evidence does not cover. A rule that needs it must not pass."""

    LISTING_INCOMPLETE = "ListingIncomplete"
    """There are files that the list does not name."""
    DIGEST_UNKNOWN = "DigestUnknown"
    """A file's SHA-256 is not known: too large to fetch here, and the hub does not give it."""
    CONTENT_NOT_READ = "ContentNotRead"
    """Files whose first bytes were not looked at; their format is known by name only."""
    HEADER_MALFORMED = "HeaderMalformed"
    """A weight file's header breaks its format's rules."""
    HEADER_INCOMPLETE = "HeaderIncomplete"
    """A header was read up to our limit only."""
    ARCHIVE_NOT_OPENED = "ArchiveNotOpened"
    """Files inside an archive or image layer have no digests or formats of their own here."""
    CARD_MISSING = "CardMissing"
    """There is no model card, so nobody says what it was made from."""
    CARD_MALFORMED = "CardMalformed"
    """The model card's metadata cannot be read."""
    CONFIG_MALFORMED = "ConfigMalformed"
    """A configuration file cannot be read, so it may ask for code that is not seen here."""
    CONFIG_NOT_READ = "ConfigNotRead"
    """A configuration file or the card is too large to be read."""
    SIGNATURE_NOT_READ = "SignatureNotRead"
    """A signature exists but was not fetched: too large, too many, or its fetch failed."""
    SIGNATURES_UNKNOWN = "SignaturesUnknown"
    """Whether signatures exist could not be found out."""
    PLATFORMS_NOT_READ = "PlatformsNotRead"
    """An index has manifests that were not looked into."""
    COMMIT_NOT_ON_BRANCH = "CommitNotOnBranch"
    """The commit was looked for on branches and tags and is on none: it may be a pull request's,
    which anybody may have written, although it is served under the repository's name."""
    HISTORY_UNKNOWN = "HistoryUnknown"
    """Whether the commit is on a branch or tag could not be found out: the hub or mirror does not
    say, or the history is longer than we read."""
    LINEAGE_INCOMPLETE = "LineageIncomplete"
    """More base models are named than are listed here, or some cannot be read as references."""


UNPLACED = frozenset({GapReason.COMMIT_NOT_ON_BRANCH, GapReason.HISTORY_UNKNOWN})
"""Gaps that leave open whether the content is the repository owner's; they may close with time."""


class Gap(Struct, frozen=True):
    """Something that could not be found out. ``detail`` names files, clipped, for a person."""

    reason: GapReason
    detail: str


class FileFact(Struct, frozen=True):
    """One file: its name relative to the model's root, size in bytes, SHA-256 in hex if known.

    ``basis`` is how the digest is known: ``verified`` when we hashed the bytes ourselves,
    ``fetched`` when the hub's listing states it.
    """

    name: str
    size: int
    sha256: str | None
    basis: Basis


class SignatureKind(StrEnum):
    """Which verifier the bytes are for."""

    BUNDLE = "bundle"
    """A sigstore bundle (JSON): OMS, or a cosign bundle from a referrer."""
    COSIGN_SIGNATURE = "cosign-signature"
    """Legacy cosign: ``content`` is the simple-signing payload, the rest is in ``annotations``."""
    COSIGN_ATTESTATION = "cosign-attestation"
    """Legacy cosign: ``content`` is a DSSE envelope."""
    DETACHED = "detached"
    """Some other signature file; its format is the verifier's to find out."""


class SignatureBundle(Struct, frozen=True, kw_only=True):
    """Signature material as it was found, unverified.

    ``source`` says where (a file name, or a manifest digest), ``subject`` what it hangs on: the
    digest (``sha256:<hex>``) of the manifest that it was listed for, None beside files.
    """

    kind: SignatureKind
    content: bytes
    source: str
    subject: str | None = None
    annotations: tuple[tuple[str, str], ...] = ()


class CardFacts(Struct, frozen=True, kw_only=True):
    """What the model's own card, or the metadata of its artifact, says. Claims of its author.

    ``license`` is an SPDX expression (``LicenseRef-...`` for what SPDX does not list),
    ``base_models`` are canonical references, ``relation`` is how it derives from them (adapter,
    finetune, merge, quantized), ``source`` names the file or annotation it is from.
    """

    license: str | None = None
    license_link: str | None = None
    base_models: tuple[str, ...] = ()
    relation: str | None = None
    source: str = ""
    basis: Basis = Basis.FETCHED


class FormatFact(Struct, frozen=True):
    """Weight files of one format, their size together in bytes.

    ``basis`` is ``fetched`` when their content says so, ``asserted`` when only their names do.
    """

    format: str
    files: int
    bytes: int
    basis: Basis


class Disguise(Struct, frozen=True):
    """A file whose content is another format than its name says."""

    name: str
    named: str
    found: str


class CodeFacts(Struct, frozen=True, kw_only=True):
    """Code that the model brings, or asks its loader to fetch.

    ``auto_map`` holds ``file: value`` entries, ``foreign`` the canonical references whose code is
    loaded (``org/repo--module.Class``). Lists hold at most MAX_NAMES; ``files`` counts all.
    """

    auto_map: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    files: int = 0
    custom_generate: bool = False
    basis: Basis = Basis.FETCHED

    @property
    def present(self) -> bool:
        """Whether the model brings or names any code."""
        return bool(self.auto_map or self.foreign or self.files or self.custom_generate)


class Weights(Struct, frozen=True, kw_only=True):
    """What the headers of weight files say of themselves.

    ``parameters`` counts elements of all tensors whose headers were read; ``dtypes`` splits them.
    """

    parameters: int = 0
    dtypes: tuple[tuple[str, int], ...] = ()
    architecture: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()


class ContentFacts(Struct, frozen=True, kw_only=True):
    """What is in the files, found without downloading weights."""

    formats: tuple[FormatFact, ...] = ()
    disguises: tuple[Disguise, ...] = ()
    code: CodeFacts = CodeFacts()
    weights: Weights = Weights()


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known about one reference at one time.

    ``reference`` is what was asked; ``resolved`` the immutable form (a commit, a digest) that
    everything else is about. ``renamed`` is true when the hub serves it under another name than
    was asked for, so that the name asked for no longer says who publishes it. ``proposed`` is true
    for a pull request's content, which anybody may have written.

    ``fetched_at`` and ``expires_at`` are Unix times in seconds. None for ``expires_at`` means that
    the reference names immutable content and this holds for ever. Signatures of registries are
    kept beside the content and may be added later: for them ``signatures_expire_at`` counts.
    ``validator`` is the entity tag of the answer that resolved a moving reference.
    """

    reference: str
    resolved: str
    files: tuple[FileFact, ...] = ()
    signatures: tuple[SignatureBundle, ...] = ()
    card: CardFacts = CardFacts()
    content: ContentFacts = ContentFacts()
    gaps: tuple[Gap, ...] = ()
    renamed: bool = False
    proposed: bool = False
    gated: bool = False
    manifest_digest: str | None = None
    fetched_at: float = 0.0
    expires_at: float | None = None
    signatures_expire_at: float | None = None
    validator: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every file is listed and has a digest: what a manifest comparison needs."""
        missing = {
            GapReason.LISTING_INCOMPLETE,
            GapReason.PLATFORMS_NOT_READ,
            GapReason.ARCHIVE_NOT_OPENED,
        }
        return (
            bool(self.files)
            and all(file.sha256 for file in self.files)
            and not any(gap.reason in missing for gap in self.gaps)
        )

    @property
    def placed(self) -> bool:
        """Whether the content is known to be of whoever may write to the repository."""
        return not self.proposed and not self.lacks(*UNPLACED)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def lacks(self, *reasons: GapReason) -> bool:
        """Whether one of these was not found out."""
        return any(gap.reason in reasons for gap in self.gaps)


def content_digest(files: tuple[FileFact, ...]) -> str | None:
    """Digest of a content manifest, names included: ``sha256:<hex>``.

    SHA-256 over one line per file, sorted by the bytes of the name in UTF-8: ``name`` NUL
    ``sha256:hex`` LF. It is the digest that verification gives to a signed manifest
    (`weighmaster.core.verify.manifest`, which the webhook must not load). None when a digest is
    unknown or there is no file: nothing is bound then.
    """
    if not files or any(file.sha256 is None for file in files):
        return None
    lines = sorted(
        file.name.encode("utf-8", "surrogatepass") + f"\0sha256:{file.sha256}\n".encode()
        for file in files
    )
    return f"sha256:{hashlib.sha256(b''.join(lines)).hexdigest()}"
