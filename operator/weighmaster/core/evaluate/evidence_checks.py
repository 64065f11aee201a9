"""Checks that need evidence: one function per kind of rule, from a model use to a verdict.

Evidence about a reference that can move proves nothing about what will be loaded, so an unpinned
reference fails with ``MutableReference`` and is told the form to write. Evidence that is missing is
an error, never a failure and never a pass.
"""

from weighmaster.api.v1alpha1 import content, rules
from weighmaster.api.v1alpha1.authority import Authority
from weighmaster.api.v1alpha1.record import Basis
from weighmaster.core.evaluate.records import (
    Record,
    authority_id,
    content_formats,
    is_gathered,
    named_formats,
    record_name,
)
from weighmaster.core.evaluate.spdx import AllowList
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.evaluate.verdict import PASS, Check, Verdict, error, fail, few
from weighmaster.core.hub_urls import repository_of
from weighmaster.core.reasons import Reason
from weighmaster.core.revisions import Standing
from weighmaster.core.values import Outcome
from weighmaster.errors import PolicyError


def found(subject: Subject) -> Record | Verdict:
    """The record of a use, or the verdict that follows from there being none that counts.

    Whatever it says of a reference that can move is true of what was there, and of nothing else.
    """
    if subject.anonymous:
        return error(Reason.UNDECIDABLE, "cannot be judged, its weights are not named")
    if not fetchable(subject):
        return nothing_fetched(subject)
    record = subject.record
    if record is None:
        message = f"evidence not available yet{_taken(subject)}"
        return error(Reason.EVIDENCE_NOT_AVAILABLE, message, subject.key)
    if missing := record.missing(subject.now):
        if record.awaited(subject.now):
            return error(Reason.EVIDENCE_PENDING, f"{missing} ({see(record)})", subject.key)
        return error(Reason.EVIDENCE_NOT_AVAILABLE, f"{missing} ({see(record)})")
    if record.renamed is not None:
        return error(
            Reason.EVIDENCE_NOT_AVAILABLE,
            "is served under another name, so its own no longer says whose it is; write"
            f" {record.renamed} ({see(record)})",
        )
    return record


def _taken(subject: Subject) -> str:
    """A remark for people where the name that its record should have is another's."""
    name = record_name(subject.key)
    if name not in subject.snapshot.record_names:
        return ""
    return f" (ModelRecord {name} has its record's name and is about something else)"


def evidence(subject: Subject) -> Record | Verdict:
    """The record of a use that names immutable content, or the verdict that follows otherwise."""
    record = found(subject)
    if isinstance(record, Verdict) or subject.use.reference.pinned:
        return record
    if record.standing is not Standing.OWN:
        return fail(Reason.MUTABLE_REFERENCE, PROPOSED)
    return fail(
        Reason.MUTABLE_REFERENCE,
        "can change after admission, so nothing that is known of it need be true of what is loaded;"
        f" write {record.status.resolved}",
    )


PROPOSED = "may be a pull request's, which anybody could write; name a commit of a branch"


def stated(subject: Subject, assertions: rules.AssertionScope) -> Record | Verdict:
    """The record of a use, for rules that believe what the repository's owner states in it.

    Where nothing can be fetched it is what people assert in a ModelRecord.
    """
    if not subject.anonymous and not fetchable(subject):
        return _asserted(subject, assertions)
    record = evidence(subject)
    if isinstance(record, Record) and record.standing is not Standing.OWN:
        return error(Reason.EVIDENCE_NOT_AVAILABLE, PROPOSED)
    return record


def _asserted(subject: Subject, assertions: rules.AssertionScope) -> Record | Verdict:
    """The record of a use that nothing can be fetched of, if what people assert in it counts.

    It is a statement about a name. Whoever runs the workload could make the name mean something
    else, and whoever may write there what it leads to; the second is for the rule to accept.
    """
    record, reference = subject.record, subject.use.reference
    if not reference.known:
        return error(Reason.UNDECIDABLE, "cannot be judged, its weights are not named")
    if record is None or not (record.asserted or record.missing(subject.now)):
        return error(
            Reason.EVIDENCE_NOT_AVAILABLE,
            f"{_nothing_of(subject)}; who may write a ModelRecord of it can assert facts there",
        )
    if missing := record.missing(subject.now):
        if record.awaited(subject.now):
            return error(Reason.EVIDENCE_PENDING, f"{missing} ({see(record)})", subject.key)
        return error(Reason.EVIDENCE_NOT_AVAILABLE, f"{missing} ({see(record)})")
    if overrides := subject.use.process.origin_overrides:
        return fail(
            Reason.ORIGIN_OVERRIDDEN,
            f"is fetched from elsewhere, so that what is asserted of its name ({see(record)}) says"
            f" nothing of it: remove {few(overrides)}",
        )
    if not reference.pinned and assertions is rules.AssertionScope.PINNED_ONLY:
        return fail(
            Reason.MUTABLE_REFERENCE,
            "can change after admission, and of such references the rule does not count what is"
            f" asserted ({see(record)}); its assertions: AnyReference would",
        )
    return record


def fetchable(subject: Subject) -> bool:
    """Whether evidence about the reference can be gathered."""
    reference = subject.use.reference
    return is_gathered(repository_of(reference) or reference)


def nothing_fetched(subject: Subject) -> Verdict:
    """The verdict of rules about content where nothing of it can be fetched."""
    return error(Reason.EVIDENCE_NOT_AVAILABLE, f"{_nothing_of(subject)}; {_instead(subject)}")


def _nothing_of(subject: Subject) -> str:
    scheme = subject.use.reference.scheme
    return f"cannot be judged by evidence, none can be gathered for {scheme}: references"


def _instead(subject: Subject) -> str:
    """What people can have verified where nothing can be fetched."""
    if subject.use.reference.scheme in ("nim", "aim"):
        return "the image fetches its weights when it starts, so name them where it can be told to"
    return "a content rule has the files verified before start"


def by_whom(basis: Basis | None) -> str:
    """A remark on a fact that is only asserted."""
    return " (asserted)" if basis is Basis.ASSERTED else ""


def signature_check(rule: rules.SignatureRule) -> Check:
    """The check of a ``signature`` rule; raises PolicyError when an authority is not one."""
    for authority in rule.authorities:
        require_one(authority)
    weights = rule.coverage is content.Coverage.WEIGHTS

    def check(subject: Subject) -> Verdict:
        record = evidence(subject)
        if isinstance(record, Verdict):
            return record
        signers: list[set[Signer]] = []
        unknown: list[str] = []
        told: list[str] = []
        for authority in rule.authorities:
            ids = ids_of(authority, subject)
            if authority.publisher is not None and not ids:
                told.append("its publisher has no identities, see ModelPublisher")
            signers.append(set())
            for key in ids:
                result = record.authorities.get(key)
                if result is None:
                    unknown.append(key)
                elif result.verified and (weights or result.coverage is content.Coverage.ALL):
                    signers[-1].add((result.identity, result.issuer))
                elif result.verified:
                    told.append(f"{result.identity} signed the weights only, not all files")
                elif result.message:
                    told.append(result.message)
        signed = _count(signers)
        if signed >= rule.threshold:
            return PASS
        if unknown:
            return verifying(record)
        wanted = f"{signed} of {rule.threshold} signatures" if rule.threshold > 1 else ""
        seen = "; ".join(dict.fromkeys(told)) or "no signature"
        return fail(
            Reason.NOT_SIGNED,
            f"is not signed as the rule asks ({', '.join(filter(None, (wanted, seen)))};"
            f" {see(record)})",
        )

    return check


def require_one(authority: Authority) -> None:
    """What the CRD demands in CEL, for policies that no API server has seen: PolicyError."""
    ways = (authority.publisher, authority.key, authority.certificate, authority.keyless)
    if sum(way is not None for way in ways) != 1:
        raise PolicyError(
            "an authority needs exactly one of publisher, key, certificate and keyless"
        )


Signer = tuple[str | None, str | None]
"""Identity and issuer."""


def _count(signers: list[set[Signer]]) -> int:
    """How many authorities have signed, each by a signer of its own (a maximum matching).

    Who signed counts once, however many authorities of a rule name them, and an authority counts
    once, however many of its identities signed.
    """
    taken: dict[Signer, int] = {}

    def place(authority: int, tried: set[Signer]) -> bool:
        for signer in signers[authority] - tried:
            tried.add(signer)
            if signer not in taken or place(taken[signer], tried):
                taken[signer] = authority
                return True
        return False

    return sum(place(authority, set()) for authority in range(len(signers)))


def license_check(rule: rules.LicenseRule) -> Check:
    """The check of a ``license`` rule."""
    allow = AllowList(rule.allow)

    def check(subject: Subject) -> Verdict:
        record = stated(subject, rule.assertions)
        if isinstance(record, Verdict):
            return record
        terms = record.status.license
        if terms is None:
            return fail(
                Reason.LICENSE_NOT_ALLOWED,
                f"states no licence (allowed: {few(rule.allow)}); if it has one, assert it in"
                f" ModelRecord {record.name}",
            )
        if not allow.permits(terms):
            return fail(
                Reason.LICENSE_NOT_ALLOWED,
                f"is under {terms}{by_whom(record.status.license_basis)} (allowed:"
                f" {few(rule.allow)})",
            )
        return PASS

    return check


def content_format(allow: frozenset[str], allowed: str, subject: Subject) -> Verdict:
    """The verdict of a ``format`` rule where the manifest says nothing about formats.

    Whatever weights are there could be loaded, so every format among them must be allowed.
    """
    record = evidence(subject)
    if isinstance(record, Verdict):
        if record.outcome is Outcome.ERROR:
            return error(
                Reason.FORMAT_UNKNOWN,
                f"does not say in which format it is ({allowed}), and {record.message}",
                record.awaits,
            )
        return record
    formats = content_formats(record.status) | named_formats(record.status)
    if not formats:
        return error(Reason.FORMAT_UNKNOWN, f"has no weights in a format that is known ({allowed})")
    if not formats - allow and record.incomplete:
        return error(
            Reason.FORMAT_UNKNOWN,
            f"may hold weights that could not be looked at ({allowed}); name the file to load or"
            f" give the runtime a load format ({see(record)})",
        )
    if wrong := sorted(formats - allow):
        right = sorted(formats & allow)
        hint = f"; it also has {few(right)}, which a loader setting can choose" if right else ""
        return fail(Reason.FORMAT_NOT_ALLOWED, f"has {few(wrong)} files ({allowed}{hint})")
    return PASS


def ids_of(authority: Authority, subject: Subject) -> tuple[str, ...]:
    """What records know an authority by; several identities, or none, for a publisher's own."""
    if authority.publisher is not None:
        return publisher_ids(subject)
    return (authority_id(authority),)


def publisher_ids(subject: Subject) -> tuple[str, ...]:
    """The authorities of the publishers in whose namespaces the reference lies."""
    return tuple(dict.fromkeys(key for each in subject.publishers for key in each.authorities))


def verifying(record: Record, what: str = "signatures") -> Verdict:
    """The verdict where the controller has not looked for an authority: not yet, or never."""
    if record.omits:
        return error(
            Reason.EVIDENCE_NOT_AVAILABLE,
            f"its {what} are not all looked for: policies and publishers name more authorities than"
            f" a record holds, so some must go ({see(record)})",
        )
    return error(
        Reason.EVIDENCE_PENDING,
        f"its {what} are being verified ({see(record)})",
        record.reference,
    )


def see(record: Record) -> str:
    """Where a person finds all that is known."""
    return f"see: kubectl get modelrecord {record.name}"
