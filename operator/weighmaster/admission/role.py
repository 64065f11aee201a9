"""The webhook role: what runs in its process, and in which order it starts and stops.

kopf does not run here, and why not is measured in ``docs/admission.md``.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry

from weighmaster.admission.handler import AdmissionHandler, Evidence, Store
from weighmaster.admission.server import AdmissionServer
from weighmaster.certificates.serving import ServingCertificate
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.requests import EvidenceRequests
from weighmaster.cluster.store import ClusterStore
from weighmaster.health import HealthServer, Problem
from weighmaster.loops import kept_running
from weighmaster.policy_files import FileStore
from weighmaster.settings import WebhookSettings
from weighmaster.telemetry import (
    AdmissionMetrics,
    CertificateMetrics,
    StoreMetrics,
    metrics_registry,
)

_log = structlog.get_logger()


class _Service(Struct, frozen=True):
    """What is served, and where it says how it does."""

    settings: WebhookSettings
    registry: CollectorRegistry
    certificate: ServingCertificate
    store: Store
    store_problem: Problem = lambda: None
    evidence: Evidence | None = None


async def run_webhook(settings: WebhookSettings) -> None:
    """Serve admission until told to stop, by policies from files or from the cluster."""
    registry = metrics_registry()
    certificate = ServingCertificate(
        settings.certificate, settings.key, CertificateMetrics(registry)
    )
    if settings.policies is not None:
        # Nobody will issue one later, as the controller does in a cluster.
        certificate.load()
        store = FileStore([settings.policies], installation=settings.installation)
        async with kept_running(certificate.follow()):
            await _serve(_Service(settings, registry, certificate, store))
        return
    async with ApiClient() as client:
        cluster = ClusterStore(
            client, StoreMetrics(registry), settings.max_staleness, settings.installation
        )
        requests = EvidenceRequests(client, cluster, settings.evidence_wait)
        service = _Service(settings, registry, certificate, cluster, cluster.not_ready, requests)
        async with kept_running(certificate.follow(), cluster.run(), requests.run()):
            await _serve(service)


async def _serve(service: _Service) -> None:
    """Listen at once, so that an early request is refused with a reason; drain in the end."""
    settings = service.settings
    metrics = AdmissionMetrics(service.registry)
    handler = AdmissionHandler(service.store, metrics, evidence=service.evidence)
    context = service.certificate.context
    server = AdmissionServer(handler, context, settings.host, settings.port)
    stop = asyncio.Event()

    def not_ready() -> str | None:
        if stop.is_set():
            return "stopping"
        return service.certificate.not_ready() or service.store_problem()

    health = HealthServer(service.registry, not_ready, settings.health_host, settings.health_port)
    again = asyncio.Event()
    _on_signals(lambda: again.set() if stop.is_set() else stop.set())
    await health.start()
    try:
        await server.start()
        await stop.wait()
        await _see_off(server, settings.shutdown_delay, again)
    finally:
        await server.stop()
        await health.stop()


def _on_signals(act: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


async def _see_off(server: AdmissionServer, delay: float, again: asyncio.Event) -> None:
    """Serve on for a while: requests come until every API server knows that we are leaving."""
    if not delay:
        return
    _log.info("stopping", seconds=delay)
    server.dismiss()
    with suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await again.wait()
