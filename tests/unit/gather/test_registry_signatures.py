"""Signatures that registries keep beside artifacts."""

import pytest
from aiohttp import web

from tests.hub.artifacts import modelpack
from tests.hub.fake_registry import FakeRegistry
from tests.unit.gather.conftest import FakeTime, Start
from tests.unit.gather.registries import FILES, gather, refused, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import (
    Evidence,
    GapReason,
    SignatureKind,
    UnavailableReason,
)
from weighmaster.gather.settings import Caps


async def test_bundles_are_found_through_the_referrers_api(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    contents = fake.contents()
    top = modelpack(contents, FILES)
    bundle = contents.bundle(top, b'{"my": "bundle"}')
    (found,) = (await gather(gatherer_for, fake)).signatures
    assert found.kind is SignatureKind.BUNDLE
    assert found.content == b'{"my": "bundle"}'
    assert found.source == bundle["digest"]
    assert found.subject == top["digest"]
    assert dict(found.annotations)["dev.sigstore.bundle.content"] == "dsse-envelope"


async def test_bundles_are_found_through_the_fallback_tag(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.referrers = False
    contents = fake.contents()
    top = modelpack(contents, FILES)
    contents.index([contents.bundle(top)], top["digest"].replace(":", "-"))
    evidence = await gather(gatherer_for, fake)
    assert [found.kind for found in evidence.signatures] == [SignatureKind.BUNDLE]


async def test_signatures_of_cosigns_older_layout_are_found(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    contents = fake.contents()
    top = modelpack(contents, FILES)
    contents.cosign(top, b'{"critical": 1}')
    (found,) = (await gather(gatherer_for, fake)).signatures
    assert found.kind is SignatureKind.COSIGN_SIGNATURE
    assert found.content == b'{"critical": 1}'
    assert dict(found.annotations)["dev.cosignproject.cosign/signature"] == "MEUC"
    assert found.source.startswith(top["digest"].replace(":", "-") + ".sig@sha256:")


async def test_an_unsigned_artifact_has_no_signatures_and_no_gap(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    modelpack(fake.contents(), FILES)
    evidence = await gather(gatherer_for, fake)
    assert not evidence.signatures
    assert not evidence.gaps


async def test_a_bundle_that_refers_to_something_else_is_not_taken(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.referrers = False
    contents = fake.contents()
    top = modelpack(contents, FILES)
    other = contents.artifact([], "other")
    contents.index([contents.bundle(other)], top["digest"].replace(":", "-"))
    evidence = await gather(gatherer_for, fake)
    assert not evidence.signatures
    assert evidence.lacks(GapReason.SIGNATURE_NOT_READ)


@pytest.mark.parametrize("status", [500, 502])
async def test_an_outage_of_the_signatures_is_not_an_unsigned_artifact(
    fake: FakeRegistry, gatherer_for: Start, status: int
) -> None:
    modelpack(fake.contents(), FILES)

    async def broken(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=status) if request.path.endswith(".sig") else None

    fake.misbehave = broken
    result = await refused(gatherer_for, fake, attempts=1)
    assert result.reason is UnavailableReason.UNREACHABLE


async def test_signatures_that_access_is_refused_to_are_unknown_not_absent(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    modelpack(fake.contents(), FILES)

    async def closed(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=403) if "referrers" in request.path else None

    fake.misbehave = closed
    assert (await gather(gatherer_for, fake)).lacks(GapReason.SIGNATURES_UNKNOWN)


@pytest.mark.parametrize(
    ("caps", "read"),
    [
        (Caps(), 31),
        (Caps(signature=4000), 30),
        (Caps(signatures=20), 20),
        (Caps(signature_bytes=1000), 13),
    ],
)
async def test_endless_and_huge_signatures_are_capped_and_said_to_be_unread(
    fake: FakeRegistry, gatherer_for: Start, caps: Caps, read: int
) -> None:
    contents = fake.contents()
    top = modelpack(contents, FILES)
    for number in range(10, 40):
        contents.bundle(top, b"%d" % number + b"x" * 30)
    contents.bundle(top, b"x" * 5000)
    evidence = await gather(gatherer_for, fake, caps=caps)
    assert len(evidence.signatures) == read
    assert evidence.lacks(GapReason.SIGNATURE_NOT_READ) is (read < 31)


async def test_signatures_added_later_are_found_although_content_is_pinned(
    fake: FakeRegistry, gatherer_for: Start, time: FakeTime
) -> None:
    contents = fake.contents()
    top = modelpack(contents, FILES)
    gatherer = await gatherer_for(settings_for(fake.port))
    reference = references.parse(f"oci://{fake.address}/acme/model@{top['digest']}")
    first = await gatherer.resolve(reference)
    assert isinstance(first, Evidence)
    assert first.expires_at is None
    assert first.signatures_expire_at is not None
    contents.bundle(top)
    fake.seen.clear()
    time.now = first.signatures_expire_at + 1
    second = await gatherer.resolve(reference)
    assert isinstance(second, Evidence)
    assert len(second.signatures) == 1
    assert second.files == first.files
    assert not [seen for seen in fake.seen if "/blobs/" in seen.path and "Range" in seen.headers]
