"""Checks about the bytes themselves, which hold once these are verified before their server starts.

A pass of these is conditional: its demand says what has to be verified, and enforcement sees to it,
or makes the finding a failure that says why it cannot.
"""

from msgspec import structs

from weighmaster.api.v1alpha1 import content, rules
from weighmaster.api.v1alpha1.authority import Authority, ExtendedKeyUsage, Identity
from weighmaster.api.v1alpha1.roles import Role
from weighmaster.core.detect.templates import PLACES
from weighmaster.core.evaluate.demands import Demand, is_staged
from weighmaster.core.evaluate.evidence_checks import evidence, fetchable, see
from weighmaster.core.evaluate.records import (
    CONTENT_REPAIRED_AT,
    Record,
    read_reference,
    record_key,
)
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.evaluate.verdict import PASS, Check, Verdict, error, fail, skip
from weighmaster.core.mounted import Signatures, Signer
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Outcome, Place
from weighmaster.errors import PolicyError

_TEMPLATED = frozenset(
    {f"{version.rpartition('/')[0]}/{kind}".removeprefix("/") for version, kind in PLACES}
)
"""Kinds whose pods are plain to see in them; the pods of others only their controllers know."""


def content_check(rule: content.ContentRule) -> Check:
    """The check of a ``content`` rule; raises PolicyError when it could never be met."""
    if rule.threshold > max(1, len(rule.authorities)):
        raise PolicyError("threshold asks for more signatures than there are authorities")

    stage = rule.downloads is content.Downloads.STAGE

    def check(subject: Subject) -> Verdict:
        early = _elsewhere(subject) or _by_runtime(subject)
        if early is None and (is_staged(subject.use) or (stage and _by_server(subject))):
            return _staged(subject)
        early = early or _unplaced(subject)
        if early is not None:
            return early
        if refused := _refused_before(subject):
            return refused
        if not fetchable(subject):
            found = _signatures(rule, subject) if rule.authorities else None
            return found if isinstance(found, Verdict) else _demanding(Demand(signatures=found))
        return _by_record(subject)

    return check


def _staged(subject: Subject) -> Verdict:
    """The verdict on what is downloaded before the server starts, and verified meanwhile."""
    if subject.use.reference.scheme != "hf":
        return fail(
            Reason.NOT_STAGEABLE,
            "is fetched by the server itself, and only models of the Hugging Face hub are staged;"
            " fetch it in an init container and give the server its path",
        )
    verdict = _by_record(subject)
    if verdict.demand is None:
        return verdict
    message = "is downloaded and verified in its pod before its server starts"
    demand = structs.replace(verdict.demand, staged=True)
    return structs.replace(verdict, message=message, demand=demand)


def signed_in_place(rule: rules.SignatureRule, subject: Subject) -> Verdict | None:
    """The verdict of a ``signature`` rule about weights that no hub vouches for.

    Their signatures lie beside them, where only their pod can look. None where there is no such
    place.
    """
    if not subject.use.places and not _fetches(subject):
        return None
    early = _elsewhere(subject) or _unplaced(subject) or _refused_before(subject)
    if early is not None:
        return early
    found = _signatures(rule, subject)
    if isinstance(found, Verdict):
        return found
    return _demanding(Demand(signatures=found, judged=True))


def _demanding(demand: Demand) -> Verdict:
    message = "is verified in its pod before its server starts"
    return Verdict(Outcome.PASS, Reason.VERIFIED_BEFORE_START, message, demand=demand)


def _elsewhere(subject: Subject) -> Verdict | None:
    """The verdict on uses whose bytes are looked at elsewhere."""
    if _fetches(subject) and not (subject.anonymous and _beside_servers(subject)):
        return skip(Reason.FETCHED_ONLY, "is only fetched here, and verified where it is served")
    if subject.use.placed_later or subject.workload.gvk not in _TEMPLATED:
        return skip(Reason.DECIDED_ON_PODS, "is verified in the pods, which are checked themselves")
    return None


def _fetches(subject: Subject) -> bool:
    """Whether the container only puts the weights somewhere; an adapter's role says otherwise."""
    use = subject.use
    return use.role is Role.FETCH or use.process.runtime == "download"


def _beside_servers(subject: Subject) -> bool:
    """Whether a container other than an init container uses it, which might serve as well."""
    return ".initContainers[" not in f".{subject.use.path}"


def _by_runtime(subject: Subject) -> Verdict | None:
    """The verdict on weights in images, which the container runtime verifies by their digest."""
    reference, places = subject.use.reference, subject.use.places
    volumes = bool(places) and all(place.source == "image" for place in places)
    if not volumes and reference.scheme != "image-embedded":
        return None
    if reference.pinned:
        return PASS
    return fail(
        Reason.MUTABLE_REFERENCE,
        "can change after admission; name the image by its digest, by which the container runtime"
        " verifies it",
    )


def _by_server(subject: Subject) -> bool:
    """Whether the server fetches it itself, to a place of its own."""
    return not subject.use.places and not subject.anonymous


def _unplaced(subject: Subject) -> Verdict | None:
    """The verdict on weights that are not there before the server starts."""
    places, container = subject.use.places, subject.use.process.container
    if not places and subject.anonymous:
        return error(Reason.UNDECIDABLE, "cannot be verified, its weights are not named")
    if not places or any(container in place.fetchers for place in places):
        return fail(
            Reason.DOWNLOADED_BY_SERVER,
            "is fetched by the server itself, so there is nothing to verify before it starts; fetch"
            " it in an init container and give the server its path",
        )
    return None


def _refused_before(subject: Subject) -> Verdict | None:
    """The verdict on volumes whose content was found wrong, and not right since."""
    for place in subject.use.places:
        record = _record_of(place, subject)
        result = record.refused(subject.workload.namespace) if record is not None else None
        if record is None or result is None:
            continue
        return fail(
            Reason.CONTENT_REFUSED,
            f"lies at {place.store}, which was refused at {result.at:%Y-%m-%dT%H:%M:%SZ} in pod"
            f" {result.pod} ({_short(result.message or result.reason or '')}); once it is mended:"
            f" kubectl annotate --overwrite modelrecord {record.name}"
            f" {CONTENT_REPAIRED_AT}=$(date -u +%FT%TZ)",
        )
    return None


def _short(text: str) -> str:
    return text if len(text) <= 256 else f"{text[:253]}..."


def _record_of(place: Place, subject: Subject) -> Record | None:
    if not place.store:
        return None
    key = record_key(read_reference(place.store), subject.workload.namespace)
    return subject.snapshot.records.get(key)


def _by_record(subject: Subject) -> Verdict:
    """The verdict on a model of a hub, whose bytes are known by its evidence."""
    record = evidence(subject)
    if isinstance(record, Verdict):
        if record.awaits is not None and record.outcome is Outcome.ERROR:
            return error(Reason.VERIFICATION_PENDING, record.message, record.awaits)
        return record
    status = record.status
    if status.loadable_digest is None:
        return error(
            Reason.EVIDENCE_NOT_AVAILABLE,
            "cannot be verified before start, since the digests of its files are not all known"
            f" ({see(record)})",
        )
    demand = Demand(digest=status.loadable_digest, fingerprints=status.fingerprints or "")
    return _demanding(demand)


def _signatures(
    rule: rules.SignatureRule | content.ContentRule, subject: Subject
) -> Signatures | Verdict:
    """Who must have signed, with key material; or why nobody could be found to have."""
    authorities: list[tuple[Signer, ...]] = []
    told: list[str] = []
    for authority in rule.authorities:
        identities = _identities(authority, subject)
        if not identities:
            told.append("it lies in no namespace of a publisher with identities")
        signers = []
        for identity in identities:
            signer = _signer(identity)
            if isinstance(signer, str):
                told.append(signer)
            else:
                signers.append(signer)
        if signers:
            authorities.append(tuple(signers))
    if len(authorities) >= rule.threshold:
        return Signatures(
            authorities=tuple(authorities), threshold=rule.threshold, coverage=rule.coverage
        )
    if _KEPT in told:  # which says nothing against the weights
        return error(Reason.NOT_VERIFIABLE, f"cannot be verified in its pod: {_KEPT}")
    return fail(
        Reason.NOT_VERIFIABLE,
        "has to be verified in its pod, and there is nothing to verify it by:"
        f" {'; '.join(dict.fromkeys(told))}",
    )


def _identities(authority: Authority, subject: Subject) -> tuple[Identity, ...]:
    if authority.publisher is None:
        return (authority,)
    return tuple(identity for each in subject.publishers for identity in each.identities)


def _signer(identity: Identity) -> Signer | str:
    """A signer with key material; or why there is none here."""
    if identity.key is not None:
        if identity.key.pem is None:
            return _KEPT
        return Signer(key=identity.key.pem)
    if identity.certificate is not None:
        certificate = identity.certificate
        if certificate.roots.pem is None:
            return _KEPT
        return Signer(
            roots=certificate.roots.pem,
            subject=certificate.subject,
            code_signing=certificate.extended_key_usage is ExtendedKeyUsage.CODE_SIGNING,
        )
    if identity.keyless is not None:
        keyless = identity.keyless
        if keyless.trust_root is not None:
            return "a trust root is kept in a ConfigMap, which pods are not given"
        return Signer(
            issuer=keyless.issuer,
            subject=keyless.subject or "",
            pattern=keyless.subject_pattern or "",
        )
    return "an authority names nobody"


_KEPT = (
    "the controller has not published a key that is kept in a Secret or ConfigMap; the warnings in"
    " the status of the policy, or ModelPublisher, say why"
)
