"""The webhook role: what runs in its process, and in which order it starts and stops.

kopf does not run here, and why not is measured in ``docs/admission.md``.
"""

import asyncio
import signal

from prometheus_client import CollectorRegistry

from weighmaster.admission.handler import AdmissionHandler, Evidence, Store
from weighmaster.admission.server import AdmissionServer, server_context
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.requests import EvidenceRequests
from weighmaster.cluster.store import ClusterStore
from weighmaster.health import HealthServer, Problem
from weighmaster.loops import kept_running
from weighmaster.policy_files import FileStore
from weighmaster.settings import WebhookSettings
from weighmaster.telemetry import AdmissionMetrics, StoreMetrics


async def run_webhook(settings: WebhookSettings) -> None:
    """Serve admission until told to stop, by policies from files or from the cluster."""
    registry = CollectorRegistry()
    if settings.policies is not None:
        await _serve(settings, registry, FileStore([settings.policies]), lambda: None)
        return
    async with ApiClient() as client:
        store = ClusterStore(
            client, StoreMetrics(registry), settings.max_staleness, settings.installation
        )
        requests = EvidenceRequests(client, store, settings.evidence_wait)
        async with kept_running(store.run(), requests.run()):
            await _serve(settings, registry, store, store.not_ready, requests)


async def _serve(
    settings: WebhookSettings,
    registry: CollectorRegistry,
    store: Store,
    not_ready: Problem,
    evidence: Evidence | None = None,
) -> None:
    """Listen at once, so that an early request is refused with a reason; drain in the end."""
    context = server_context(settings.certificate, settings.key)
    handler = AdmissionHandler(store, AdmissionMetrics(registry), evidence=evidence)
    server = AdmissionServer(handler, context, settings.host, settings.port)
    health = HealthServer(registry, not_ready, settings.health_host, settings.health_port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await health.start()
    try:
        await server.start()
        await stop.wait()
    finally:
        await server.stop()
        await health.stop()
