"""Evidence from OCI registries: artifacts of several conventions, by tag and digest."""

import hashlib
import json
from typing import Any

import pytest

from tests.hub.artifacts import DOCKER_MANIFEST, INDEX, MANIFEST, Contents, modelpack
from tests.hub.fake_registry import FakeRegistry
from tests.hub.repositories import gguf
from tests.unit.gather.conftest import FakeTime, Start
from tests.unit.gather.registries import FILES, gather, refused, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import (
    Basis,
    Evidence,
    FormatFact,
    GapReason,
    Unavailable,
    UnavailableReason,
)
from weighmaster.errors import GatherError
from weighmaster.gather.registry import Place, place_of
from weighmaster.gather.settings import Caps


async def test_raw_layers_of_a_modelpack_are_files_with_digests(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    top = modelpack(fake.contents(), FILES)
    evidence = await gather(gatherer_for, fake)
    assert evidence.resolved == f"oci://{fake.address}/acme/model@{top['digest']}"
    assert {file.name: file.sha256 for file in evidence.files} == {
        name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }
    assert evidence.complete
    assert evidence.manifest_digest
    assert evidence.card.license == "Apache-2.0"
    assert evidence.card.base_models == ("hf://acme/base",)
    size = len(FILES["model.safetensors"])
    assert evidence.content.formats == (FormatFact("safetensors", 1, size, Basis.FETCHED),)
    assert evidence.content.weights.parameters == 10


async def test_a_layer_in_a_tar_has_no_file_digests_and_a_gap_says_so(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    contents = fake.contents()
    layer = contents.blob(b"tar", "application/vnd.kitops.modelkit.model.v1.tar+gzip")
    config = json.dumps({"model": {"format": "GGUF"}, "package": {"license": "mit"}}).encode()
    contents.artifact([layer], config=(config, "application/vnd.kitops.modelkit.config.v1+json"))
    evidence = await gather(gatherer_for, fake)
    assert not evidence.files
    assert not evidence.complete
    assert evidence.lacks(GapReason.ARCHIVE_NOT_OPENED)
    assert evidence.manifest_digest is None
    assert evidence.card.license == "MIT"
    assert evidence.content.formats == (FormatFact("gguf", 1, 3, Basis.ASSERTED),)


async def test_a_modelcar_is_an_image_whose_layers_are_not_opened(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    contents = fake.contents()
    layer = contents.blob(b"tar", "application/vnd.oci.image.layer.v1.tar+gzip")
    labels = {"org.opencontainers.image.licenses": "Apache-2.0"}
    config = json.dumps({"config": {"Labels": labels}, "rootfs": {}}).encode()
    kind = "application/vnd.oci.image.config.v1+json"
    linux = {**contents.artifact([layer], None, (config, kind)), "platform": {
        "os": "linux", "architecture": "amd64"}}  # fmt: skip
    attestation = {**contents.artifact([], None), "annotations": {
        "vnd.docker.reference.type": "attestation-manifest"}}  # fmt: skip
    top = contents.index([linux, attestation])
    evidence = await gather(gatherer_for, fake)
    assert evidence.resolved.endswith(top["digest"])
    assert evidence.lacks(GapReason.ARCHIVE_NOT_OPENED)
    assert evidence.card.license == "Apache-2.0"
    assert not evidence.content.formats


async def test_docker_and_ollama_layers_are_files_and_licences_are_recognised(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    weights = gguf({"general.architecture": "llama"})
    for prefix, kind in (
        ("application/vnd.docker.ai.", "gguf.v3"),
        ("application/vnd.ollama.image.", "model"),
    ):
        contents = fake.repositories["acme/model"] = Contents()
        layers = [
            contents.blob(weights, prefix + kind),
            contents.blob(b"   Apache License\n  Version 2.0\n", f"{prefix}license"),
        ]
        contents.artifact(layers)
        evidence = await gather(gatherer_for, fake)
        assert [file.name for file in evidence.files] == ["model.gguf", "LICENSE"]
        assert evidence.card.license == "Apache-2.0"
        assert evidence.content.formats == (FormatFact("gguf", 1, len(weights), Basis.FETCHED),)


async def test_titled_layers_of_oras_are_files(fake: FakeRegistry, gatherer_for: Start) -> None:
    contents = fake.contents()
    title = {"org.opencontainers.image.title": "w/model.gguf"}
    packed = {"org.opencontainers.image.title": "dir", "io.deis.oras.content.unpack": "true"}
    kind = "application/vnd.oci.image.layer.v1.tar"
    contents.artifact([
        contents.blob(gguf({}), kind, **title),
        contents.blob(b"packed", f"{kind}+gzip", **packed),
    ])  # fmt: skip
    evidence = await gather(gatherer_for, fake)
    assert [file.name for file in evidence.files] == ["w/model.gguf"]
    assert evidence.lacks(GapReason.ARCHIVE_NOT_OPENED)


async def test_every_platform_of_an_index_counts(fake: FakeRegistry, gatherer_for: Start) -> None:
    contents = fake.contents()
    children = []
    for number, architecture in enumerate(("arm64", "amd64")):
        title = {"org.opencontainers.image.title": f"{architecture}.gguf"}
        layer = contents.blob(gguf({"n": number}), "application/x", **title)
        platform = {"os": "linux", "architecture": architecture}
        children.append({**contents.artifact([layer], None), "platform": platform})
    contents.index(children)
    evidence = await gather(gatherer_for, fake)
    assert [file.name for file in evidence.files] == ["amd64.gguf", "arm64.gguf"]
    partial = await gather(gatherer_for, fake, caps=Caps(manifests=1))
    assert partial.lacks(GapReason.PLATFORMS_NOT_READ)
    assert not partial.complete


async def test_a_digest_is_compared_with_the_bytes(fake: FakeRegistry, gatherer_for: Start) -> None:
    contents = fake.contents()
    top = modelpack(contents, FILES)
    evidence = await gather(gatherer_for, fake, f"acme/model@{top['digest']}")
    assert evidence.expires_at is None
    contents.manifests[top["digest"]] = (MANIFEST, contents.manifests["v1"][1] + b" ")
    result = await refused(gatherer_for, fake, f"acme/model@{top['digest']}")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER


async def test_a_tag_beside_a_digest_counts_nothing(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    top = modelpack(fake.contents(), FILES, "other")
    evidence = await gather(gatherer_for, fake, f"acme/model:gone@{top['digest']}")
    assert evidence.resolved.endswith(top["digest"])


async def test_a_tag_that_has_not_moved_costs_no_second_reading(
    fake: FakeRegistry, gatherer_for: Start, time: FakeTime
) -> None:
    modelpack(fake.contents(), FILES)
    gatherer = await gatherer_for(settings_for(fake.port))
    reference = references.parse(f"oci://{fake.address}/acme/model:v1")
    await gatherer.resolve(reference)
    fake.seen.clear()
    time.now += 4000
    assert isinstance(await gatherer.resolve(reference), Evidence)
    assert "If-None-Match" in fake.seen[0].headers
    assert not fake.requests("/blobs/")


async def test_a_docker_manifest_is_read_as_well(fake: FakeRegistry, gatherer_for: Start) -> None:
    contents = fake.contents()
    layer = contents.blob(gguf({}), "application/vnd.ollama.image.model")
    config = contents.blob(b"{}", "application/vnd.docker.container.image.v1+json")
    contents.put(
        {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": [layer]},
        "v1",
        DOCKER_MANIFEST,
    )
    assert (await gather(gatherer_for, fake)).files[0].name == "model.gguf"


async def test_a_mirror_stands_in_for_a_registry(fake: FakeRegistry, gatherer_for: Start) -> None:
    contents = fake.contents("library/m")
    top = modelpack(contents, FILES)
    endpoint = f"http://{fake.address}"
    gatherer = await gatherer_for(
        settings_for(fake.port, registries={"registry-1.docker.io": endpoint})
    )
    for name in ("m:v1", "docker.io/m:v1", "index.docker.io/library/m:v1"):
        found = await gatherer.resolve(references.parse(f"oci://{name}"))
        assert isinstance(found, Evidence), found
        assert found.resolved.endswith(top["digest"])


LICENSES = "org.opencontainers.image.licenses"


def server_image(contents: Contents, **annotations: str) -> dict[str, Any]:
    """An image as a build makes it: layers of archives, and labels that its base image had."""
    layer = contents.blob(b"tar", "application/vnd.oci.image.layer.v1.tar+gzip")
    labels = {LICENSES: "Apache-2.0"}
    config = json.dumps({"config": {"Labels": labels}, "rootfs": {}}).encode()
    kind = "application/vnd.oci.image.config.v1+json"
    fields = {"annotations": annotations} if annotations else {}
    return contents.artifact([layer], "v1", (config, kind), **fields)


async def embedded(gatherer_for: Start, fake: FakeRegistry, name: str) -> Evidence:
    gatherer = await gatherer_for(settings_for(fake.port))
    found = await gatherer.resolve(references.image_embedded(f"{fake.address}/{name}"))
    assert isinstance(found, Evidence), found
    return found


async def test_image_with_weights_in_it_is_looked_at_wherever_in_it_they_are(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    top = server_image(fake.contents(), **{LICENSES: "MIT"})
    fake.contents().cosign(top)
    for name in (
        "acme/model:v1",
        "acme/model:v1#/models/m.gguf",
        f"acme/model@{top['digest']}#/models/m",
        f"acme/model:v1@{top['digest']}",
    ):
        found = await embedded(gatherer_for, fake, name)
        assert found.resolved == f"image-embedded:{fake.address}/acme/model@{top['digest']}"
        assert found.card.license == "MIT"
        assert len(found.signatures) == 1
        assert found.lacks(GapReason.ARCHIVE_NOT_OPENED)


async def test_labels_that_an_image_inherits_say_nothing_of_the_weights_in_it(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    server_image(fake.contents())
    assert (await embedded(gatherer_for, fake, "acme/model:v1")).card.license is None


async def test_every_licence_of_an_index_and_its_platforms_counts(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    contents = fake.contents()
    children = [server_image(contents, **{LICENSES: name}) for name in ("MIT", "GPL-3.0-only")]
    index = {"annotations": {LICENSES: "Apache-2.0"}, "manifests": children}
    contents.put({"schemaVersion": 2, "mediaType": INDEX, **index}, "v1", INDEX)
    found = await embedded(gatherer_for, fake, "acme/model:v1")
    assert found.card.license == "MIT AND GPL-3.0-only AND Apache-2.0"


async def test_metadata_without_a_card_says_nothing_of_lineage(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    server_image(fake.contents(), **{LICENSES: "MIT"})
    assert (await gather(gatherer_for, fake)).lacks(GapReason.CARD_MISSING)
    modelpack(fake.contents(), FILES)
    assert not (await gather(gatherer_for, fake)).lacks(GapReason.CARD_MISSING)


@pytest.mark.parametrize("scheme", ["nim", "aim"])
async def test_nothing_is_gathered_of_images_that_fetch_their_weights_at_start(
    fake: FakeRegistry, gatherer_for: Start, scheme: str
) -> None:
    gatherer = await gatherer_for(settings_for(fake.port))
    found = await gatherer.resolve(references.image(f"{fake.address}/acme/model:v1", scheme))
    assert isinstance(found, Unavailable)
    assert found.reason is UnavailableReason.UNSUPPORTED_SCHEME
    assert not fake.seen


PLACES = {
    "oci://ghcr.io/a/b:1": Place("ghcr.io", "a/b", "1"),
    "oci://ghcr.io/a/b": Place("ghcr.io", "a/b", "latest"),
    "oci://GHCR.io:443/a/b": Place("ghcr.io", "a/b", "latest"),
    "oci://localhost:5000/a": Place("localhost:5000", "a", "latest"),
    "oci://a/b:1": Place("registry-1.docker.io", "a/b", "1"),
    "oci://a": Place("registry-1.docker.io", "library/a", "latest"),
    f"oci://r.io/a:1@sha256:{'0' * 64}": Place("r.io", "a", f"sha256:{'0' * 64}"),
}


@pytest.mark.parametrize(("text", "place"), PLACES.items())
def test_a_reference_leads_where_docker_would_go(text: str, place: Place) -> None:
    assert place_of(references.parse(text)) == place


@pytest.mark.parametrize(
    "text", ["oci://r.io/A/b", "oci://r.io/a//b", "oci://r.io/a@sha256:0", "oci://r.io/a@md5:00",
             "oci://r.io:99999999/a", "oci://r.io/a:" + "x" * 200, "oci://r_x.io:1/a?b=c"],
)  # fmt: skip
def test_a_name_that_no_registry_can_have_is_refused(text: str) -> None:
    with pytest.raises(GatherError):
        place_of(references.parse(text))
