"""Registries that lie."""

import hashlib
import json
from typing import Any

import pytest
from aiohttp import web

from tests.hub.artifacts import INDEX, MANIFEST, modelpack
from tests.hub.fake_registry import FakeRegistry
from tests.unit.gather.conftest import Start
from tests.unit.gather.registries import FILES, gather, refused
from weighmaster.core.evidence import (
    GapReason,
    UnavailableReason,
)


async def test_the_registrys_word_for_a_digest_counts_nothing(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    modelpack(fake.contents(), FILES)
    _, content = fake.contents().manifests["v1"]

    async def lying(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith("/manifests/v1"):
            return None
        headers = {"Docker-Content-Digest": f"sha256:{'0' * 64}", "Content-Type": MANIFEST}
        return web.Response(body=content, headers=headers)

    fake.misbehave = lying
    result = await refused(gatherer_for, fake)
    assert result.reason is UnavailableReason.HOSTILE_ANSWER


def descriptor(**changes: Any) -> dict[str, Any]:
    good = {"mediaType": "application/x.raw", "digest": f"sha256:{'0' * 64}", "size": 1}
    return {**good, **changes}


HOSTILE: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", MANIFEST),
    "nesting without end": (b'{"layers":' + b"[" * 100_000, MANIFEST),
    "a list": ([], MANIFEST),
    "both an index and a manifest": ({"layers": [], "manifests": []}, MANIFEST),
    "two media types": ({"mediaType": INDEX, "manifests": []}, MANIFEST),
    "a manifest called an index": ({"layers": []}, INDEX),
    "schema 1": ({"schemaVersion": 1, "fsLayers": []}, "application/json"),
    "a layer that is no object": ({"layers": ["x"]}, MANIFEST),
    "a layer without a digest": ({"layers": [descriptor(digest="x")]}, MANIFEST),
    "a layer of another algorithm": ({"layers": [descriptor(digest="md5:0")]}, MANIFEST),
    "a negative size": ({"layers": [descriptor(size=-1)]}, MANIFEST),
    "layers without end": ({"layers": [descriptor()] * 5000}, MANIFEST),
    "a path upwards": (
        {"layers": [descriptor(annotations={"org.cncf.model.filepath": "../../etc/x"})]}, MANIFEST
    ),
    "two files of one name": (
        {"layers": [
            descriptor(annotations={"org.cncf.model.filepath": "a"}),
            descriptor(digest=f"sha256:{'1' * 64}", annotations={"org.cncf.model.filepath": "a"}),
        ]},
        MANIFEST,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "media_type"), HOSTILE.values(), ids=HOSTILE)
async def test_a_manifest_is_refused_with(
    fake: FakeRegistry, gatherer_for: Start, body: Any, media_type: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fake.contents().manifests["v1"] = (media_type, content)
    result = await refused(gatherer_for, fake)
    assert result.reason is UnavailableReason.HOSTILE_ANSWER


async def test_a_manifest_over_four_mebibytes_is_not_read(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.contents().manifests["v1"] = (MANIFEST, b" " * (4 * 1024 * 1024 + 1))
    assert (await refused(gatherer_for, fake)).reason is UnavailableReason.TOO_LARGE


async def test_an_index_in_an_index_is_not_followed(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    contents = fake.contents()
    inner = contents.index([], "inner")
    contents.index([inner])
    assert (await gather(gatherer_for, fake)).lacks(GapReason.PLATFORMS_NOT_READ)


async def test_a_blob_of_other_bytes_is_refused(fake: FakeRegistry, gatherer_for: Start) -> None:
    contents = fake.contents()
    modelpack(contents, FILES)
    digest = f"sha256:{hashlib.sha256(FILES['README.md']).hexdigest()}"
    contents.blobs[digest] = b"x" * len(FILES["README.md"])
    assert (await refused(gatherer_for, fake)).reason is UnavailableReason.HOSTILE_ANSWER
