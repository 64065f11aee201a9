"""What the tests of the keeper are about: one model, two keys, and how to wait."""

import asyncio
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import public_pem
from tests.unit.records.cluster import FakeCluster

COMMIT = "a" * 40
PINNED = f"hf://acme/m@{COMMIT}"
MOVING = "hf://acme/m"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNED = {"signature": {"authorities": [{"key": {"pem": public_pem(KEY)}}]}}
LINEAGE = {
    "origin": {"publishers": {"allow": ["acme"]}, "assurance": "Namespace", "lineage": "Include"}
}

Json = dict[str, Any]


def by_config_map(name: str = "keys") -> Json:
    return {"signature": {"authorities": [{"key": {"configMapRef": {"name": name}}}]}}


def resolved(cluster: FakeCluster, name: str = "m") -> Callable[[], bool]:
    return lambda: cluster.status(name).get("state") == "Resolved"


def failure_of(cluster: FakeCluster, name: str = "m") -> Json:
    failures = cluster.status(name).get("failures") or [{}]
    found: Json = failures[0]
    return found


def condition(cluster: FakeCluster, kind: str, name: str = "m") -> Json:
    conditions = cluster.status(name).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


async def quiet(seconds: float = 0.1) -> None:
    """Long enough for several looks."""
    await asyncio.sleep(seconds)
