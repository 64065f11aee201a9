"""Evidence from the hub, against a local one that speaks its protocol."""

import hashlib
from typing import Any

from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.unit.gather.conftest import Start, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import Basis, Evidence, FormatFact, Unavailable


async def gather(start: Start, hub: Hub, reference: str, **changes: Any) -> Evidence:
    result = await resolve(start, hub, reference, **changes)
    assert isinstance(result, Evidence), result
    return result


async def resolve(start: Start, hub: Hub, reference: str, **changes: Any) -> Evidence | Unavailable:
    gatherer = await start(settings_for(hub, **changes))
    found: Evidence | Unavailable = await gatherer.resolve(references.parse(reference))
    return found


async def test_a_model_gives_a_full_manifest_without_its_weights_being_downloaded(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert evidence.resolved == f"hf://acme/model@{repository.commit}"
    assert {file.name: file.sha256 for file in evidence.files} == {
        name: hashlib.sha256(content).hexdigest() for name, content in repository.files.items()
    }
    assert evidence.complete
    assert not evidence.gaps
    assert evidence.card.license == "Apache-2.0"
    assert evidence.card.base_models == ("hf://acme/base",)
    assert evidence.content.weights.parameters == 48
    weights = sum(len(repository.files[name]) for name in repository.lfs)
    assert evidence.content.formats == (FormatFact("safetensors", 2, weights, Basis.FETCHED),)
    for seen in hub.requests(".safetensors"):
        assert "Range" in seen.headers
