"""The status that a record should have: gathered, verified, and what people supply beside it."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog
from msgspec import Struct, structs

from weighmaster.api.v1alpha1.record import ModelRecordStatus
from weighmaster.core.assess import MAX_FAILURES, Supplied, assess, unavailable
from weighmaster.core.evaluate.records import is_gathered
from weighmaster.core.evidence import Evidence, Unavailable, UnavailableReason
from weighmaster.core.statements import stated
from weighmaster.core.values import ModelReference
from weighmaster.core.withdrawn import with_withdrawn
from weighmaster.gather.credentials import NONE, Credentials
from weighmaster.records.due import TAKEN_BACK, Sought, fingerprint, still_holds
from weighmaster.records.held import Held
from weighmaster.records.status import MadeWith
from weighmaster.records.supplied import Grant, Supplies

_log = structlog.get_logger()


class Gathering(Protocol):
    """Who finds out about references."""

    async def resolve(
        self, reference: ModelReference, credentials: Credentials = NONE, *, refresh: bool = False
    ) -> Evidence | Unavailable:
        """Evidence, or why there is none."""
        ...


class Due(Struct, frozen=True):
    """A record to work on."""

    held: Held
    sought: Sought
    reason: str

    @property
    def refresh(self) -> bool:
        """Whether what the gatherer keeps in memory will not do."""
        return self.reason == "expired"


Made = tuple[ModelRecordStatus, MadeWith]


class StatusMaker:
    """Makes the status of one record after another; any number of them at a time."""

    def __init__(
        self, gatherer: Gathering, supplies: Supplies, clock: Callable[[], datetime]
    ) -> None:
        self._gatherer = gatherer
        self._supplies = supplies
        self._clock = clock

    async def status(self, due: Due) -> Made | None:
        """The status of a record, with what it was made with; None for the one it has.

        Raises ClusterError when what it names could not be read, for no fault of that.
        """
        made = await self._made(due)
        if made is None or not due.held.names_bytes:
            return made
        status, made_with = made
        before, demands = due.held.status, due.sought.demands
        return with_withdrawn(status, before, demands, self._clock()), made_with

    async def _made(self, due: Due) -> Made | None:
        held, sought = due.held, due.sought
        made_with = MadeWith(fingerprint(sought))
        if not is_gathered(held.reference):
            return stated(held.reference, held.spec, sought.belonging, self._clock()), made_with
        grant = await self._supplies.credentials(held)
        made_with = structs.replace(made_with, credentials=grant.note)
        answer = await self._gather(due, grant)
        if isinstance(answer, Evidence):
            return await self._verified(due, answer, made_with)
        if answer.transient and self._outlasts(due):
            # An outage takes nothing away from what has been found out before it.
            _log.warning("evidence kept", record=held.metadata.name, reason=answer.reason.value)
            return None
        return unavailable(answer, sought.belonging), made_with

    async def _verified(self, due: Due, evidence: Evidence, made_with: MadeWith) -> Made:
        """What the evidence says, with the signature that people supply among the others."""
        held, sought = due.held, due.sought
        detached = await self._supplies.detached(held)
        supplied = Supplied(held.spec, detached.bundle, detached.problem)
        # Off the event loop: verifying keyless signatures takes milliseconds each.
        status = await asyncio.to_thread(
            assess,
            *(evidence, supplied, sought.authorities, sought.belonging, self._clock()),
            sought.demands,
        )
        if sought.omission is not None:
            failures = [sought.omission, *status.failures][:MAX_FAILURES]
            status = structs.replace(status, failures=failures)
        return status, structs.replace(made_with, signature=detached.note)

    async def _gather(self, due: Due, grant: Grant) -> Evidence | Unavailable:
        """Evidence, gathered with the credentials there are, or what people can do about it."""
        reference = due.held.reference
        if grant.reason is not None:
            return Unavailable(
                reference=reference.canonical,
                reason=grant.reason,
                message=grant.hint,
                at=self._clock().timestamp(),
            )
        asked = self._clock()
        answer = await self._gatherer.resolve(reference, grant.credentials, refresh=due.refresh)
        if isinstance(answer, Evidence) and _is_of_former(due.held, answer, asked):
            answer = await self._gatherer.resolve(reference, grant.credentials, refresh=True)
        if isinstance(answer, Unavailable) and answer.reason is UnavailableReason.UNAUTHORIZED:
            return structs.replace(answer, message=f"{answer.message}; {grant.hint}")
        return answer

    def _outlasts(self, due: Due) -> bool:
        """Whether what has been found out before still counts when the hub does not answer."""
        return due.reason not in TAKEN_BACK and still_holds(due.held, self._clock())


def _is_of_former(held: Held, evidence: Evidence, asked: datetime) -> bool:
    """Whether evidence was in memory before there was this record.

    Whoever deletes a record wants to know what there is now.
    """
    created = held.metadata.creation_timestamp
    return created is not None and evidence.fetched_at < min(created, asked).timestamp()
