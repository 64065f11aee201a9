"""The controller role: what runs in its process, and in which order it starts and stops."""

from prometheus_client import CollectorRegistry

from weighmaster.cluster.client import ApiClient
from weighmaster.gather.service import Gatherer
from weighmaster.handlers.controller import StatusReconciler, register
from weighmaster.handlers.operator import new_registry, new_settings, run_operator
from weighmaster.handlers.settings import ControllerSettings
from weighmaster.health import HealthServer
from weighmaster.loops import kept_running
from weighmaster.records.keeper import RecordKeeper
from weighmaster.records.material import NamespaceMaterial
from weighmaster.telemetry import StoreMetrics


async def run_controller(settings: ControllerSettings) -> None:
    """Reconcile, gather and verify until told to stop."""
    registry = CollectorRegistry()
    async with ApiClient() as client, Gatherer(settings.gather) as gatherer:
        metrics = StoreMetrics(registry)
        statuses = StatusReconciler(client, metrics)
        keeper = RecordKeeper(
            client, gatherer, NamespaceMaterial(client, settings.namespace), metrics
        )
        health = HealthServer(
            registry,
            lambda: statuses.not_ready() or keeper.not_ready(),
            settings.health_host,
            settings.health_port,
        )
        handlers = new_registry()
        register(handlers, statuses)
        await health.start()
        try:
            async with kept_running(statuses.run(), keeper.run()):
                await run_operator(handlers, new_settings())
        finally:
            await health.stop()
