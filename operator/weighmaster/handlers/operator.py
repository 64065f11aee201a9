"""kopf, embedded: one registry and one set of settings per process, nothing global."""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import kopf

from weighmaster.cluster.connection import log_in


def new_registry() -> kopf.OperatorRegistry:
    """A registry that knows how to log in and nothing else."""
    registry = kopf.OperatorRegistry()

    def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return log_in(settings)

    kopf.on.login(registry=registry, id="login")(login)
    return registry


class _Patience:
    """Seconds between retries, without an end: kopf ends the process when they run out."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.2, 0.5, 1, 2, 3), repeat(5.0))


def new_settings() -> kopf.OperatorSettings:
    """Settings for a controller that outlives its API server and leaves nothing on objects."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Patience()
    settings.watching.server_timeout = 270
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 5
    # kopf's timer would outlive an operator that ends because the Lease is lost, and kill the
    # process while it leads again. What does not end in time, the Lease ends, or the kubelet.
    settings.process.ultimate_exiting_timeout = None
    return settings


async def run_operator(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings) -> None:
    """Run kopf until the process is told to stop; then return."""
    # Nobody peers. Left to itself, kopf looks its user up, and a container's user has no entry.
    identity: Any = "weighmaster"
    await kopf.operator(
        registry=registry,
        settings=settings,
        standalone=True,
        clusterwide=True,
        identity=identity,
    )
