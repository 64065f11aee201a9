"""Attestations: in-toto statements that somebody signed about a model, and who that was.

https://github.com/in-toto/attestation/blob/main/spec/v1: a statement has subjects, known by their
digests, and says of them what its predicate says. It comes in a DSSE envelope, in a Sigstore bundle
or as cosign has it in a layer with annotations (``cosign_legacy``).

Anybody may put anything beside a model, so an envelope counts for nothing until an authority turns
out to have signed it. What it has signed counts, also where it cannot be read: it may be the scan
that failed.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from weighmaster.core.evidence import SignatureBundle, SignatureKind
from weighmaster.core.verify.authorities import Authority, KeylessAuthority
from weighmaster.core.verify.bundle import Bundle, parse_bundle, parse_envelope
from weighmaster.core.verify.chains import load_certificate
from weighmaster.core.verify.cosign import SIGN_PREDICATE, verify_envelope
from weighmaster.core.verify.cosign_legacy import (
    SimpleSignature,
    signing_certificate,
    verify_annotated,
)
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signature import Signer
from weighmaster.core.verify.statement import LEGACY_PREDICATE, PREDICATE, STATEMENT
from weighmaster.core.verify.strict_json import (
    list_at,
    malformed,
    object_at,
    parse_object,
    text_at,
)
from weighmaster.core.verify.wording import listed, shown
from weighmaster.errors import VerificationError

OLD_STATEMENT = "https://in-toto.io/Statement/v0.1"
"""What cosign writes, up to 3.1; for what is read here the two say the same."""

MAX_ENVELOPE_BYTES = 4 * 1024 * 1024
"""Bills of materials have megabytes. What is as large as this is not gathered."""

_SIGNATURES = (PREDICATE, LEGACY_PREDICATE, SIGN_PREDICATE)
"""Predicate types by which somebody stands for a model, and attests nothing."""

MAX_SUBJECTS = 50_000
MAX_NAME = 4096
_MAX_PARTS = 4 * MAX_SUBJECTS


class Statement(Struct, frozen=True):
    """A statement, as it was found.

    ``subjects`` are the SHA-256 digests, hex, of what it is about; ``digest`` is that of the
    statement itself, ``sha256:<hex>``.
    """

    predicate_type: str
    subjects: frozenset[str]
    predicate: dict[str, object]
    digest: str


class Envelope(Struct, frozen=True):
    """An envelope, of which nothing is verified. Where there is an error it cannot be read.

    ``predicate_type`` is None where that cannot be read.
    """

    material: SignatureBundle
    form: Bundle | SimpleSignature | VerificationError
    predicate_type: str | None
    content: Statement | VerificationError


class Target(Struct, frozen=True):
    """What attestations must be about, by SHA-256 in hex.

    Together they must name all ``parts``. One that names none of the ``telling`` parts is about
    something else, whatever small files the two have in common. ``whole`` are digests that stand
    for all parts.
    """

    parts: frozenset[str]
    telling: frozenset[str]
    whole: frozenset[str] = frozenset()

    def covered(self, statement: Statement) -> frozenset[str]:
        """The parts that a statement is about; none when it is about something else."""
        if statement.subjects & self.whole:
            return self.parts
        found = statement.subjects & self.parts
        return found if found & self.telling else frozenset()


class Attestation(Struct, frozen=True):
    """A statement that an authority has signed, about ``parts`` of the target.

    ``issued`` is when the signer got the keyless certificate, which is minutes before it signed at
    most: as much of a time as a signature proves whatever is put beside it later. None for others.
    """

    signer: Signer
    statement: Statement
    parts: frozenset[str]
    issued: datetime | None = None

    def supersedes(self, other: "Attestation") -> bool:
        """Whether the same signer said this later, and of no less."""
        return (
            self.signer == other.signer
            and self.issued is not None
            and other.issued is not None
            and self.issued > other.issued
            and self.parts >= other.parts
        )


class Attested(Struct, frozen=True):
    """What an authority attested of a target, with predicates of one type.

    ``attestations`` are those that nothing later supersedes. ``doubts`` are about envelopes that it
    has signed and that cannot be judged; ``refusals`` say why others are none of its.
    """

    attestations: tuple[Attestation, ...] = ()
    doubts: tuple[VerificationError, ...] = ()
    refusals: tuple[VerificationError, ...] = ()


def read_envelopes(material: Sequence[SignatureBundle]) -> list[Envelope]:
    """The envelopes among signature material that may be attestations, each of them once."""
    found: dict[tuple[object, ...], Envelope] = {}
    for each in material:
        if each.kind in (SignatureKind.BUNDLE, SignatureKind.COSIGN_ATTESTATION):
            envelope = _read(each)
            if envelope.predicate_type not in _SIGNATURES:
                found.setdefault((each.subject, each.content, each.annotations), envelope)
    return list(found.values())


def attested(
    envelopes: Sequence[tuple[Envelope, Target]],
    predicate_type: str,
    authority: Authority,
    now: datetime,
) -> Attested:
    """What an authority attested; each envelope comes with what it must be about.

    ``now`` is when certificates of the certificate method must be valid.
    """
    attestations: list[Attestation] = []
    doubts: list[VerificationError] = []
    refusals: list[VerificationError] = []
    for envelope, target in envelopes:
        if envelope.predicate_type not in (predicate_type, None):
            continue
        try:
            signer = _verify(envelope, authority, now)
        except VerificationError as error:
            refusals.append(error)
            continue
        statement = envelope.content
        if isinstance(statement, VerificationError):
            doubts.append(statement)
            continue
        parts = target.covered(statement)
        if not parts:
            refusals.append(_of_another(statement, signer))
            continue
        issued = _issued(envelope) if isinstance(authority, KeylessAuthority) else None
        attestations.append(Attestation(signer, statement, parts, issued))
    return Attested(_standing(attestations), tuple(doubts), tuple(refusals))


def _standing(found: Sequence[Attestation]) -> tuple[Attestation, ...]:
    """Those that are not superseded, the same statement of one signer once."""
    distinct = {(each.signer, each.statement.digest): each for each in found}
    return tuple(
        each
        for each in distinct.values()
        if not any(other.supersedes(each) for other in distinct.values())
    )


def _read(material: SignatureBundle) -> Envelope:
    try:
        form = _form(material)
    except VerificationError as error:
        return Envelope(material, error, None, error)
    predicate_type: str | None = None
    try:
        document = parse_object(form.payload, "the statement", MAX_ENVELOPE_BYTES, _MAX_PARTS)
        predicate_type = text_at(document, "predicateType", "the statement")
        return Envelope(material, form, predicate_type, _statement(document, form.payload))
    except VerificationError as error:
        return Envelope(material, form, predicate_type, error)


def _form(material: SignatureBundle) -> Bundle | SimpleSignature:
    if material.kind is SignatureKind.BUNDLE:
        return parse_bundle(material.content)
    document = parse_object(material.content, "the envelope", MAX_ENVELOPE_BYTES, 64)
    return SimpleSignature(*parse_envelope(document), enveloped=True)


def _statement(document: dict[str, object], payload: bytes) -> Statement:
    """A statement; members that are not known are ignored, as the specification wants it."""
    what = "the statement"
    if text_at(document, "_type", what) not in (STATEMENT, OLD_STATEMENT):
        raise VerificationError(
            VerificationReason.UNSUPPORTED, f"the statement's type is neither {STATEMENT} nor v0.1"
        )
    return Statement(
        predicate_type=text_at(document, "predicateType", what),
        subjects=_subjects(list_at(document, "subject", what)),
        predicate=object_at({"predicate": {}, **document}, "predicate", what),
        digest=f"sha256:{hashlib.sha256(payload).hexdigest()}",
    )


def _subjects(subjects: list[object]) -> frozenset[str]:
    """SHA-256 digests of the subjects. What they are called says nothing: digests match."""
    if not 1 <= len(subjects) <= MAX_SUBJECTS:
        raise malformed(f"the statement must have 1 to {MAX_SUBJECTS} subjects")
    found = set()
    for subject in subjects:
        if not isinstance(subject, dict):
            raise malformed("a subject of the statement is not an object")
        name = subject.get("name")
        if not isinstance(name, str | None) or not _is_sane(name or ""):
            raise malformed("a subject of the statement has a name that is none")
        digests = object_at(subject, "digest", "a subject")
        if not digests or not all(isinstance(value, str) for value in digests.values()):
            raise malformed("a subject of the statement has no digest")
        if "sha256" in digests:
            found.add(_hex(text_at(digests, "sha256", "a subject")))
    return frozenset(found)


def _is_sane(name: str) -> bool:
    return len(name) <= MAX_NAME and not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name)


def _hex(text: str) -> str:
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise malformed("a subject's digest is not sha256 in lower-case hex")
    return text


def _verify(envelope: Envelope, authority: Authority, now: datetime) -> Signer:
    if isinstance(envelope.form, VerificationError):
        raise envelope.form
    if isinstance(envelope.form, Bundle):
        return verify_envelope(envelope.form, authority, now)
    return verify_annotated(envelope.form, envelope.material, authority, now)


def _issued(envelope: Envelope) -> datetime:
    if isinstance(envelope.form, Bundle):
        leaf = load_certificate(envelope.form.certificates[0])
    else:
        leaf = signing_certificate(envelope.material)
    return leaf.not_valid_before_utc


def _of_another(statement: Statement, signer: Signer) -> VerificationError:
    subjects = [f"sha256:{digest}" for digest in statement.subjects]
    return VerificationError(
        VerificationReason.OTHER_ARTIFACT,
        f"the attestation by {shown(signer.identity)} is not of this model, but of"
        f" {listed(subjects) or 'something without a sha256 digest'}",
    )
