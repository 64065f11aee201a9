"""When a record is due: pure questions about what is stored and what there is now."""

from datetime import datetime, timedelta
from hashlib import sha256

from msgspec import Struct

from weighmaster.api.v1alpha1.record import EvidenceState, Failure, ModelRecordStatus
from weighmaster.core.assess import MAX_AUTHORITIES
from weighmaster.core.attestations import MAX_DEMANDS, Demand
from weighmaster.core.evaluate.records import OMITTED, is_gathered, supplied_digest
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import KnownAuthority
from weighmaster.records.held import Held
from weighmaster.records.status import (
    CREDENTIALS,
    MATERIAL,
    SIGNATURE,
    credentials_note,
    material_note,
    signature_note,
)
from weighmaster.records.supplied import Notes

AHEAD = timedelta(minutes=5)
"""How long before it expires evidence is gathered again, so that no decision has to wait for it:
also where many records are due at the same time, or a hub is away for a while."""

RETRY = {
    EvidenceState.UNAVAILABLE: timedelta(seconds=15),
    EvidenceState.FAILED: timedelta(minutes=5),
}
"""When to ask again; the gatherer paces what really goes out."""


TAKEN_BACK = frozenset({"material", "supplied"})
"""Reasons to work that may take back what evidence rests on: it must not outlive them."""


class Sought(Struct, frozen=True):
    """What a record shall say: whose signatures, what attestations, whose model it is."""

    authorities: tuple[KnownAuthority, ...] = ()
    demands: tuple[Demand, ...] = ()
    belonging: Belonging = Belonging()
    omitted: int = 0
    """How many more signers and attestations are asked for than a record holds."""

    @property
    def omission(self) -> Failure | None:
        """The same as a failure of the record."""
        if not self.omitted:
            return None
        message = (
            f"{self.omitted} of the signers and attestations that policies and publishers name are"
            f" not looked for: a record holds {MAX_AUTHORITIES} signers and {MAX_DEMANDS}"
            " attestations; take out those that are not needed"
        )
        return Failure(reason=OMITTED, message=message)


def reason_to_work(held: Held, sought: Sought, notes: Notes, now: datetime) -> str | None:
    """Why a record has to be worked on now; None when it need not be.

    ``notes`` is what there is now of what it names.
    """
    status = held.status
    if status is None:
        return "unreadable"
    if status.state in (None, EvidenceState.PENDING):
        return "new"
    if status.observed_generation != held.metadata.generation:
        return "new"
    if status.state not in RETRY and status.supplied != supplied_digest(held.spec):
        return "new"  # another version of ours reads what is supplied in another way
    if not is_gathered(held.reference):
        return None if _belongs(status, sought.belonging) else "publisher"
    if status.state in RETRY and status.fetched_at is not None:
        if _noted(status, CREDENTIALS) != credentials_note(notes.credentials):
            return "supplied"
        return "expired" if now >= status.fetched_at + RETRY[status.state] else None
    if _noted(status, SIGNATURE) != signature_note(notes.signature):
        return "supplied"
    if status.expires_at is not None and now >= status.expires_at - _ahead(status):
        return "expired"
    return _asked_otherwise(status, sought)


def _asked_otherwise(status: ModelRecordStatus, sought: Sought) -> str | None:
    """Why policies and publishers ask for what a status does not say; None if they do not."""
    if not _belongs(status, sought.belonging):
        return "publisher"
    if {each.id for each in status.authorities} != {known.id for known in sought.authorities}:
        return "authorities"
    omission = next((each for each in status.failures if each.reason == OMITTED), None)
    if omission != sought.omission:
        return "authorities"
    demanded = {(each.predicate_type, each.authority.id) for each in sought.demands}
    if {(each.predicate_type, each.authority) for each in status.attestations} != demanded:
        return "attestations"
    same = _noted(status, MATERIAL) == material_note(fingerprint(sought))
    return None if same else "material"


def _belongs(status: ModelRecordStatus, belonging: Belonging) -> bool:
    return Belonging(status.publisher, status.jurisdiction) == belonging


def _noted(status: ModelRecordStatus, kind: str) -> str:
    return next((each.message for each in status.conditions if each.type == kind), "")


def still_holds(held: Held, now: datetime) -> bool:
    """Whether evidence that is stored rests on what is supplied now, and has not expired.

    That other credentials are to be used takes nothing away from it.
    """
    status = held.status
    return (
        status is not None
        and status.state is EvidenceState.RESOLVED
        and status.supplied == supplied_digest(held.spec)
        and (status.expires_at is None or now < status.expires_at)
    )


def fingerprint(sought: Sought) -> str:
    """A digest of the key material that is kept in Secrets and ConfigMaps; empty for none.

    An authority keeps its id when such an object changes, so this tells that it did.
    """
    authorities = (*sought.authorities, *(demand.authority for demand in sought.demands))
    found = {f"{known.id} {known.material}" for known in authorities if known.material}
    return sha256("\n".join(sorted(found)).encode()).hexdigest()[:16] if found else ""


def _ahead(status: ModelRecordStatus) -> timedelta:
    """How long before it expires evidence is renewed: little where it does not hold for long."""
    if status.expires_at is None or status.fetched_at is None:
        return AHEAD
    return min(AHEAD, (status.expires_at - status.fetched_at) / 4)
