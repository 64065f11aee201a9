"""ModelScope, NGC and Ollama, as far as their documented metadata goes."""

import base64
import hashlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from tests.hub.artifacts import DOCKER_MANIFEST
from tests.hub.fake_registry import FakeRegistry
from tests.hub.repositories import CARD, gguf, safetensors
from tests.hub.server import Hub, ranged
from tests.unit.gather import registries
from tests.unit.gather.conftest import Start, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import (
    Evidence,
    GapReason,
    SignatureKind,
    Unavailable,
    UnavailableReason,
)
from weighmaster.gather.credentials import token

COMMIT = "c" * 40
FILES = {"README.md": CARD, "m.safetensors": safetensors(), "big.bin": b"\x80\x04."}


def modelscope(
    files: dict[str, bytes], commit: str = COMMIT, more: int = 0, history: int = 0
) -> Any:
    """A misbehaviour of a hub: it is ModelScope. ``history`` counts the commits of ``master``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/api/v1/models/acme/model")
        if path == "/commits" and request.query["Ref"] == "master" and history:
            size = int(request.query["PageSize"])
            start = (int(request.query["PageNumber"]) - 1) * size
            ids = [f"{number:040x}" for number in range(history)][start : start + size]
            return web.json_response(
                {"Code": 200, "Data": {"Commit": [{"Id": each} for each in ids]}}
            )
        if path == "/commits":
            return web.json_response({"Code": 200, "Data": {"Commit": [{"Id": commit}]}})
        if path == "/repo/files":
            items: list[dict[str, Any]] = [
                {"Type": "blob", "Path": name, "Size": len(content),
                 "Sha256": hashlib.sha256(content).hexdigest()}
                for name, content in files.items()
            ]  # fmt: skip
            items += [{"Type": "tree", "Path": f"d{n}", "Size": 0} for n in range(more)]
            return web.json_response({"Code": 200, "Data": {"Files": items}})
        if path == "/repo" and request.query["Revision"] == commit:
            return ranged(request, files[request.query["FilePath"]], {})
        return web.json_response({"Code": 10010205001}, status=404)

    return answer


async def ask(
    start: Start, hub: Hub, scheme: str, reference: str, **changes: Any
) -> Evidence | Unavailable:
    gatherer = await start(settings_for(hub, endpoints={scheme: hub.url}, **changes))
    found: Evidence | Unavailable = await gatherer.resolve(references.parse(reference))
    return found


async def test_modelscope_gives_a_full_manifest(hub: Hub, gatherer_for: Start) -> None:
    hub.misbehave = modelscope(FILES)
    found = await ask(gatherer_for, hub, "modelscope", "modelscope://acme/model")
    assert isinstance(found, Evidence), found
    assert found.resolved == f"modelscope://acme/model@{COMMIT}"
    assert found.complete
    assert found.card.license == "Apache-2.0"
    assert {fact.format for fact in found.content.formats} == {"pickle", "safetensors"}


@pytest.mark.parametrize(
    ("history", "gap"),
    [
        (0, None),
        (50, GapReason.COMMIT_NOT_ON_BRANCH),
        (350, GapReason.COMMIT_NOT_ON_BRANCH),
        (5000, GapReason.HISTORY_UNKNOWN),
    ],
)
async def test_modelscope_commit_is_looked_for_in_the_history_of_master(
    hub: Hub, gatherer_for: Start, history: int, gap: GapReason | None
) -> None:
    hub.misbehave = modelscope(FILES, history=history)
    found = await ask(gatherer_for, hub, "modelscope", f"modelscope://acme/model@{COMMIT}")
    assert isinstance(found, Evidence), found
    assert found.placed is (gap is None)
    assert gap is None or found.lacks(gap)


async def test_modelscope_commit_of_an_older_page_is_the_publishers(
    hub: Hub, gatherer_for: Start
) -> None:
    commit = f"{250:040x}"
    hub.misbehave = modelscope(FILES, commit=commit, history=300)
    found = await ask(gatherer_for, hub, "modelscope", f"modelscope://acme/model@{commit}")
    assert isinstance(found, Evidence), found
    assert found.placed
    assert found.expires_at is None


async def test_a_listing_of_3000_entries_is_incomplete(hub: Hub, gatherer_for: Start) -> None:
    hub.misbehave = modelscope(FILES, more=2997)
    found = await ask(gatherer_for, hub, "modelscope", "modelscope://acme/model")
    assert isinstance(found, Evidence)
    assert found.lacks(GapReason.LISTING_INCOMPLETE)
    assert not found.complete
    assert found.manifest_digest is None


async def test_a_modelscope_revision_named_like_a_commit_is_refused(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.misbehave = modelscope(FILES)
    reference = f"modelscope://acme/model@{'d' * 40}"
    found = await ask(gatherer_for, hub, "modelscope", reference)
    assert isinstance(found, Unavailable)
    assert found.reason is UnavailableReason.AMBIGUOUS_REVISION


@pytest.mark.parametrize("body", [{}, {"Code": 200}, {"Code": 200, "Data": {"Commit": []}}, []])
async def test_a_modelscope_answer_without_a_commit_is_no_evidence(
    hub: Hub, gatherer_for: Start, body: Any
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    hub.misbehave = answer
    found = await ask(gatherer_for, hub, "modelscope", "modelscope://acme/model")
    assert isinstance(found, Unavailable)


async def test_modelscope_bytes_that_are_not_the_listed_ones_are_refused(
    hub: Hub, gatherer_for: Start
) -> None:
    honest = modelscope(FILES)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("FilePath") == "README.md":
            return web.Response(body=b"x" * len(CARD))
        found: web.StreamResponse = await honest(request)
        return found

    hub.misbehave = answer
    found = await ask(gatherer_for, hub, "modelscope", "modelscope://acme/model")
    assert isinstance(found, Unavailable)
    assert found.reason is UnavailableReason.HOSTILE_ANSWER


def ngc(hub: Hub, *, signed: bool = True, url: Callable[[], str] | None = None) -> Any:
    """A misbehaviour of a hub: it is NGC."""

    async def answer(request: web.Request) -> web.StreamResponse:
        base = "/v2/org/nvidia/team/nemo/models/m/versions/1.0"
        if request.path == base:
            return web.json_response({"modelVersion": {"isSigned": signed, "versionId": "1.0"}})
        if request.path == f"{base}/files":
            page = int(request.query["page-number"])
            names = sorted(FILES)[page * 2 : page * 2 + 2]
            files = [
                {"path": name, "sizeInBytes": len(FILES[name]),
                 "sha256_base64": base64.b64encode(hashlib.sha256(FILES[name]).digest()).decode()}
                for name in names
            ]  # fmt: skip
            return web.json_response({"modelFiles": files, "paginationInfo": {"totalPages": 2}})
        if request.path == f"{base}/signature":
            where = url() if url else f"http://cdn.test:{hub.port}/signed?x=secret"
            return web.json_response({"url": where})
        if request.path == "/signed":
            return web.Response(body=b'{"bundle": 1}')
        return web.Response(status=404)

    return answer


NGC = "ngc://nvidia/nemo/m:1.0"


async def test_ngc_gives_digests_of_all_files_and_the_signature(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.misbehave = ngc(hub)
    gatherer = await gatherer_for(settings_for(hub, endpoints={"ngc": hub.url}))
    found = await gatherer.resolve(references.parse(NGC), token(hub.address, "nvapi"))
    assert isinstance(found, Evidence), found
    assert {file.name: file.sha256 for file in found.files} == {
        name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }
    assert found.complete
    assert found.resolved == f"{NGC}@{found.manifest_digest}"
    (signature,) = found.signatures
    assert (signature.kind, signature.content) == (SignatureKind.BUNDLE, b'{"bundle": 1}')
    assert found.lacks(GapReason.CONTENT_NOT_READ)
    sent = {seen.host.partition(":")[0]: seen.headers.get("Authorization") for seen in hub.seen}
    assert sent == {"127.0.0.1": "Bearer nvapi", "cdn.test": None}


async def test_an_unsigned_ngc_version_has_no_signature(hub: Hub, gatherer_for: Start) -> None:
    hub.misbehave = ngc(hub, signed=False)
    found = await ask(gatherer_for, hub, "ngc", NGC)
    assert isinstance(found, Evidence)
    assert not found.signatures


@pytest.mark.parametrize("url", ["", "http://plain.example/x", "https://169.254.169.254/x"])
async def test_a_signature_behind_an_address_that_must_not_be_is_refused(
    hub: Hub, gatherer_for: Start, url: str
) -> None:
    hub.misbehave = ngc(hub, url=lambda: url)
    found = await ask(gatherer_for, hub, "ngc", NGC)
    assert isinstance(found, Unavailable)
    assert found.reason in (
        UnavailableReason.HOSTILE_ANSWER, UnavailableReason.FORBIDDEN_ADDRESS,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["ngc://m:1", "ngc://a/b/c/d:1", "ngc://a/b", "ngc://a/b:1?x"])
async def test_what_is_no_ngc_version_is_never_asked_for(
    hub: Hub, gatherer_for: Start, name: str
) -> None:
    assert isinstance(await ask(gatherer_for, hub, "ngc", name), Unavailable)
    assert not hub.seen


@pytest.mark.parametrize(
    ("name", "repository", "tag"),
    [
        ("ollama://m", "library/m", "latest"),
        ("ollama://m:7b", "library/m", "7b"),
        ("ollama://user/m:7b", "user/m", "7b"),
    ],
)
async def test_ollama_models_are_files_in_a_registry(
    stack: AsyncExitStack, gatherer_for: Start, name: str, repository: str, tag: str
) -> None:
    fake = await stack.enter_async_context(FakeRegistry())
    contents = fake.contents(repository)
    weights = gguf({"general.architecture": "llama"})
    config = b'{"model_format": "gguf", "model_family": "llama"}'
    top = contents.put(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": contents.blob(config, "application/vnd.docker.container.image.v1+json"),
            "layers": [
                contents.blob(weights, "application/vnd.ollama.image.model"),
                contents.blob(b"MIT License\n\n", "application/vnd.ollama.image.license"),
            ],
        },
        tag,
        DOCKER_MANIFEST,
    )
    endpoint = {"ollama": f"http://{fake.address}"}
    gatherer = await gatherer_for(registries.settings_for(fake.port, endpoints=endpoint))
    found = await gatherer.resolve(references.parse(name))
    assert isinstance(found, Evidence), found
    assert found.resolved == f"ollama://registry.ollama.ai/{repository}@{top['digest']}"
    assert found.card.license == "MIT"
    assert found.content.weights.architecture == "llama"
    assert found.complete
    assert found.signatures_expire_at is None
    assert not fake.requests("referrers")


async def test_an_ollama_name_may_lead_to_another_registry(
    stack: AsyncExitStack, gatherer_for: Start
) -> None:
    fake = await stack.enter_async_context(FakeRegistry())
    contents = fake.contents("Acme/Model-GGUF")
    contents.artifact([contents.blob(gguf({}), "application/vnd.ollama.image.model")], "Q4_K_M")
    gatherer = await gatherer_for(registries.settings_for(fake.port))
    name = f"ollama://{fake.address}/Acme/Model-GGUF:Q4_K_M"
    found = await gatherer.resolve(references.parse(name))
    assert isinstance(found, Evidence), found


@pytest.mark.parametrize("name", ["ollama://a/b/c/d", "ollama://m:t?x", "ollama:// "])
async def test_what_is_no_ollama_name_is_refused(gatherer_for: Start, name: str) -> None:
    gatherer = await gatherer_for(registries.settings_for())
    assert isinstance(await gatherer.resolve(references.parse(name)), Unavailable)
