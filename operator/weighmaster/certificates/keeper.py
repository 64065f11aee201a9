"""Keeps the serving certificate and the trust in it, step by step. Only the leader runs this."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from weighmaster.certificates.generation import (
    Authority,
    Facts,
    Generation,
    authorities,
    inspect,
    issue,
)
from weighmaster.certificates.plan import Plan, Step, Stored, adjusted, next_step
from weighmaster.certificates.settings import CertificateSettings
from weighmaster.certificates.stored import (
    Json,
    SecretContent,
    is_injected,
    read_secret,
    read_trust,
    secret_with,
    with_trust,
)
from weighmaster.errors import ClusterError, WeighmasterError
from weighmaster.telemetry import CertificateMetrics

POLL = 5.0
"""Seconds between looks: a bundle that somebody emptied refuses every request until it is back."""

MAX_STEPS = 8
"""Steps without a pause; a rotation takes three."""

CONFIGURATIONS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
_COLLECTION = "/apis/admissionregistration.k8s.io/v1"

_log = structlog.get_logger()


class ConfigurationApi(Protocol):
    """What is needed of a client; failures are ClusterError with the HTTP status."""

    async def get(self, path: str, /) -> Json:
        """One object; 404 when it is not there."""

    async def create(self, collection: str, body: Mapping[str, Any], /) -> Json:
        """Create an object; 409 when it is there already."""

    async def replace(self, path: str, body: Mapping[str, Any], /) -> Json:
        """Write an object; 409 when it has changed since its ``metadata.resourceVersion``."""


class CertificateKeeper:
    """Issues, rotates and has trusted. What others have issued is trusted and never written."""

    def __init__(
        self,
        api: ConfigurationApi,
        namespace: str,
        settings: CertificateSettings,
        metrics: CertificateMetrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._trusted: tuple[str, datetime] | None = None
        self._said = ""

    async def run(self) -> None:
        """Keep at it until cancelled."""
        while True:
            try:
                await self.check()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look may be good
                self._metrics.failures.inc()
                text = str(error) if isinstance(error, WeighmasterError) else type(error).__name__
                self._say("serving certificate cannot be kept", error=text)
            await asyncio.sleep(POLL)

    async def check(self) -> Plan:
        """Take all the steps that are due; returns when the next one is."""
        for _ in range(MAX_STEPS):
            plan = await self._step()
            if plan.step is Step.WAIT:
                return plan
        return Plan(Step.WAIT)

    async def _step(self) -> Plan:
        secret = await self._read(f"{self._secrets}/{self._settings.secret}")
        content = read_secret(secret)
        now = self._clock()
        current = self._facts(content.current, now)
        if not content.managed or (current is not None and not current.ours):
            await self._trust_another(content, current)
            return Plan(Step.WAIT)
        staged = self._facts(content.staged, now)
        in_use = [facts.authority for facts in (current, staged) if facts is not None]
        others = await self._trust(in_use)
        self._metrics.serve(None if current is None else current.not_after)
        stored = Stored(current, staged, self._trusted_since(staged), others, content.issued_after)
        plan = next_step(stored, now, self._settings.timing)
        await self._take(plan, secret, content)
        return plan

    async def _take(self, plan: Plan, secret: Json | None, content: SecretContent) -> None:
        match plan.step:
            case Step.STAGE:
                timing = self._settings.timing
                fresh = issue(self._settings.names, self._clock(), timing.lifetime)
                await self._store(secret, content.current, fresh)
                _log.info("serving certificate issued", names=self._settings.names)
            case Step.PROMOTE:
                await self._store(secret, content.staged, None)
                self._metrics.rotations.inc()
                _log.info("serving certificate in use")
            case Step.WAIT:
                self._said = ""

    async def _trust_another(self, content: SecretContent, current: Facts | None) -> None:
        """Trust what somebody else has issued, where its CA is told."""
        self._say("the serving certificate is not ours and is left alone")
        self._metrics.serve(None if current is None else current.not_after)
        theirs = authorities(content.current.authority) if content.current else None
        if theirs:
            await self._trust(theirs)

    async def _trust(self, wanted: Sequence[Authority]) -> bool:
        """Adjust every webhook configuration that there is; whether any trusts others as well."""
        others = False
        for resource in CONFIGURATIONS:
            path = f"{_COLLECTION}/{resource}/{self._settings.configuration}"
            found = await self._read(path)
            if found is None or is_injected(found):
                continue
            trust = adjusted(read_trust(found), wanted, self._clock(), self._settings.timing)
            changed = with_trust(found, trust)
            if changed != found:
                await self._api.replace(path, changed)
                self._trusted = None
            others = others or bool(trust.retiring)
        return others

    def _trusted_since(self, staged: Facts | None) -> datetime | None:
        """Since when the staged generation has been trusted everywhere, as far as we have seen."""
        if staged is None:
            return None
        fingerprint = staged.authority.fingerprint
        if self._trusted is None or self._trusted[0] != fingerprint:
            self._trusted = (fingerprint, self._clock())
        return self._trusted[1]

    def _facts(self, generation: Generation | None, now: datetime) -> Facts | None:
        return inspect(generation, self._settings.names, now) if generation else None

    async def _store(
        self, secret: Json | None, current: Generation | None, staged: Generation | None
    ) -> None:
        name = self._settings.secret
        body = secret_with(secret, name, current, staged)
        if secret is None:
            await self._api.create(self._secrets, body)
        else:
            await self._api.replace(f"{self._secrets}/{name}", body)

    async def _read(self, path: str) -> Json | None:
        try:
            return await self._api.get(path)
        except ClusterError as error:
            if error.status != 404:
                raise
            return None

    def _say(self, what: str, **details: str) -> None:
        """Log what is not as it should be when it begins, not every time."""
        said = f"{what} {details}"
        if said != self._said:
            self._said = said
            _log.warning(what, secret=self._settings.secret, **details)
