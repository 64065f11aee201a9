"""Logs and metrics. Logs are JSON, one event a line, and never hold a whole object or a token."""

import logging
import math
import sys
import traceback
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from structlog.typing import Processor

LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds; the last is the webhook timeout."""


def configure_logging(level: str) -> None:
    """Write JSON lines to standard output from ``level`` (``debug`` to ``error``) upwards."""
    number = logging.getLevelNamesMapping()[level.upper()]
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *processors,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(), foreign_pre_chain=processors
        )
    )
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    # kopf logs each object it handles; only what goes wrong there is news.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)


def silence_logging() -> None:
    """Log nothing: a command for people says on its own what there is to say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def where_failed(error: Exception) -> dict[str, Any]:
    """Where something failed, for a log. Its text may quote what was read, and is left out."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "error": type(error).__name__,
        "where": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


def metrics_registry() -> CollectorRegistry:
    """A registry with what Prometheus' conventions want to be known of every process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def readiness_gauge(registry: CollectorRegistry) -> Gauge:
    """The metric that says whether a process is ready."""
    return Gauge("weighmaster_ready", "Whether this process is ready: 1 or 0.", registry=registry)


def leadership_gauge(registry: CollectorRegistry) -> Gauge:
    """The metric that says whether a controller leads."""
    return Gauge("weighmaster_leader", "Whether this replica leads: 1 or 0.", registry=registry)


class AdmissionMetrics:
    """Metrics of the webhook.

    Children are kept: looking one up by its labels costs as much as a request without models.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "weighmaster_admission_requests",
            "Admission requests answered.",
            ("stage", "kind", "decision"),
            registry=registry,
        )
        refusals = Counter(
            "weighmaster_admission_refusals",
            "Reasons of refused admission requests; one request may have several.",
            ("stage", "reason"),
            registry=registry,
        )
        duration = Histogram(
            "weighmaster_admission_duration_seconds",
            "Time to answer an admission request, from its last byte read to its answer.",
            ("stage",),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._requests = cache(requests.labels)
        self._refusals = cache(refusals.labels)
        self._duration = cache(duration.labels)

    def answered(self, stage: str, kind: str, decision: str, refused_for: Iterable[str]) -> None:
        """Count an answer, and the reasons if it is a refusal."""
        self._requests(stage, kind, decision).inc()
        for reason in refused_for:
            self._refusals(stage, reason).inc()

    def took(self, stage: str, seconds: float) -> None:
        """Record how long an answer took."""
        self._duration(stage).observe(seconds)


class CertificateMetrics:
    """Metrics of the serving certificate: of what is stored (controller) or served (webhook)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expiry = Gauge(
            "weighmaster_serving_certificate_expiry_timestamp_seconds",
            "When the serving certificate expires (Unix time); NaN when there is none.",
            registry=registry,
        )
        self._expiry.set(math.nan)
        self.rotations = Counter(
            "weighmaster_serving_certificate_rotations",
            "Times that another serving certificate was taken into use.",
            registry=registry,
        )
        self.failures = Counter(
            "weighmaster_serving_certificate_failures",
            "Failed tries to keep, or to load, the serving certificate.",
            registry=registry,
        )

    def serve(self, not_after: datetime | None) -> None:
        """Note when the certificate expires, or that there is none."""
        self._expiry.set(math.nan if not_after is None else not_after.timestamp())


class StoreMetrics:
    """Metrics of the reflectors that feed the policy store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.staleness = Gauge(
            "weighmaster_store_staleness_seconds",
            "Time since the API server was last heard of, by resource; NaN before the first list.",
            ("resource",),
            registry=registry,
        )
        self.objects = Gauge(
            "weighmaster_store_objects", "Objects held.", ("resource",), registry=registry
        )
        self.relists = Counter(
            "weighmaster_store_lists",
            "Full listings; more than one per resource means that a watch had to start again.",
            ("resource",),
            registry=registry,
        )
        self.failures = Counter(
            "weighmaster_store_failures",
            "Failed lists and watches.",
            ("resource",),
            registry=registry,
        )


class EvidenceMetrics:
    """Metrics of evidence: what hubs have answered, and what records say."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gathers = Counter(
            "weighmaster_gathers",
            "Times that a hub was asked about a reference, by what came of it: evidence, or why"
            " there is none.",
            ("hub", "outcome"),
            registry=registry,
        )
        self.records = Gauge(
            "weighmaster_records",
            "ModelRecords by state, as this replica saw them when it last led.",
            ("state",),
            registry=registry,
        )
        self.overdue = Gauge(
            "weighmaster_evidence_overdue_records",
            "ModelRecords whose evidence has expired and was not renewed.",
            registry=registry,
        )

        self.age = Gauge(
            "weighmaster_evidence_oldest_age_seconds",
            "Age of the oldest evidence of a reference that moves; 0 when there is none. That of"
            " a pinned reference never grows old.",
            registry=registry,
        )

    def gathered(self, hub: str, outcome: str) -> None:
        """Count an answer of a hub."""
        self._gathers.labels(hub, outcome).inc()


HASHING_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 3600)
"""Seconds; a gigabyte takes less than one on a core."""


class OutcomeMetrics:
    """Metrics of what verifying containers have found in pods."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._verifications = Counter(
            "weighmaster_content_verifications",
            "Verifications before start that have ended, by result and reason.",
            ("result", "reason"),
            registry=registry,
        )
        self._bytes = Counter(
            "weighmaster_content_verified_bytes",
            "Bytes that were as expected before their server started.",
            registry=registry,
        )
        self._duration = Histogram(
            "weighmaster_content_verification_duration_seconds",
            "Time that the start of a pod took longer for its verification.",
            buckets=HASHING_BUCKETS,
            registry=registry,
        )

    def ended(self, result: str, reason: str, count: int, seconds: float) -> None:
        """Count a verification, the bytes that it found as expected, and its time."""
        self._verifications.labels(result, reason).inc()
        self._bytes.inc(count)
        self._duration.observe(seconds)


class SandboxMetrics:
    """Metrics of what is done about running pods."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"weighmaster_{name}", text, labels, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"weighmaster_{name}", text, labels, registry=registry)

        self.serving = gauge("serving_pods", "Pods that serve models.")
        self.sandboxed = gauge("sandboxed_pods", "Pods that are confined, by profile.", "profile")
        self.quarantined = gauge(
            "quarantined_pods", "Pods that were confined while they ran, by profile.", "profile"
        )
        self.exposed = gauge(
            "exposed_pods",
            "Confined pods that are not isolated: another NetworkPolicy allows them traffic, or"
            " they use their node's network.",
        )
        self.violations = gauge(
            "policy_violating_pods", "Running pods for which a rule fails, by policy.", "policy"
        )
        self.waiting = gauge(
            "policy_waiting_pods",
            "Running pods that are to be quarantined or evicted and wait, by policy.",
            "policy",
        )
        self.network_policies = gauge(
            "network_policies", "NetworkPolicies that are kept for sandbox profiles."
        )
        self.network_policy_writes = counter(
            "network_policy_writes", "NetworkPolicies written, by what was done.", "operation"
        )
        self.actions = counter(
            "running_pod_actions",
            "What was done to running pods: quarantine, evict, release, expire, rollout.",
            "action",
        )
        self.action_failures = counter(
            "running_pod_action_failures", "What failed, and is tried again.", "action"
        )
        self.events_dropped = counter(
            "events_dropped", "Events that were not written, too many or refused."
        )
        self.audit_duration = Histogram(
            "weighmaster_running_audit_duration_seconds",
            "Time to judge the running pods that a change may concern.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
