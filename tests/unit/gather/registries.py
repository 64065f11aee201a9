"""Asking a registry for evidence, as the tests do."""

from typing import Any

from tests.hub.fake_registry import FakeRegistry
from tests.hub.repositories import CARD, safetensors
from tests.unit.gather.conftest import NAMES, Start
from weighmaster.core import references
from weighmaster.core.evidence import (
    Evidence,
    Unavailable,
)
from weighmaster.gather.credentials import NONE, Credential, Credentials
from weighmaster.gather.settings import GatherSettings, Timeouts

FILES = {
    "README.md": CARD.replace(b"license: apache-2.0\n", b""),
    "config.json": b'{"architectures": ["X"]}',
    "model.safetensors": safetensors({"a": [10]}),
}


def settings_for(*ports: int, **changes: Any) -> GatherSettings:
    hosts = frozenset(f"{name}:{port}" for port in ports for name in ("127.0.0.1", *NAMES))
    defaults: dict[str, Any] = {
        "internal_hosts": hosts,
        "plain_http_hosts": hosts,
        "timeouts": Timeouts(connect=5, read=5, request=10, gather=30),
    }
    return GatherSettings(**{**defaults, **changes})


async def resolve(
    start: Start,
    fake: FakeRegistry,
    name: str = "acme/model:v1",
    credentials: Credentials = NONE,
    **changes: Any,
) -> Evidence | Unavailable:
    gatherer = await start(settings_for(fake.port, **changes))
    reference = references.parse(f"oci://{fake.address}/{name}")
    found: Evidence | Unavailable = await gatherer.resolve(reference, credentials)
    return found


async def gather(start: Start, fake: FakeRegistry, *args: Any, **changes: Any) -> Evidence:
    found = await resolve(start, fake, *args, **changes)
    assert isinstance(found, Evidence), found
    return found


async def refused(start: Start, fake: FakeRegistry, *args: Any, **changes: Any) -> Unavailable:
    found = await resolve(start, fake, *args, **changes)
    assert isinstance(found, Unavailable), found
    return found


def user_at(fake: FakeRegistry) -> Credentials:
    return Credentials((Credential(fake.address, "hunter2", "user"),))
