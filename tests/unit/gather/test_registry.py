"""Evidence from OCI registries: artifacts of several conventions, signatures, log-ins, lies."""

import hashlib
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from tests.hub.artifacts import BUNDLE, DOCKER_MANIFEST, INDEX, MANIFEST, Contents, modelpack
from tests.hub.fake_registry import FakeRegistry
from tests.hub.repositories import CARD, gguf, safetensors
from tests.unit.gather.conftest import NAMES, FakeTime, Start
from weighmaster.core import references
from weighmaster.core.evidence import (
    Basis,
    Evidence,
    FormatFact,
    GapReason,
    SignatureKind,
    Unavailable,
    UnavailableReason,
)
from weighmaster.errors import GatherError
from weighmaster.gather import GatherSettings
from weighmaster.gather.client import HttpClient
from weighmaster.gather.credentials import NONE, Credential, Credentials
from weighmaster.gather.registry import Place, Registry, place_of
from weighmaster.gather.settings import Caps, Timeouts

FILES = {
    "README.md": CARD.replace(b"license: apache-2.0\n", b""),
    "config.json": b'{"architectures": ["X"]}',
    "model.safetensors": safetensors({"a": [10]}),
}


@pytest.fixture
async def fake(stack: AsyncExitStack) -> FakeRegistry:
    return await stack.enter_async_context(FakeRegistry())


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


async def test_a_tag_beside_a_digest_counts_nothing(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    top = modelpack(fake.contents(), FILES, "other")
    evidence = await gather(gatherer_for, fake, f"acme/model:gone@{top['digest']}")
    assert evidence.resolved.endswith(top["digest"])


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


async def test_endless_and_huge_signatures_are_capped_and_said_to_be_unread(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    contents = fake.contents()
    top = modelpack(contents, FILES)
    for number in range(30):
        contents.bundle(top, b"%d" % number)
    contents.bundle(top, b"x" * 5000)
    evidence = await gather(gatherer_for, fake, caps=Caps(signature=4000))
    assert len(evidence.signatures) == 16
    assert evidence.lacks(GapReason.SIGNATURE_NOT_READ)


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


BEARER = 'Bearer realm="{url}/token",service="registry",scope="repository:evil/other:pull,push"'
USER = Credentials((Credential("127.0.0.1:0", "hunter2", "user"),))


def user_at(fake: FakeRegistry) -> Credentials:
    return Credentials((Credential(fake.address, "hunter2", "user"),))


async def test_a_token_is_asked_for_with_our_scope_only(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge, fake.basic = BEARER, "user:hunter2"
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake, "acme/model:v1", user_at(fake))
    (asked,) = fake.requests("/token")
    assert asked.query == {"service": "registry", "scope": "repository:acme/model:pull"}
    assert asked.headers["Authorization"].startswith("Basic ")


async def test_a_public_repository_gets_a_token_without_credentials(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge = BEARER
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake)
    assert "Authorization" not in fake.requests("/token")[0].headers


async def test_basic_authentication_works_where_it_is_asked_for(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge, fake.basic = 'Basic realm="registry"', "user:hunter2"
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake, "acme/model:v1", user_at(fake))
    assert (await refused(gatherer_for, fake)).reason is UnavailableReason.UNAUTHORIZED


async def test_an_identity_token_is_exchanged_in_a_form(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge = BEARER
    modelpack(fake.contents(), FILES)
    identity = Credential(fake.address, "refresh", identity=True)
    await gather(gatherer_for, fake, "acme/model:v1", Credentials((identity,)))
    (asked,) = fake.requests("/token")
    assert asked.query["refresh_token"] == "refresh"
    assert asked.query["scope"] == "repository:acme/model:pull"
    assert not [seen for seen in fake.seen if "refresh" in seen.headers.get("Authorization", "")]


@pytest.mark.parametrize(
    "realm", ["http://plain.example/token", "ftp://x/token", "", "https://169.254.169.254/token",
              "https://user:pw@hub.test/token"],
)  # fmt: skip
async def test_a_token_server_must_be_https_at_a_public_address(
    fake: FakeRegistry, gatherer_for: Start, realm: str
) -> None:
    fake.challenge = f'Bearer realm="{realm}",service="x"'
    modelpack(fake.contents(), FILES)
    result = await refused(gatherer_for, fake, "acme/model:v1", user_at(fake))
    assert result.reason in (
        UnavailableReason.HOSTILE_ANSWER, UnavailableReason.FORBIDDEN_ADDRESS,
    )  # fmt: skip


async def test_an_identity_token_does_not_follow_a_redirect(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge = BEARER
    modelpack(fake.contents(), FILES)

    async def moved(request: web.Request) -> web.StreamResponse | None:
        if request.path != "/token":
            return None
        return web.Response(status=307, headers={"Location": f"http://evil.test:{fake.port}/steal"})

    fake.misbehave = moved
    identity = Credential(fake.address, "refresh", identity=True)
    result = await refused(gatherer_for, fake, "acme/model:v1", Credentials((identity,)))
    assert result.reason is UnavailableReason.HOSTILE_ANSWER
    assert not fake.requests("/steal")


async def test_a_public_registry_cannot_name_an_internal_host_as_its_token_server() -> None:
    settings = GatherSettings(internal_hosts=frozenset({"vault.internal"}))
    public = Registry(HttpClient(settings), Place("registry.example", "a/b", "v1"), NONE)
    with pytest.raises(GatherError, match="internal host as its token server"):
        await public._log_in('Bearer realm="https://vault.internal/token"')


async def test_a_wrong_password_is_unauthorized_and_not_shown(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    fake.challenge, fake.basic = BEARER, "user:right"
    modelpack(fake.contents(), FILES)
    result = await refused(gatherer_for, fake, "acme/model:v1", user_at(fake))
    assert result.reason is UnavailableReason.UNAUTHORIZED
    assert "hunter2" not in result.message


async def test_credentials_of_one_registry_are_not_used_at_another(
    fake: FakeRegistry, gatherer_for: Start
) -> None:
    modelpack(fake.contents(), FILES)
    await gather(gatherer_for, fake, "acme/model:v1", USER)
    assert not [seen for seen in fake.seen if "Authorization" in seen.headers]


async def test_blobs_are_followed_to_storage_without_credentials(
    fake: FakeRegistry, stack: AsyncExitStack, gatherer_for: Start
) -> None:
    storage = await stack.enter_async_context(FakeRegistry())
    modelpack(fake.contents(), FILES)
    storage.repositories["acme/model"] = fake.contents()
    fake.challenge = BEARER

    async def elsewhere(request: web.Request) -> web.StreamResponse | None:
        if "/blobs/" not in request.path:
            return None
        return web.Response(
            status=307, headers={"Location": f"http://cdn.test:{storage.port}{request.path}"}
        )

    fake.misbehave = elsewhere
    gatherer = await gatherer_for(settings_for(fake.port, storage.port))
    found = await gatherer.resolve(references.parse(f"oci://{fake.address}/acme/model:v1"))
    assert isinstance(found, Evidence), found
    assert storage.seen
    assert not [seen for seen in storage.seen if "Authorization" in seen.headers]


async def test_storage_cannot_ask_for_the_registrys_credentials(
    fake: FakeRegistry, stack: AsyncExitStack, gatherer_for: Start
) -> None:
    storage = await stack.enter_async_context(FakeRegistry())
    storage.challenge = 'Bearer realm="{url}/token",service="x"'
    modelpack(fake.contents(), FILES)

    async def elsewhere(request: web.Request) -> web.StreamResponse | None:
        target = f"http://{storage.address}{request.path}"
        return (
            web.Response(status=307, headers={"Location": target}) if "/blobs/" in target else None
        )

    fake.misbehave = elsewhere
    gatherer = await gatherer_for(settings_for(fake.port, storage.port))
    reference = references.parse(f"oci://{fake.address}/acme/model:v1")
    result = await gatherer.resolve(reference, user_at(fake))
    assert isinstance(result, Unavailable)
    assert storage.seen
    assert not storage.requests("/token")


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


async def test_images_of_servers_are_looked_at_too(fake: FakeRegistry, gatherer_for: Start) -> None:
    top = modelpack(fake.contents(), FILES)
    gatherer = await gatherer_for(settings_for(fake.port))
    name = f"{fake.address}/acme/model:v1"
    for reference in (references.image(name, "nim"), references.image_embedded(name)):
        found = await gatherer.resolve(reference)
        assert isinstance(found, Evidence), found
        assert found.resolved.endswith(f"/acme/model@{top['digest']}")


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


def test_bundles_have_the_media_type_that_cosign_writes() -> None:
    assert BUNDLE == "application/vnd.dev.sigstore.bundle.v0.3+json"
