"""Alerts and dashboard ask for metrics that there are, so that what they say can be true."""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from weighmaster.health import HealthServer
from weighmaster.telemetry import (
    AdmissionMetrics,
    CertificateMetrics,
    EvidenceMetrics,
    OutcomeMetrics,
    SandboxMetrics,
    StoreMetrics,
    leadership_gauge,
    metrics_registry,
)

FILES = Path(__file__).parents[2] / "charts" / "weighmaster" / "files"
ASKED = re.compile(r"\b((?:weighmaster|process)_[a-z_]+)\b")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def names(registry: CollectorRegistry) -> Iterator[str]:
    for family in registry.collect():
        for suffix in SUFFIXES[family.type]:
            yield family.name + suffix


def test_every_metric_that_is_asked_for_exists() -> None:
    registry = metrics_registry()
    for made in (
        AdmissionMetrics,
        CertificateMetrics,
        EvidenceMetrics,
        OutcomeMetrics,
        SandboxMetrics,
        StoreMetrics,
        leadership_gauge,
    ):
        made(registry)
    HealthServer(registry, lambda: None, "127.0.0.1", 0)
    there = set(names(registry))
    for file in (FILES / "alerts.yaml", FILES / "dashboard.json"):
        asked = set(ASKED.findall(file.read_text()))
        assert asked, f"{file.name} asks for nothing"
        assert asked <= there, f"{file.name}: {sorted(asked - there)}"
