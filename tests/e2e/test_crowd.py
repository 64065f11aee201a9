"""Many at once: nobody's deployment is lost because everybody deploys in the same minute."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.running import connected
from tests.e2e.test_evidence import CARD, SIGNED, arguments, signed
from tests.e2e.workloads import deployment
from tests.hub.repositories import model
from tests.hub.server import Hub

CLIENTS, EACH = 50, 4

pytestmark = pytest.mark.usefixtures("installation")


def test_two_hundred_deployments_by_fifty_clients_are_all_made_and_all_get_their_pods(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: Callable[..., str]
) -> None:
    """Nobody has seen the model before, so its evidence is gathered meanwhile."""
    repository = hub.add(signed(model(f"acme/{namespace}-crowd", {"README.md": CARD})))
    policy(SIGNED)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def deploy(client: int) -> list[float]:
        times = []
        with connected(control_plane) as api:
            for number in range(EACH):
                name = f"client-{client}-{number}"
                started = time.monotonic()
                api.request("POST", path, deployment(namespace, name, *arguments(repository)))
                times.append(time.monotonic() - started)
        return times

    with ThreadPoolExecutor(CLIENTS) as pool:
        times = [each for made in pool.map(deploy, range(CLIENTS)) for each in made]
    assert len(times) == CLIENTS * EACH
    assert max(times) < 10
    with connected(control_plane) as api:
        assert eventually(lambda: len(api.pods(namespace)) == CLIENTS * EACH, within=120)
        api.request("DELETE", path)
