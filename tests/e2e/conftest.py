"""End-to-end tests: a real API server, our processes, real kubectl."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.cluster.installation import Installation
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.artifacts import Bench
from tests.e2e.asking import admitted
from tests.e2e.running import Api, connected
from tests.e2e.sandboxes import MALLORY, isolate, reach, sandboxing
from tests.e2e.workloads import UNPINNED, pod
from tests.hub.registry import Registry, RegistryUnavailableError, running_registry
from tests.hub.repositories import Repository, model
from tests.hub.server import Hub
from tests.signing.chains import Chain
from tests.signing.cosign import SUITES, Cosign, CosignUnavailableError
from tests.signing.models import write_model
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.controlplane.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "control_plane" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)
    # What all others have used of the rights is only known after them.
    items.sort(key=lambda item: item.path.name == "test_rights.py")


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
def found_registry(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Registry | RegistryUnavailableError]:
    """A registry on loopback, or why there is none on this machine."""
    with contextlib.ExitStack() as stack:
        found: Registry | RegistryUnavailableError
        try:
            directory = tmp_path_factory.mktemp("registry")
            found = stack.enter_context(running_registry(directory))
        except RegistryUnavailableError as error:
            found = error
        yield found


@pytest.fixture(scope="session")
def registry(found_registry: Registry | RegistryUnavailableError) -> Registry:
    """A real registry."""
    if isinstance(found_registry, RegistryUnavailableError):
        skip_or_fail("registry", found_registry)
    return found_registry


@pytest.fixture(scope="session")
def chain() -> Chain:
    """Who certifies the keys of the programs."""
    return Chain()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> dict[str, Cosign]:
    """Real cosign programs by version, each with a key of its own."""
    found = {}
    for version in SUITES:
        try:
            found[version] = Cosign(version, tmp_path_factory.mktemp(f"cosign-{version}"))
        except CosignUnavailableError as error:
            skip_or_fail("cosign", error)
        found[version].certify(chain)
    return found


@pytest.fixture
def bench(registry: Registry, programs: dict[str, Cosign], tmp_path: Path) -> Bench:
    """A repository of the test's own."""
    return Bench(registry, programs, f"acme/{tmp_path.name.lower().strip('_-')}")


def skip_or_fail(what: str, error: Exception) -> NoReturn:
    """Skip a test for want of a program, except in CI, which has to have it."""
    if os.environ.get("CI"):
        pytest.fail(f"no {what}: {error}")
    pytest.skip(f"NO REAL {what.upper()}, so these tests say nothing: {error}")


@pytest.fixture(scope="session")
def installation(
    control_plane: ControlPlane,
    hub: Hub,
    found_registry: Registry | RegistryUnavailableError,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """Weighmaster, installed and ready, for all tests of the session."""
    hosts = [hub.address]
    if isinstance(found_registry, Registry):
        hosts.append(found_registry.address)
    controller = ["--endpoint", f"hf={hub.url}"]
    for host in hosts:
        controller += ["--internal-host", host, "--plain-http-host", host]
    webhook = (
        *("--staging-endpoint", f"hf={hub.url}"),
        *("--staging-internal-host", hub.address),
        *("--staging-plain-http-host", hub.address),
    )
    directory = tmp_path_factory.mktemp("weighmaster")
    with Installation(control_plane, directory, tuple(controller), webhook) as installed:
        yield installed


Apply = Callable[..., None]
MakePolicy = Callable[..., str]


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


@pytest.fixture
def profile(control_plane: ControlPlane, namespace: str) -> Iterator[Callable[..., str]]:
    """Makes the SandboxProfile of a test, which is named after its namespace."""

    def make(**spec: Any) -> str:
        control_plane.apply(
            {
                "apiVersion": "weighmaster.dev/v1alpha1",
                "kind": "SandboxProfile",
                "metadata": {"name": namespace},
                "spec": {"access": {"users": ["auditor"]}, **spec},
            }
        )
        return namespace

    yield make
    control_plane.kubectl("delete", "sandboxprofile", namespace, "--ignore-not-found")


@pytest.fixture
def sandboxed(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, profile: Callable[..., str]
) -> str:
    """A pod in a sandbox, of which the webhook has heard."""
    sandboxing(policy, profile())
    isolate(control_plane, namespace)
    assert SANDBOX_LABEL in admitted(control_plane, pod(namespace, "phi", *UNPINNED))[
        "metadata"
    ].get("labels", {})
    assert eventually(lambda: "is not allowed" in reach(control_plane, namespace, "exec", MALLORY))
    return "phi"


@pytest.fixture
def api(control_plane: ControlPlane) -> Iterator[Api]:
    with connected(control_plane) as opened:
        yield opened


@pytest.fixture
def repository(hub: Hub, namespace: str) -> Repository:
    return hub.add(model(f"acme/{namespace}-m", {"README.md": b"# A model\n"}))


@pytest.fixture
def volume(tmp_path: Path, repository: Repository) -> Path:
    """A volume on which the repository was fetched."""
    write_model(tmp_path / "volume" / "m", repository.files)
    return tmp_path / "volume"
