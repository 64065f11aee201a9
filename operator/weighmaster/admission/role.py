"""The webhook role: what runs in its process, and in which order it starts and stops."""

import asyncio
import signal
from contextlib import suppress

from prometheus_client import CollectorRegistry

from weighmaster.admission.handler import AdmissionHandler
from weighmaster.admission.server import AdmissionServer, server_context
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.store import ClusterStore
from weighmaster.handlers.operator import new_registry, new_settings, run_operator
from weighmaster.health import HealthServer, Problem
from weighmaster.policy_files import FileStore
from weighmaster.settings import WebhookSettings
from weighmaster.telemetry import AdmissionMetrics, StoreMetrics


async def run_webhook(settings: WebhookSettings) -> None:
    """Serve admission until told to stop: by policies from files, or from the cluster by kopf."""
    if settings.policies is not None:
        await _run_standalone(settings, FileStore([settings.policies]))
    else:
        await _run_in_cluster(settings)


async def _run_standalone(settings: WebhookSettings, store: FileStore) -> None:
    registry = CollectorRegistry()
    handler = AdmissionHandler(store, AdmissionMetrics(registry))
    server = _server(settings, handler)
    health = _health(settings, registry, lambda: None)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await health.start()
    await server.start()
    try:
        await stop.wait()
    finally:
        await server.stop()
        await health.stop()


async def _run_in_cluster(settings: WebhookSettings) -> None:
    registry = CollectorRegistry()
    async with ApiClient() as client:
        store = ClusterStore(client, StoreMetrics(registry), settings.max_staleness)
        handler = AdmissionHandler(store, AdmissionMetrics(registry))
        server = _server(settings, handler)
        health = _health(settings, registry, store.not_ready)
        await health.start()
        # Before kopf starts: it ends every task that was made after it, and this one must last
        # until the last request has been answered.
        reflecting = asyncio.create_task(store.run(), name="policy store")
        kopf_settings = new_settings()
        kopf_settings.scanning.disabled = True
        kopf_settings.admission.server = server
        try:
            await run_operator(new_registry(), kopf_settings)
        finally:
            reflecting.cancel()
            with suppress(asyncio.CancelledError):
                await reflecting
            await health.stop()


def _server(settings: WebhookSettings, handler: AdmissionHandler) -> AdmissionServer:
    context = server_context(settings.certificate, settings.key)
    return AdmissionServer(handler, context, settings.host, settings.port)


def _health(
    settings: WebhookSettings, registry: CollectorRegistry, not_ready: Problem
) -> HealthServer:
    return HealthServer(registry, not_ready, settings.health_host, settings.health_port)
