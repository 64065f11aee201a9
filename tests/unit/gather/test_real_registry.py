"""The same against a real registry: what it stores, redirects and answers is its own."""

import pytest

from tests.hub.artifacts import Contents, modelpack
from tests.hub.registry import Registry
from tests.unit.gather.conftest import Start
from tests.unit.gather.registries import FILES, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import Evidence, SignatureKind, Unavailable, UnavailableReason

pytestmark = pytest.mark.network


async def test_an_artifact_and_both_kinds_of_signatures_are_gathered_from_a_real_registry(
    registry: Registry, gatherer_for: Start
) -> None:
    contents = Contents()
    top = modelpack(contents, FILES)
    contents.cosign(top)
    contents.index([contents.bundle(top)], top["digest"].replace(":", "-"))
    registry.push("acme/signed", contents)
    gatherer = await gatherer_for(settings_for(registry.port))
    for name in ("acme/signed:v1", f"acme/signed@{top['digest']}"):
        found = await gatherer.resolve(references.parse(f"oci://{registry.address}/{name}"))
        assert isinstance(found, Evidence), found
        assert found.resolved == f"oci://{registry.address}/acme/signed@{top['digest']}"
        assert found.complete
        assert not found.gaps
        assert {bundle.kind for bundle in found.signatures} == {
            SignatureKind.BUNDLE, SignatureKind.COSIGN_SIGNATURE,
        }  # fmt: skip
        assert found.content.weights.parameters == 10


async def test_a_real_registry_says_that_a_tag_has_not_moved(
    registry: Registry, gatherer_for: Start
) -> None:
    contents = Contents()
    modelpack(contents, FILES)
    registry.push("acme/tagged", contents)
    gatherer = await gatherer_for(settings_for(registry.port))
    reference = references.parse(f"oci://{registry.address}/acme/tagged:v1")
    first = await gatherer.resolve(reference)
    second = await gatherer.resolve(reference, refresh=True)
    assert isinstance(first, Evidence)
    assert isinstance(second, Evidence)
    assert second.resolved == first.resolved
    assert second.files == first.files


async def test_what_a_real_registry_does_not_have_is_not_found(
    registry: Registry, gatherer_for: Start
) -> None:
    gatherer = await gatherer_for(settings_for(registry.port))
    for name in ("acme/nothing:v1", f"acme/nothing@sha256:{'0' * 64}"):
        result = await gatherer.resolve(references.parse(f"oci://{registry.address}/{name}"))
        assert isinstance(result, Unavailable)
        assert result.reason is UnavailableReason.NOT_FOUND
