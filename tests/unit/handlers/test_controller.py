"""The reconciler writes every status it can, whatever one of them does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.signing.bundles import public_pem
from tests.unit.cluster.api_server import ApiServer, status
from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import policy
from tests.unit.records.cluster import FakeMaterial
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.connection import Connection
from weighmaster.errors import ClusterError
from weighmaster.handlers import controller as controller_module
from weighmaster.handlers.controller import KnownNames, StatusReconciler
from weighmaster.records.published import KeyReader
from weighmaster.telemetry import StoreMetrics

pytestmark = pytest.mark.network


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def reconciler(api: ApiServer) -> AsyncIterator[StatusReconciler]:
    async with ApiClient(lambda: Connection(api.url, None, None)) as client:
        yield StatusReconciler(client, StoreMetrics(CollectorRegistry()))


def stored(name: str) -> dict[str, Any]:
    return policy(name=name)


async def test_nothing_is_written_before_the_surroundings_are_known(
    api: ApiServer, reconciler: StatusReconciler
) -> None:
    await reconciler.check("clustermodelpolicies", stored("a"))
    assert api.patches == []
    assert reconciler.not_ready()


async def test_status_is_written_once_all_is_known(
    api: ApiServer, reconciler: StatusReconciler
) -> None:
    api.put("a", spec=policy()["spec"])
    running = asyncio.create_task(reconciler.run())
    await eventually(lambda: len(api.patches) >= 4)  # each of the four kinds sees the one object
    assert reconciler.not_ready() is None
    path, patch = api.patches[0]
    assert path == "/apis/weighmaster.dev/v1alpha1/clustermodelpolicies/a/status"
    assert patch["status"]["conditions"][0]["status"] == "True"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_status_that_is_refused_keeps_no_other_from_being_written(
    api: ApiServer, reconciler: StatusReconciler
) -> None:
    for name in ("a", "b", "c"):
        api.put(name, spec=policy()["spec"])
    for reflector in reconciler._reflectors:
        await reflector._list()
    api.patch_faults.append(status(422))
    with capture_logs() as logs:
        assert await reconciler._check_all() is False
    names = [path.split("/")[-2] for path, _ in api.patches if "clustermodelpolicies" in path]
    assert names == ["b", "c"]
    assert logs[0]["name"] == "a"


async def test_kind_that_cannot_be_listed_keeps_no_other_from_being_checked(
    api: ApiServer, reconciler: StatusReconciler
) -> None:
    api.put("a", spec=policy()["spec"])
    for reflector in reconciler._reflectors:
        await reflector._list()
    api.list_faults.append(status(500))
    assert await reconciler._check_all() is False
    assert len(api.patches) == 3


async def test_object_that_was_deleted_meanwhile_is_no_failure(
    api: ApiServer, reconciler: StatusReconciler
) -> None:
    api.put("a", spec=policy()["spec"])
    for reflector in reconciler._reflectors:
        await reflector._list()
    api.patch_faults += [status(404)] * 4
    assert await reconciler._check_all() is True


async def test_full_check_that_failed_is_tried_again(
    api: ApiServer, reconciler: StatusReconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_module, "RETRY_INTERVAL", 0.01)
    api.put("a", spec=policy()["spec"])
    api.patch_faults += [status(500)] * 4
    running = asyncio.create_task(reconciler.run())
    await eventually(lambda: len(api.patches) >= 4)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def test_names_are_unknown_before_they_are_listed_and_tell_of_changes_only() -> None:
    changes: list[int] = []
    names = KnownNames(lambda: changes.append(1))
    assert names.of("x") is None
    one = {"metadata": {"name": "one"}}
    names.replace("x", [])
    assert names.of("x") == frozenset()
    names.update("x", one)
    names.update("x", one)
    assert names.of("x") == frozenset({"one"})
    names.remove("x", ("", "one"))
    names.remove("x", ("", "one"))
    assert names.of("x") == frozenset()
    assert len(changes) == 3


async def test_key_that_changes_in_its_secret_is_published_anew(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_module, "FOLLOW_INTERVAL", 0.02)
    material = FakeMaterial()
    keys = [public_pem(ec.generate_private_key(ec.SECP256R1())) for _ in range(2)]
    material.put_secret("k", value=keys[0].encode())
    signed = policy({"signature": {"authorities": [{"key": {"secretRef": {"name": "k"}}}]}})

    def published() -> list[str]:
        return [
            key["pem"]
            for path, patch in api.patches
            if "clustermodelpolicies" in path
            for key in patch["status"].get("keys", ())
        ]

    async with ApiClient(lambda: Connection(api.url, None, None)) as client:
        metrics = StoreMetrics(CollectorRegistry())
        reconciler = StatusReconciler(client, metrics, keys=KeyReader(material))
        running = asyncio.create_task(reconciler.run())
        await eventually(lambda: reconciler.not_ready() is None)
        await asyncio.sleep(0.1)  # it looks again in a minute, for all it knows
        api.put("a", spec=signed["spec"])
        await reconciler.check("clustermodelpolicies", signed)
        await eventually(lambda: keys[0] in published())
        material.failure = ClusterError("no route to host")
        await asyncio.sleep(0.1)
        assert set(published()) == {keys[0]}
        material.failure = None
        material.put_secret("k", value=keys[1].encode())
        await eventually(lambda: keys[1] in published())
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
