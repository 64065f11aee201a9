"""Asking a hub for evidence, as the tests do."""

from typing import Any

from tests.hub.server import Hub
from tests.unit.gather.conftest import Start, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import (
    Evidence,
    Unavailable,
)


async def refused(start: Start, hub: Hub, reference: str, **changes: Any) -> Unavailable:
    result = await resolve(start, hub, reference, **changes)
    assert isinstance(result, Unavailable), result
    return result


async def gather(start: Start, hub: Hub, reference: str, **changes: Any) -> Evidence:
    result = await resolve(start, hub, reference, **changes)
    assert isinstance(result, Evidence), result
    return result


async def resolve(start: Start, hub: Hub, reference: str, **changes: Any) -> Evidence | Unavailable:
    gatherer = await start(settings_for(hub, **changes))
    found: Evidence | Unavailable = await gatherer.resolve(references.parse(reference))
    return found
