"""What the keeper works on: a Secret and two webhook configurations, with all their history."""

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from weighmaster.certificates.generation import authorities
from weighmaster.certificates.keeper import CertificateKeeper
from weighmaster.certificates.plan import Timing
from weighmaster.certificates.settings import CertificateSettings
from weighmaster.certificates.stored import Json, _decoded
from weighmaster.errors import ClusterError
from weighmaster.telemetry import CertificateMetrics

START = datetime(2026, 3, 1, tzinfo=UTC)
NAME = "webhook.weighmaster-system.svc"
SECRET = "/api/v1/namespaces/weighmaster-system/secrets/serving"
_REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{_REGISTRATION}/mutatingwebhookconfigurations/weighmaster"
VALIDATING = f"{_REGISTRATION}/validatingwebhookconfigurations/weighmaster"
TIMING = Timing(
    lifetime=timedelta(days=9),
    renew_before=timedelta(days=3),
    settle=timedelta(minutes=1),
    retire=timedelta(hours=2),
)


def configuration(*names: str) -> Json:
    """A webhook configuration as the chart makes it, without a bundle."""
    return {
        "metadata": {"name": "weighmaster", "annotations": {"meta.helm.sh/release-name": "w"}},
        "webhooks": [
            {"name": name, "clientConfig": {"service": {"name": "webhook", "path": "/x"}}}
            for name in names
        ],
    }


class Cluster:
    """Objects by path. Every version is kept with its time; ``fail`` may refuse a request."""

    def __init__(self, *, registered: bool = True) -> None:
        self.now = START
        self.objects: dict[str, Json] = {}
        self.history: dict[str, list[tuple[datetime, Json | None]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.fail: Callable[[str, str], bool] = lambda _verb, _path: False
        self._version = 0
        if registered:
            self.put(MUTATING, configuration("mutating"))
            self.put(VALIDATING, configuration("validating", "connect"))

    async def get(self, path: str) -> Json:
        self._ask("get", path)
        if path not in self.objects:
            raise ClusterError("not found", status=404)
        return copy.deepcopy(self.objects[path])

    async def create(self, collection: str, body: Mapping[str, Any]) -> Json:
        path = f"{collection}/{body['metadata']['name']}"
        self._ask("create", path)
        if path in self.objects:
            raise ClusterError("exists", status=409)
        return self.put(path, body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        self._ask("update", path)
        stored = self.objects[path]
        if body["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            raise ClusterError("conflict", status=409)
        return self.put(path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        """Write as somebody else."""
        self._version += 1
        stored = copy.deepcopy(dict(body))
        stored["metadata"] = {**stored["metadata"], "resourceVersion": str(self._version)}
        self.objects[path] = stored
        self.history.setdefault(path, []).append((self.now, stored))
        return copy.deepcopy(stored)

    def remove(self, path: str) -> None:
        """Delete as somebody else."""
        if self.objects.pop(path, None) is not None:
            self.history[path].append((self.now, None))

    def seen(self, path: str, lag: timedelta) -> list[Json]:
        """Every version that somebody who is late by up to ``lag`` may see now."""
        versions = self.history.get(path, [])
        first = max(
            (n for n, (since, _) in enumerate(versions) if since <= self.now - lag), default=0
        )
        return [stored for _, stored in versions[first:] if stored is not None]

    def keeper(self, timing: Timing = TIMING) -> CertificateKeeper:
        settings = CertificateSettings(secret="serving", names=(NAME,), timing=timing)
        metrics = CertificateMetrics(CollectorRegistry())
        return CertificateKeeper(
            self, "weighmaster-system", settings, metrics, clock=lambda: self.now
        )

    def _ask(self, verb: str, path: str) -> None:
        self.requests.append((verb, path))
        if self.fail(verb, path):
            raise ClusterError("refused", status=500)


def entry(secret: Json, name: str) -> str:
    """The text of an entry of a Secret; empty when there is none."""
    return _decoded(secret.get("data", {}).get(name))


def trusted(registered: Json) -> list[set[str]]:
    """Fingerprints of the CAs that each webhook of a configuration trusts."""
    return [
        {
            each.fingerprint
            for each in authorities(_decoded(webhook["clientConfig"].get("caBundle"))) or ()
        }
        for webhook in registered["webhooks"]
    ]


def fingerprint(pem: str) -> str:
    """The fingerprint of a CA."""
    found = authorities(pem)
    assert found
    return found[0].fingerprint
