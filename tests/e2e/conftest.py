"""End-to-end tests: a real API server, our processes, real kubectl."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.cluster.installation import Installation
from tests.controlplane.cluster import ControlPlane
from tests.hub.server import Hub


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.controlplane.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "control_plane" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """A hub on loopback, in a thread of its own, in place of the public one."""
    started: Future[Hub] = Future()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with Hub() as serving:
            started.set_result(serving)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    yield started.result(10)
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="session")
def installation(
    control_plane: ControlPlane, hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Weighmaster, installed and ready, for all tests of the session."""
    controller = (
        *("--endpoint", f"hf={hub.url}"),
        *("--internal-host", hub.address, "--plain-http-host", hub.address),
    )
    directory = tmp_path_factory.mktemp("weighmaster")
    with Installation(control_plane, directory, controller) as installed:
        yield installed


Apply = Callable[..., None]


@pytest.fixture
def policy(control_plane: ControlPlane, namespace: str) -> Iterator[Callable[..., str]]:
    """Makes cluster policies that only look at the test's namespace, and deletes them again."""
    made: list[str] = []

    def make(*rules: dict[str, Any], action: str = "Deny", name: str = "", **spec: Any) -> str:
        name = name or f"{namespace}-{len(made)}"
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        match = {"namespaceSelector": selector, **spec.pop("match", {})}
        control_plane.apply(
            {
                "apiVersion": "weighmaster.dev/v1alpha1",
                "kind": "ClusterModelPolicy",
                "metadata": {"name": name},
                "spec": {
                    "match": match,
                    "enforcement": {"action": action},
                    "rules": [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules)],
                    **spec,
                },
            }
        )
        made.append(name)
        return name

    yield make
    for name in made:
        control_plane.kubectl("delete", "clustermodelpolicy", name, "--ignore-not-found")
