"""What people supply by name: credentials and detached signatures, in Weighmaster's namespace.

Whoever writes a ModelRecord names a Secret and does not see it; what is in it goes to the host that
it is for and to nobody else, and neither it nor a digest of it is ever shown.
"""

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from msgspec import Struct

from weighmaster.core.assess import MAX_BUNDLE
from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import ClusterError, SettingsError
from weighmaster.gather.audience import Audience, audience_of
from weighmaster.gather.credentials import (
    NONE,
    Credential,
    Credentials,
    authority_of,
    from_secret,
)
from weighmaster.gather.settings import GatherSettings
from weighmaster.records.held import Held
from weighmaster.records.material import Kept, Kind, Material

AT_ONCE = 16
"""Objects that are asked after at one time."""

MISSING, FORBIDDEN = "missing", "forbidden"
_TELLING = {403: FORBIDDEN, 404: MISSING}
"""Answers that say something of the object, by their status; any other is an outage."""

_log = structlog.get_logger()


class Source(Struct, frozen=True, order=True):
    """An object that something is supplied in."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def noted(self, version: str) -> str:
        """The object at a version, as a record's conditions say it."""
        return f"{self}: {version}" if version in (MISSING, FORBIDDEN) else f"{self} at {version}"

    def problem(self, version: str) -> str:
        """Why it cannot be read, and what to do."""
        if version == MISSING:
            return "does not exist; create it, or name another"
        return f"may not be read; grant the controller get on {self.kind.plural} there"


class Notes(Struct, frozen=True):
    """Which credentials and which detached signature there are, by the versions of their objects.

    Empty where there are none.
    """

    credentials: str = ""
    signature: str = ""


class Grant(Struct, frozen=True):
    """Credentials for one gathering, or why those that a record names cannot be used.

    ``hint`` says what people can do if they do not suffice.
    """

    credentials: Credentials = NONE
    reason: UnavailableReason | None = None
    hint: str = ""
    note: str = ""


class Detached(Struct, frozen=True):
    """A detached signature, or why it could not be read."""

    bundle: bytes | None = None
    problem: str | None = None
    note: str = ""


class _Secret(Struct, frozen=True):
    """What was found in a Secret at a version: credentials, or why they cannot be used."""

    version: str
    credentials: Credentials = NONE
    problem: str | None = None


class Supplies:
    """Reads what records name, and notices when it changes.

    ``defaults`` are Secrets with credentials for all records that name none.
    """

    def __init__(
        self, material: Material, settings: GatherSettings, defaults: Sequence[str] = ()
    ) -> None:
        self.material = material
        self._settings = settings
        self._defaults = tuple(Source(Kind.SECRET, name) for name in defaults)
        self._endpoints = {name: authority_of(settings.endpoint(name)) for name in ("hf", "ngc")}
        self._versions: dict[Source, str] = {}
        self._secrets: dict[Source, _Secret] = {}

    async def look(self, records: Iterable[Held], *, again: bool) -> None:
        """Notice the versions of everything that is named; ``again`` also of what is known.

        What cannot be asked after, for no fault of its own, stays as it was.
        """
        wanted = set(self._defaults)
        for held in records:
            wanted.update(self._secrets_of(held), _signature_of(held))
        for source in self._versions.keys() - wanted:
            del self._versions[source]
            self._secrets.pop(source, None)
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for source in sorted(wanted):
                if again or source not in self._versions:
                    group.create_task(self._notice(source, slots))

    async def _notice(self, source: Source, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                version = await self.material.version(source.kind, source.name)
            except ClusterError as error:
                if error.status not in _TELLING:
                    _log.warning("version not known", source=str(source), error=str(error))
                    return
                version = _TELLING[error.status]
        self._versions[source] = version

    def notes(self, held: Held) -> Notes | None:
        """What there is now of what a record is worked on with; None while that is not known."""
        secrets, signature = self._secrets_of(held), _signature_of(held)
        if not self._versions.keys() >= {*secrets, *signature}:
            return None
        return Notes(self._noted(secrets), self._noted(signature))

    def _noted(self, sources: Iterable[Source]) -> str:
        return "; ".join(source.noted(self._versions[source]) for source in sources)

    async def credentials(self, held: Held) -> Grant:
        """Credentials for whoever is asked about a record's reference; raises ClusterError.

        A record that names a Secret gets what is in it and nothing else.
        """
        audience = audience_of(held.reference, self._settings)
        if audience is None:
            return Grant()
        if held.spec.credentials_secret is None:
            return await self._by_default(audience)
        own = Source(Kind.SECRET, held.spec.credentials_secret)
        found = await self._read(own)
        where = f"spec.credentialsSecret: {own} in namespace {self.material.namespace}"
        note = own.noted(found.version)
        if found.problem is not None:
            reason = UnavailableReason.CREDENTIALS_UNUSABLE
            if found.version == MISSING:
                reason = UnavailableReason.CREDENTIALS_MISSING
            return Grant(reason=reason, hint=f"{where} {found.problem}", note=note)
        chosen = audience.choose(found.credentials)
        if chosen is None:
            hint = f"{where} has no credentials for {audience}; add them, or name another"
            return Grant(reason=UnavailableReason.CREDENTIALS_UNUSABLE, hint=hint, note=note)
        hint = f"the credentials in {own} in namespace {self.material.namespace} do not open it"
        return Grant(Credentials((chosen,)), hint=hint, note=note)

    async def _by_default(self, audience: Audience) -> Grant:
        hint = "name a Secret with credentials in spec.credentialsSecret of its ModelRecord"
        entries: list[Credential] = []
        notes: list[str] = []
        for source in self._defaults:
            found = await self._read(source)
            entries += found.credentials.entries
            notes.append(source.noted(found.version))
            if found.problem is not None:
                hint += f"; {source}, which is there for all records, {found.problem}"
        chosen = audience.choose(Credentials(tuple(entries)))
        credentials = Credentials((chosen,)) if chosen else NONE
        return Grant(credentials, hint=hint, note="; ".join(notes))

    async def _read(self, source: Source) -> _Secret:
        """What is in a Secret, read once for each of its versions; raises ClusterError."""
        known = self._secrets.get(source)
        if known is not None and known.version == self._versions.get(source):
            return known
        try:
            found = self._decoded(await self.material.read(source.kind, source.name))
        except ClusterError as error:
            if error.status not in _TELLING:
                raise
            version = _TELLING[error.status]
            found = _Secret(version, problem=source.problem(version))
        self._secrets[source] = found
        if found.problem is not None:
            _log.warning("credentials cannot be used", secret=source.name, problem=found.problem)
        return found

    def _decoded(self, kept: Kept) -> _Secret:
        try:
            entries = {key: kept.entry(key) or b"" for key in kept.data}
            found = from_secret(entries, kept.type or "Opaque", self._endpoints)
        except SettingsError as error:
            return _Secret(kept.version, problem=f"cannot be used: {error}")
        except ValueError:
            return _Secret(kept.version, problem="cannot be used: it is not base64")
        return _Secret(kept.version, found)

    async def detached(self, held: Held) -> Detached:
        """The signature that a record names, read now; raises ClusterError."""
        given = held.spec.signature
        reference = (given.secret_ref or given.config_map_ref) if given else None
        if reference is None:
            return Detached()
        (source,) = _signature_of(held)
        where = f"spec.signature: {source} in namespace {self.material.namespace}"
        try:
            kept = await self.material.read(source.kind, source.name)
        except ClusterError as error:
            if error.status not in _TELLING:
                raise
            version = _TELLING[error.status]
            problem = f"{where} {source.problem(version)}"
            return Detached(problem=problem, note=source.noted(version))
        note = source.noted(kept.version)
        try:
            bundle = kept.entry(reference.key)
        except ValueError:
            return Detached(problem=f"{where} cannot be used: it is not base64", note=note)
        if bundle is None:
            problem = f"{where} has no entry {reference.key}; add it, or name another key"
            return Detached(problem=problem, note=note)
        if len(bundle) > MAX_BUNDLE:
            problem = f"{where} is larger than {MAX_BUNDLE} bytes in its entry {reference.key}"
            return Detached(problem=problem, note=note)
        return Detached(bundle, note=note)

    def _secrets_of(self, held: Held) -> tuple[Source, ...]:
        """The Secrets that credentials for a record may be in."""
        if audience_of(held.reference, self._settings) is None:
            return ()
        own = held.spec.credentials_secret
        return (Source(Kind.SECRET, own),) if own else self._defaults


def _signature_of(held: Held) -> tuple[Source, ...]:
    """The object that a record's signature is in, if it is in one."""
    given = held.spec.signature
    if given is not None and given.secret_ref is not None:
        return (Source(Kind.SECRET, given.secret_ref.name),)
    if given is not None and given.config_map_ref is not None:
        return (Source(Kind.CONFIG_MAP, given.config_map_ref.name),)
    return ()
