"""Evidence from the hub: what is in the files, and what was not looked at."""

import json
import pickle

import pytest
from aiohttp import web

from tests.hub.repositories import Repository, gguf, model, safetensors
from tests.hub.server import Hub
from tests.unit.gather.asking import gather, resolve
from tests.unit.gather.conftest import Start
from weighmaster.core.evidence import (
    Basis,
    Disguise,
    FormatFact,
    GapReason,
    SignatureKind,
    Unavailable,
)
from weighmaster.gather.settings import Caps


async def test_signatures_at_the_root_are_fetched_with_their_place(
    hub: Hub, gatherer_for: Start
) -> None:
    bundle = b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}'
    changes = {"model.sig": bundle, "other.oms.sig": bundle, "sub/model.sig": bundle, "k.sig": b"x"}
    hub.add(model(changes=changes))
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    found = {item.source: (item.kind, item.content) for item in evidence.signatures}
    assert found == {
        "model.sig": (SignatureKind.BUNDLE, bundle),
        "other.oms.sig": (SignatureKind.BUNDLE, bundle),
        "k.sig": (SignatureKind.DETACHED, b"x"),
    }


async def test_a_signature_in_lfs_is_fetched_and_checked(hub: Hub, gatherer_for: Start) -> None:
    repository = hub.add(model(changes={"model.sig": b"{}" * 1000}))
    repository.lfs.add("model.sig")
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert evidence.signatures[0].content == b"{}" * 1000


async def test_a_signature_that_is_too_large_is_said_to_be_unread(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model(changes={"model.sig": b"x" * 5000}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model", caps=Caps(signature=4000))
    assert not evidence.signatures
    assert evidence.lacks(GapReason.SIGNATURE_NOT_READ)


@pytest.mark.parametrize(
    ("caps", "read"),
    [
        (Caps(), 30),
        (Caps(signatures=16), 16),
        (Caps(signature_bytes=50), 5),
        (Caps(signature=9), 0),
    ],
)
async def test_too_many_signatures_are_said_to_be_unread(
    hub: Hub, gatherer_for: Start, caps: Caps, read: int
) -> None:
    hub.add(model(changes={f"{n:02}.sig": b"x" * 10 for n in range(30)}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model", caps=caps)
    assert len(evidence.signatures) == read
    assert evidence.lacks(GapReason.SIGNATURE_NOT_READ) is (read < 30)


async def test_attestations_are_found_beside_the_files_and_in_a_folder(
    hub: Hub, gatherer_for: Start
) -> None:
    envelope = b'{"payloadType": "application/vnd.in-toto+json"}'
    bundle = b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}'
    lines = b"\n".join([envelope, b"", b"not json", bundle, b'{"something": "else"}', b"[]"])
    hub.add(model(changes={
        "attestations/scan.sigstore.json": bundle,
        "attestations/all.intoto.jsonl": lines,
        "attestations/README.md": b"x",
        "attestations/deeper/scan.sigstore.json": bundle,
        "bom.sigstore": bundle,
    }))  # fmt: skip
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    found = [(each.source, each.kind, each.content) for each in evidence.signatures]
    assert found == [
        ("attestations/all.intoto.jsonl", SignatureKind.COSIGN_ATTESTATION, envelope),
        ("attestations/all.intoto.jsonl", SignatureKind.BUNDLE, bundle),
        ("attestations/scan.sigstore.json", SignatureKind.BUNDLE, bundle),
        ("bom.sigstore", SignatureKind.BUNDLE, bundle),
    ]


async def test_more_attestations_in_one_file_than_are_read_are_said_to_be_unread(
    hub: Hub, gatherer_for: Start
) -> None:
    line = b'{"payloadType": "application/vnd.in-toto+json"}\n'
    hub.add(model(changes={"scan.intoto.jsonl": line * 65}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert len(evidence.signatures) == 64
    assert evidence.lacks(GapReason.SIGNATURE_NOT_READ)


async def test_remote_code_and_code_of_other_repositories_is_found(
    hub: Hub, gatherer_for: Start
) -> None:
    config = {"auto_map": {"AutoModel": "modeling_x.X", "AutoConfig": "evil/repo--c.C"}}
    hub.add(model(changes={
        "config.json": json.dumps(config).encode(),
        "modeling_x.py": b"import os",
        "tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": ["t.T", null]}}',
        "custom_generate/generate.py": b"",
    }))  # fmt: skip
    code = (await gather(gatherer_for, hub, "hf://acme/model")).content.code
    assert code.present
    assert code.foreign == ("hf://evil/repo",)
    assert code.custom_generate
    assert code.python == ("custom_generate/generate.py", "modeling_x.py")
    assert "tokenizer_config.json: t.T" in code.auto_map


async def test_a_model_without_code_brings_none(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert not evidence.content.code.present


async def test_pickles_are_found_by_magic_whatever_they_are_called(
    hub: Hub, gatherer_for: Start
) -> None:
    evil = pickle.dumps(print, 4)
    repository = hub.add(model(changes={
        "model.gguf": evil, "a.safetensors": evil, "notes.txt": evil, "image.png": evil,
    }))  # fmt: skip
    repository.lfs |= {"image.png"}
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert FormatFact("pickle", 4, 4 * len(evil), Basis.FETCHED) in evidence.content.formats
    assert {found.name for found in evidence.content.disguises} == {
        "model.gguf", "a.safetensors", "notes.txt", "image.png",
    }  # fmt: skip
    assert Disguise("model.gguf", "gguf", "pickle") in evidence.content.disguises


async def test_gguf_headers_are_read_for_licence_lineage_and_architecture(
    hub: Hub, gatherer_for: Start
) -> None:
    content = gguf({
        "general.architecture": "llama", "general.license": "mit",
        "general.base_model.count": 1,
        "general.base_model.0.repo_url": "https://huggingface.co/acme/base",
    }, padding=100_000)  # fmt: skip
    hub.add(Repository("acme/gguf", {"m.gguf": content}, lfs={"m.gguf"}))
    evidence = await gather(gatherer_for, hub, "hf://acme/gguf")
    assert evidence.card.license == "MIT"
    assert evidence.card.base_models == ("hf://acme/base",)
    assert evidence.content.weights.architecture == "llama"
    assert evidence.content.formats == (FormatFact("gguf", 1, len(content), Basis.FETCHED),)


async def test_an_adapter_names_its_base_model_in_its_configuration(
    hub: Hub, gatherer_for: Start
) -> None:
    files = {"adapter_config.json": b'{"base_model_name_or_path": "acme/base"}'}
    hub.add(Repository("acme/adapter", files))
    card = (await gather(gatherer_for, hub, "hf://acme/adapter")).card
    assert card.base_models == ("hf://acme/base",)
    assert card.relation == "adapter"


async def test_a_card_or_configuration_that_cannot_be_read_is_a_gap(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model(changes={"README.md": b"---\nlicense: [\n---\n", "config.json": b"{"}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert evidence.lacks(GapReason.CARD_MALFORMED)
    assert evidence.lacks(GapReason.CONFIG_MALFORMED)
    assert evidence.complete


async def test_a_configuration_over_the_cap_is_said_to_be_unread(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model(changes={"config.json": b" " * 3000 + b"{}"}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model", caps=Caps(fetched_file=2000))
    assert evidence.lacks(GapReason.CONFIG_NOT_READ)
    assert evidence.lacks(GapReason.DIGEST_UNKNOWN)
    assert not evidence.complete
    assert evidence.manifest_digest is None


async def test_caps_on_fetched_files_leave_out_the_least_important(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model(changes={f"{n:03}.txt": b"x" for n in range(20)}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model", caps=Caps(fetched_files=3))
    assert evidence.card.license == "Apache-2.0"
    assert evidence.lacks(GapReason.DIGEST_UNKNOWN)
    assert not evidence.lacks(GapReason.CONFIG_NOT_READ)


async def test_weights_beyond_the_cap_are_known_by_name_only(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    evidence = await gather(gatherer_for, hub, "hf://acme/model", caps=Caps(probed_files=1))
    assert [(found.files, found.basis) for found in evidence.content.formats] == [
        (1, Basis.ASSERTED), (1, Basis.FETCHED),
    ]  # fmt: skip
    assert evidence.lacks(GapReason.CONTENT_NOT_READ)


async def test_headers_of_all_files_together_are_capped(hub: Hub, gatherer_for: Start) -> None:
    wide = safetensors({f"layer.{number:06}.weight": [1] for number in range(5000)})
    files = {f"{number}.safetensors": wide for number in range(4)}
    hub.add(Repository("acme/wide", files, lfs=set(files)))
    caps = Caps(headers=2 * len(wide))
    evidence = await gather(gatherer_for, hub, "hf://acme/wide", caps=caps)
    assert evidence.lacks(GapReason.CONTENT_NOT_READ)
    assert evidence.complete


async def test_a_malformed_weight_file_is_malformed_not_safe(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model(changes={"model-00001-of-00002.safetensors": safetensors() + b"x"}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert {found.format for found in evidence.content.formats} == {"malformed", "safetensors"}
    assert evidence.lacks(GapReason.HEADER_MALFORMED)


async def test_a_listing_over_the_cap_is_incomplete(hub: Hub, gatherer_for: Start) -> None:
    hub.page_size = 2
    hub.add(model())
    evidence = await gather(gatherer_for, hub, "hf://acme/model", caps=Caps(listing_pages=1))
    assert evidence.lacks(GapReason.LISTING_INCOMPLETE)
    assert not evidence.complete
    assert evidence.manifest_digest is None


async def test_a_listing_that_never_ends_is_cut(hub: Hub, gatherer_for: Start) -> None:
    repository = hub.add(model())

    async def endless(request: web.Request) -> web.StreamResponse | None:
        if "/tree/" not in request.path:
            return None
        number = int(request.query.get("cursor", "0"))
        entry = {**repository.entry("config.json"), "path": f"{number}.json"}
        link = f'<{request.url.update_query(cursor=str(number + 1))}>; rel="next"'
        return web.json_response([entry], headers={"Link": link})

    hub.misbehave = endless
    result = await resolve(gatherer_for, hub, "hf://acme/model", caps=Caps(listing_pages=10))
    assert isinstance(result, Unavailable)
    assert len(hub.requests("/tree/")) == 10
