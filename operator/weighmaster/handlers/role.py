"""The controller role: what runs in its process, and in which order it starts and stops.

Everything that writes runs only while the process holds the Lease; a second replica waits for it.
"""

import asyncio
import signal
from functools import partial

import structlog

from weighmaster.api.v1alpha1.record import EvidenceState
from weighmaster.certificates.keeper import CertificateKeeper
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.lease import Lease, Process
from weighmaster.errors import LeaseLostError
from weighmaster.gather.service import Gatherer
from weighmaster.handlers.controller import StatusReconciler, register
from weighmaster.handlers.operator import new_registry, new_settings, run_operator
from weighmaster.handlers.settings import ControllerSettings
from weighmaster.health import HealthServer
from weighmaster.loops import kept_running
from weighmaster.outcomes.keeper import Metrics, OutcomeKeeper
from weighmaster.quarantine.keeper import SandboxKeeper
from weighmaster.quarantine.terms import Terms
from weighmaster.records.keeper import RecordKeeper
from weighmaster.records.material import NamespaceMaterial
from weighmaster.records.published import KeyReader
from weighmaster.records.supplied import Supplies
from weighmaster.records.waiting import WaitingWorkloads
from weighmaster.telemetry import (
    CertificateMetrics,
    EvidenceMetrics,
    OutcomeMetrics,
    SandboxMetrics,
    StoreMetrics,
    leadership_gauge,
    metrics_registry,
)

LEASE = "weighmaster-controller"

_log = structlog.get_logger()


async def run_controller(settings: ControllerSettings) -> None:
    """Reconcile, gather and verify until told to stop, while holding the Lease."""
    registry = metrics_registry()
    leading = leadership_gauge(registry)
    evidence = EvidenceMetrics(registry)
    gatherer = Gatherer(settings.gather, on_gathered=evidence.gathered)
    async with ApiClient() as client, gatherer:
        metrics = StoreMetrics(registry)
        material = NamespaceMaterial(client, settings.namespace)
        supplies = Supplies(material, settings.gather, settings.credentials_secrets)
        keeper = RecordKeeper(client, gatherer, supplies, metrics)
        evidence.overdue.set_function(keeper.overdue)
        evidence.age.set_function(lambda: keeper.oldest().total_seconds())
        for state in EvidenceState:
            evidence.records.labels(state.value).set_function(partial(keeper.count, state))
        waiting = WaitingWorkloads(client, keeper.held)
        keeper.on_written = waiting.wake
        keys = KeyReader(material)
        statuses = StatusReconciler(client, metrics, omitted=keeper.omitted, keys=keys)
        certificates = settings.certificates and CertificateKeeper(
            client, settings.namespace, settings.certificates, CertificateMetrics(registry)
        )
        process = Process(on_change=lambda leads: leading.set(int(leads)))
        lease = Lease(client, settings.namespace, LEASE, process=process)

        terms = Terms(
            leads=lambda: lease.leading,
            exempt=frozenset((*settings.exempt_namespaces, settings.namespace)),
        )
        sandbox_metrics = SandboxMetrics(registry)
        sandbox = SandboxKeeper(client, metrics, sandbox_metrics, terms, settings.image)
        counted = Metrics(metrics, OutcomeMetrics(registry), sandbox_metrics)
        outcomes = OutcomeKeeper(client, settings.image, counted, terms)

        def not_ready() -> str | None:
            """A replica that waits for the Lease is as ready as it can be."""
            if not lease.leading:
                return None
            return (
                statuses.not_ready()
                or keeper.not_ready()
                or sandbox.not_ready()
                or outcomes.not_ready()
            )

        async def lead() -> None:
            nonlocal sandbox, outcomes
            sandbox = SandboxKeeper(client, metrics, sandbox_metrics, terms, settings.image)
            outcomes = OutcomeKeeper(client, settings.image, counted, terms)
            handlers = new_registry()
            register(handlers, statuses)
            loops = [statuses.run(), keeper.run(), sandbox.run(), outcomes.run(), waiting.run()]
            if certificates:
                loops.append(certificates.run())
            async with kept_running(*loops):
                await run_operator(handlers, new_settings())

        health = HealthServer(registry, not_ready, settings.health_host, settings.health_port)
        await health.start()

        async def candidate() -> None:
            """Lead whenever it is our turn; what was lost in an outage may be won again."""
            while True:
                try:
                    await lease.run(lead)
                except LeaseLostError as error:
                    _log.warning("no longer leading", error=str(error))
                else:
                    return

        leadership = asyncio.create_task(candidate(), name="lead")
        # Until kopf, once it runs, puts its own handlers in place.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, leadership.cancel)
        try:
            await asyncio.wait([leadership])
            if not leadership.cancelled():
                leadership.result()
        finally:
            await health.stop()
