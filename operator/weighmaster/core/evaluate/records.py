"""Records: what has been found out about references, as the controller has stored it."""

from collections.abc import Callable, Mapping, Set
from datetime import datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct, structs

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1.authority import Identity
from weighmaster.api.v1alpha1.record import (
    RELATIVE_SCHEMES,
    AttestationResult,
    AuthorityResult,
    Basis,
    ContentOutcome,
    ContentResult,
    EvidenceState,
    ModelRecordSpec,
    ModelRecordStatus,
)
from weighmaster.core import references
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.evidence import MAX_NAMES, UNPLACED, GapReason
from weighmaster.core.globs import fold
from weighmaster.core.hub_urls import repository_of
from weighmaster.core.references import is_repository_name
from weighmaster.core.revisions import Standing
from weighmaster.core.values import ModelReference

MANAGED_BY = ("app.kubernetes.io/managed-by", "weighmaster")
"""Label of records that Weighmaster has made; only these does it delete again."""

LINEAGE_DEPTH = "weighmaster.dev/lineage-depth"
"""Annotation of records that are there for what was made from their model."""

LAST_USED = "weighmaster.dev/last-used"
"""Annotation with the day (UTC) on which a record was last used in a decision."""


OMITTED = "AuthoritiesOmitted"
"""Reason code of a record that does not hold all that policies and publishers ask for."""

CONTENT_REPAIRED_AT = "weighmaster.dev/content-repaired-at"
"""Annotation with a time (RFC 3339); what was refused before it is taken to have been mended."""

PROPOSED = "Proposed"
"""Reason code of a record whose content was only proposed to its repository."""

_PROPOSALS = frozenset({PROPOSED, GapReason.COMMIT_NOT_ON_BRANCH})

HIDING = frozenset(
    {
        GapReason.LISTING_INCOMPLETE,
        GapReason.ARCHIVE_NOT_OPENED,
        GapReason.PLATFORMS_NOT_READ,
    }
)
"""Reason codes of records whose model may hold weights that nobody has looked at."""

UNREAD_CODE = frozenset({GapReason.CONFIG_MALFORMED, GapReason.CONFIG_NOT_READ, *HIDING})
"""Reason codes of records whose model may name code that nobody has seen."""


class Record(Struct, frozen=True):
    """A stored ModelRecord. ``problem`` says why there is no evidence in it that counts.

    ``reference`` is what decisions look it up by. ``renamed`` is where its content really is, when
    the hub serves it under another name. ``attestations`` are known by the type of their predicate
    and the authority. ``last_used`` is a day such as ``2026-11-24``, empty if
    none is noted; ``managed`` says that Weighmaster made it; ``outdated`` that people have changed
    what they supply since. ``repaired_at`` is when somebody said that its content was mended.
    """

    name: str
    reference: str
    last_used: str = ""
    managed: bool = False
    outdated: bool = False
    status: ModelRecordStatus = ModelRecordStatus()
    authorities: Mapping[str, AuthorityResult] = {}
    attestations: Mapping[tuple[str, str], AttestationResult] = {}
    problem: str | None = None
    renamed: str | None = None
    repaired_at: datetime | None = None

    def refused(self, namespace: str) -> ContentResult | None:
        """The last verification before start in a namespace, if it refused what still counts."""
        for result in self.status.content:
            if result.namespace == namespace and result.outcome is ContentOutcome.REFUSED:
                mended = self.repaired_at is not None and result.at <= self.repaired_at
                return None if mended else result
        return None

    @property
    def standing(self) -> Standing:
        """Whose word its content is: of the repository's owner, or of anybody.

        A pull request's older commits are on no list, so what was looked for in vain is anybody's.
        """
        if self._has(_PROPOSALS):
            return Standing.PROPOSED
        return Standing.UNKNOWN if self._has(UNPLACED) else Standing.OWN

    @property
    def incomplete(self) -> bool:
        """Whether there may be files in the model that nobody has looked at."""
        return self._has(HIDING)

    @property
    def code_unknown(self) -> bool:
        """Whether it may name code, of its own or of others, that nobody has seen."""
        return self._has(UNREAD_CODE) or len(self.status.foreign_code) >= MAX_NAMES

    @property
    def omits(self) -> bool:
        """Whether policies and publishers ask for more signers than it holds."""
        return self._has({OMITTED})

    def _has(self, reasons: Set[str]) -> bool:
        return any(failure.reason in reasons for failure in self.status.failures)

    @property
    def asserted(self) -> bool:
        """Whether all there is in it is what people state."""
        return self.status.state is EvidenceState.ASSERTED

    @property
    def pending(self) -> bool:
        """Whether its evidence is being gathered for the first time, or anew."""
        return self.outdated or self.status.state in (None, EvidenceState.PENDING)

    def expired(self, now: datetime) -> bool:
        """Whether its evidence has to be gathered again."""
        expires = self.status.expires_at
        return expires is not None and now >= expires

    def awaited(self, now: datetime) -> bool:
        """Whether evidence is on its way, for the first time or again."""
        return self.pending or (self.problem is None and self.expired(now))

    def missing(self, now: datetime) -> str | None:
        """Why its evidence does not count at a moment, for a person; None when it does."""
        if self.problem is not None:
            return self.problem
        if self.expired(now):
            return "the evidence has expired and is being gathered again"
        return None


def read_record(stored: Mapping[str, Any]) -> Record:
    """A stored ModelRecord. Never raises; one that cannot be used is evidence of nothing."""
    metadata = read_metadata(stored)
    name = metadata.name
    try:
        spec = msgspec.convert(stored.get("spec"), ModelRecordSpec)
        status = msgspec.convert(stored.get("status") or {}, ModelRecordStatus)
    except msgspec.ValidationError as error:
        return Record(name=name, reference="", problem=f"the record cannot be used: {error}")
    reference = read_reference(spec.reference)
    found = status.state in (EvidenceState.RESOLVED, EvidenceState.ASSERTED)
    outdated = found and status.supplied != supplied_digest(spec)
    problem: str | None
    match status.state:
        case _ if outdated:
            problem = "what people supply has changed since, and is being looked at"
        case EvidenceState.RESOLVED if status.resolved:
            problem = _contradiction(reference, status.resolved)
        case EvidenceState.ASSERTED:
            told = "the record has nothing but assertions, where something can be fetched"
            problem = told if is_gathered(reference) else None
        case EvidenceState.FAILED | EvidenceState.UNAVAILABLE:
            problem = (
                status.failures[0].message if status.failures else "nothing could be found out"
            )
        case _:
            problem = "evidence is being gathered"
    return Record(
        name=name,
        reference=_key_of(reference, spec),
        last_used=metadata.annotations.get(LAST_USED, ""),
        managed=metadata.labels.get(MANAGED_BY[0]) == MANAGED_BY[1],
        outdated=outdated,
        status=structs.replace(status, authorities=[], attestations=[]),
        authorities={result.id: _shared(result) for result in status.authorities},
        attestations={
            (result.predicate_type, result.authority): result for result in status.attestations
        },
        problem=problem,
        renamed=_renamed(reference, status.resolved),
        repaired_at=_time(metadata.annotations.get(CONTENT_REPAIRED_AT, "")),
    )


def _time(text: str) -> datetime | None:
    """A time as people write it; None for anything else, and for one without a time zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _key_of(reference: ModelReference, spec: ModelRecordSpec) -> str:
    if reference.scheme == "unresolved":
        return spec.reference
    if (reference.scheme in RELATIVE_SCHEMES) != (spec.namespace is not None):
        return ""  # nobody's: the API server refuses such a record
    if repository_of(reference) is not None:
        return ""  # a URL is no place of its own: what it names is looked up by its repository
    return record_key(reference, spec.namespace or "")


def supplied_digest(spec: ModelRecordSpec) -> str | None:
    """A digest of what people supply that evidence depends on; None when that is nothing.

    A status that was made from something else may rest on a signature or a statement that has
    been taken back. Which credentials opened a hub makes no difference to what was found there.
    """
    if spec.signature is None and spec.asserted is None:
        return None
    parts = {"signature": spec.signature, "asserted": spec.asserted}
    return sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def _contradiction(reference: ModelReference, resolved: str) -> str | None:
    """Why what was resolved cannot be what was asked for; None when it can."""
    if reference.pinned and reference.revision != read_reference(resolved).revision:
        return f"the record is about other content: {resolved}"
    return None


def _renamed(reference: ModelReference, resolved: str | None) -> str | None:
    """Where the content really is, if not where the reference says."""
    if resolved is None or reference.scheme not in _NAMED_SCHEMES:
        return None
    location = read_reference(resolved).location
    return resolved if fold(location) != fold(reference.location) else None


_NAMED_SCHEMES = frozenset({"hf", "modelscope", "oci", "image-embedded"})
"""Schemes whose resolved form has the same location, unless the hub serves another one."""

GATHERED_SCHEMES = frozenset({"hf", "oci", "ngc", "modelscope", "ollama", "image-embedded"})
"""Schemes that evidence can be gathered for; for others people assert it."""

_IMAGES: dict[str, Callable[[str], ModelReference]] = {
    "image-embedded": references.image_embedded,
    "nim": partial(references.image, scheme="nim"),
    "aim": partial(references.image, scheme="aim"),
}
"""Schemes before the bare name of an image."""


def is_gathered(reference: ModelReference) -> bool:
    """Whether evidence about a reference can be gathered, so that it is worth a record."""
    return reference.scheme in GATHERED_SCHEMES and (
        reference.known or references.names_image(reference)
    )


def read_reference(text: str) -> ModelReference:
    """The reference in a record. In canonical form a revision may hold slashes: ``refs/pr/7``."""
    scheme, _, image = text.partition(":")
    if scheme in _IMAGES:
        return _IMAGES[scheme](image)
    parsed = references.parse(text)
    repository, at, rest = text.partition("@")
    name = repository.partition("://")[2]
    if parsed.scheme not in ("hf", "modelscope") or not at or not is_repository_name(name):
        return parsed
    revision, _, file = rest.partition("#")
    make = references.hugging_face if parsed.scheme == "hf" else references.modelscope
    return make(name, revision or None, file or None)


@lru_cache(maxsize=4096)
def _shared(result: AuthorityResult) -> AuthorityResult:
    """One value for equal results: most models are signed by nobody, which is said of all alike."""
    return result


def record_key(reference: ModelReference, namespace: str = "") -> str:
    """What the record of a use is about: the whole model, whatever file is loaded.

    ``namespace`` is the one of the workload; where a name is relative to it, it is part of the key.
    What a hub hands out by URL is known by the repository that it is of.
    """
    if reference.scheme in RELATIVE_SCHEMES:
        return in_namespace(reference.canonical, namespace)
    reference = repository_of(reference) or reference
    if reference.file is None:  # then # is a letter of the name, as in an object's key
        return reference.canonical
    return reference.canonical.partition("#")[0]


def record_name(reference: str, number: int = 0) -> str:
    """The name of the record of a reference: readable, unique, and the same everywhere.

    ``number`` makes others of it, for where somebody has taken the first.
    """
    digest = sha256(reference.encode()).hexdigest()[:12]
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in reference.lower())
    slug = "-".join(filter(None, kept.split("-")))[:48].strip("-")
    name = f"{slug}-{digest}" if slug else digest
    return f"{name}-{number}" if number else name


def new_record(
    reference: str, depth: int = 0, number: int = 0, namespace: str = ""
) -> dict[str, Any]:
    """A ModelRecord to create for a reference.

    ``depth`` is how far up a lineage it is, ``number`` which of its names it gets, ``namespace``
    the one that the reference is relative to, if it is.
    """
    annotations = {LINEAGE_DEPTH: str(depth)} if depth else {}
    key = in_namespace(reference, namespace) if namespace else reference
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {
            "name": record_name(key, number),
            "labels": dict([MANAGED_BY]),
            "annotations": annotations,
        },
        "spec": {"reference": reference, **({"namespace": namespace} if namespace else {})},
    }


def in_namespace(reference: str, namespace: str) -> str:
    """What the record of a reference is about that means something else in every namespace."""
    return f"{reference} in {namespace}"


def authority_id(identity: Identity) -> str:
    """What an authority is known by in records: a digest of how it is written.

    Whoever edits an authority makes another one of it, whose signatures are looked for afresh.
    """
    parts = {
        "key": identity.key,
        "certificate": identity.certificate,
        "keyless": identity.keyless,
    }
    return sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def content_formats(status: ModelRecordStatus) -> frozenset[str]:
    """Formats of weights that the model's files have by their content."""
    return frozenset(
        entry.format
        for entry in status.formats
        if entry.files and entry.basis is not Basis.ASSERTED
    )


def named_formats(status: ModelRecordStatus) -> frozenset[str]:
    """Formats of weights that are known by file name only."""
    return frozenset(
        entry.format for entry in status.formats if entry.files and entry.basis is Basis.ASSERTED
    )
