"""Evidence from the hub, against a local one that speaks its protocol."""

import hashlib
import json
import pickle
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from tests.hub.repositories import CARD, Repository, gguf, model, safetensors
from tests.hub.server import Hub
from tests.unit.gather.conftest import Start, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import (
    Basis,
    Disguise,
    Evidence,
    FormatFact,
    GapReason,
    SignatureKind,
    Unavailable,
    UnavailableReason,
    content_digest,
)
from weighmaster.core.verify.manifest import Manifest
from weighmaster.gather.credentials import token
from weighmaster.gather.settings import Caps


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


async def test_everything_after_the_revision_is_asked_for_by_commit(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())
    await gather(gatherer_for, hub, "hf://acme/model@main")
    first, *others = hub.seen
    assert "/revision/main" in first.path
    assert all(repository.commit in seen.path for seen in others)


async def test_the_manifest_digest_binds_names_and_contents(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert evidence.manifest_digest == content_digest(tuple(reversed(evidence.files)))
    names = [file.name for file in evidence.files]
    swapped = [
        type(file)(name, file.size, file.sha256, file.basis)
        for file, name in zip(evidence.files, [names[1], names[0], *names[2:]], strict=True)
    ]
    assert evidence.manifest_digest != content_digest(tuple(swapped))


async def test_the_manifest_digest_is_the_one_that_verification_gives(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model(changes={"\u00e9/\U0001f600.txt": b"x", "a.b": b"", "a/b": b""}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    digests = {
        name: hashlib.sha256(content).hexdigest() for name, content in repository.files.items()
    }
    assert evidence.manifest_digest == Manifest(digests).digest


async def test_files_are_listed_over_all_pages(hub: Hub, gatherer_for: Start) -> None:
    hub.page_size = 3
    files = {f"shard-{n:02}.safetensors": safetensors({"a": [n + 1]}) for n in range(20)}
    repository = hub.add(Repository("acme/big", files, lfs=set(files)))
    evidence = await gather(gatherer_for, hub, "hf://acme/big")
    assert {file.name for file in evidence.files} == set(repository.files)
    assert len(hub.requests("/tree/")) == 7
    assert evidence.complete


async def test_files_in_folders_are_listed_and_their_names_quoted(
    hub: Hub, gatherer_for: Start
) -> None:
    files = {"a/b/c d#?%.json": b"{}", "a/\u00e9.txt": b"x"}
    hub.add(Repository("acme/odd", files))
    evidence = await gather(gatherer_for, hub, "hf://acme/odd")
    assert evidence.complete
    assert {file.name for file in evidence.files} == set(files)


async def test_a_pull_request_is_resolved_and_marked_as_proposed(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())
    repository.revisions["refs/pr/7"] = repository.commit
    gatherer = await gatherer_for(settings_for(hub))
    evidence = await gatherer.resolve(references.hugging_face("acme/model", "refs/pr/7"))
    assert isinstance(evidence, Evidence)
    assert evidence.proposed
    assert evidence.resolved.endswith(repository.commit)
    assert "/revision/refs%2Fpr%2F7" in hub.seen[0].path


PROPOSED = "e" * 40


async def test_the_commit_of_a_pull_request_is_marked_as_proposed(
    hub: Hub, gatherer_for: Start
) -> None:
    """Anybody may open one, and the hub serves its commit under the repository's name."""
    repository = hub.add(model())
    repository.revisions["refs/pr/7"] = PROPOSED
    evidence = await gather(gatherer_for, hub, f"hf://acme/model@{PROPOSED}")
    assert evidence.proposed


async def test_a_commit_that_is_on_no_branch_is_said_to_be_so(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model()).orphans.add(PROPOSED)
    evidence = await gather(gatherer_for, hub, f"hf://acme/model@{PROPOSED}")
    assert not evidence.proposed
    assert evidence.lacks(GapReason.COMMIT_NOT_ON_BRANCH)


@pytest.mark.parametrize("back", [0, 150, 399])
async def test_a_commit_of_the_recent_history_is_the_publishers(
    hub: Hub, gatherer_for: Start, back: int
) -> None:
    repository = hub.add(model())
    repository.history = [f"{number:040x}" for number in range(400)]
    evidence = await gather(gatherer_for, hub, f"hf://acme/model@{repository.history[back]}")
    assert not evidence.proposed
    assert not evidence.gaps


async def test_a_history_without_end_is_not_looked_through(hub: Hub, gatherer_for: Start) -> None:
    repository = hub.add(model())
    repository.history = [f"{number:040x}" for number in range(5000)]
    evidence = await gather(gatherer_for, hub, f"hf://acme/model@{repository.history[-1]}")
    assert evidence.lacks(GapReason.COMMIT_NOT_ON_BRANCH)
    assert len(hub.requests("/commits/")) == 5


async def test_a_mirror_without_history_leaves_the_standing_of_a_commit_open(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())

    async def mirror(request: web.Request) -> web.StreamResponse | None:
        missing = request.path.endswith("/refs") or "/commits/" in request.path
        return web.Response(status=404) if missing else None

    hub.misbehave = mirror
    evidence = await gather(gatherer_for, hub, f"hf://acme/model@{repository.commit}")
    assert evidence.lacks(GapReason.COMMIT_NOT_ON_BRANCH)
    assert evidence.complete


async def test_a_proposal_that_was_merged_is_one_no_longer_when_asked_again(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())
    repository.revisions["refs/pr/7"] = PROPOSED
    gatherer = await gatherer_for(settings_for(hub))
    reference = references.parse(f"hf://acme/model@{PROPOSED}")
    before = await gatherer.resolve(reference)
    repository.history.insert(0, PROPOSED)
    after = await gatherer.resolve(reference, refresh=True)
    assert isinstance(before, Evidence)
    assert isinstance(after, Evidence)
    assert before.proposed
    assert not after.proposed
    assert len(hub.requests("/tree/")) == 1


@pytest.mark.parametrize("name", ["a" * 40, "A" * 40])
async def test_a_branch_that_is_named_like_a_commit_is_refused(
    hub: Hub, gatherer_for: Start, name: str
) -> None:
    repository = hub.add(model())
    repository.revisions[name] = repository.commit
    result = await refused(gatherer_for, hub, f"hf://acme/model@{name}")
    assert result.reason is UnavailableReason.AMBIGUOUS_REVISION
    assert not hub.requests("/tree/")


async def test_a_model_under_a_new_name_is_marked_as_renamed(hub: Hub, gatherer_for: Start) -> None:
    """Whoever registers an abandoned name gets what others ask for under it."""
    repository = hub.add(model("evil/model"))
    hub.renamed["acme/model"] = "evil/model"
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert evidence.renamed
    assert evidence.resolved == f"hf://evil/model@{repository.commit}"


async def test_another_case_of_the_same_name_is_not_a_new_name(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model("Acme/Model"))
    hub.renamed["acme/model"] = "Acme/Model"
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert not evidence.renamed


async def test_a_gated_model_without_a_token_is_unauthorized_not_unsigned(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.token = "hf_right"
    repository = hub.add(model())
    repository.gated = True
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.UNAUTHORIZED
    assert not result.transient
    assert "gated" in result.message


async def test_a_wrong_token_is_unauthorized_and_not_shown(hub: Hub, gatherer_for: Start) -> None:
    hub.token = "hf_right"
    hub.add(model()).gated = True
    gatherer = await gatherer_for(settings_for(hub))
    result = await gatherer.resolve(
        references.parse("hf://acme/model"), token(hub.address, "hf_wrong")
    )
    assert isinstance(result, Unavailable)
    assert result.reason is UnavailableReason.UNAUTHORIZED
    assert "hf_wrong" not in result.message


async def test_the_right_token_opens_a_gated_model_and_stays_with_the_hub(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.token = "hf_right"
    hub.cdn = f"http://cdn.test:{hub.port}"
    hub.add(model()).gated = True
    gatherer = await gatherer_for(settings_for(hub))
    evidence = await gatherer.resolve(
        references.parse("hf://acme/model"), token(hub.address, "hf_right")
    )
    assert isinstance(evidence, Evidence)
    assert evidence.gated
    sent = {(seen.host, seen.headers.get("Authorization")) for seen in hub.seen}
    assert sent == {(hub.address, "Bearer hf_right"), (f"cdn.test:{hub.port}", None)}


async def test_the_signed_address_of_a_file_is_used_again(hub: Hub, gatherer_for: Start) -> None:
    hub.cdn = f"http://cdn.test:{hub.port}"
    wide = {f"layer.{n:05}.weight": [1] for n in range(3000)}
    hub.add(Repository("acme/m", {"m.safetensors": safetensors(wide)}, lfs={"m.safetensors"}))
    await gather(gatherer_for, hub, "hf://acme/m")
    assert len([seen for seen in hub.seen if seen.path.startswith("/acme/m/resolve")]) == 1
    assert len(hub.requests("/cdn/")) == 2


async def test_a_model_that_does_not_exist_is_not_found(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    for reference in ("hf://acme/other", "hf://acme/model@gone"):
        result = await refused(gatherer_for, hub, reference)
        assert result.reason is UnavailableReason.NOT_FOUND


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


async def test_too_many_signatures_are_said_to_be_unread(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model(changes={f"{n:02}.sig": b"x" for n in range(30)}))
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert len(evidence.signatures) == 16
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


Change = dict[str, Any]


def entries(*items: Any) -> Any:
    """A misbehaviour: this listing."""

    async def answer(request: web.Request) -> web.StreamResponse | None:
        return web.json_response(list(items)) if "/tree/" in request.path else None

    return answer


GOOD = {"type": "file", "path": "a", "size": 1, "oid": "0" * 40}
HOSTILE_LISTINGS: dict[str, list[Any]] = {
    "a path upwards": [{**GOOD, "path": "../a"}],
    "an absolute path": [{**GOOD, "path": "/a"}],
    "a backslash": [{**GOOD, "path": "a\\b"}],
    "a line break": [{**GOOD, "path": "a\nb"}],
    "an empty part": [{**GOOD, "path": "a//b"}],
    "a name without end": [{**GOOD, "path": "a" * 5000}],
    "no name": [{**GOOD, "path": None}],
    "a negative size": [{**GOOD, "size": -1}],
    "a size that is a text": [{**GOOD, "size": "1"}],
    "a size that is true": [{**GOOD, "size": True}],
    "no id": [{**GOOD, "oid": "xyz"}],
    "an impossible digest": [{**GOOD, "lfs": {"oid": "xyz"}}],
    "two sizes": [{**GOOD, "lfs": {"oid": "0" * 64, "size": 2}}],
    "a file twice": [GOOD, GOOD],
    "something else than a file": ["a"],
}


@pytest.mark.parametrize("items", HOSTILE_LISTINGS.values(), ids=HOSTILE_LISTINGS)
async def test_a_listing_is_refused_with(hub: Hub, gatherer_for: Start, items: list[Any]) -> None:
    hub.add(model())
    hub.misbehave = entries(*items)
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"null", b"[]", b'{"sha": 1}', b'{"sha": "main"}',
             b'{"sha": "' + b"0" * 40 + b'", "id": "../x"}', b"\xff\xfe"],
)  # fmt: skip
async def test_an_answer_that_names_no_commit_is_refused(
    hub: Hub, gatherer_for: Start, body: bytes
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    hub.misbehave = answer
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER


@pytest.mark.parametrize(
    "where",
    [
        "http://evil.test:{port}/api/models/acme/model/tree/x?cursor=1",
        "/api/models/evil/model/tree/x?cursor=1",
        "http://[::1",
        "?",
    ],
)
async def test_a_listing_that_continues_elsewhere_is_refused(
    hub: Hub, gatherer_for: Start, where: str
) -> None:
    hub.token = "hf_right"
    hub.add(model())

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if "/tree/" not in request.path:
            return None
        target = str(request.url) if where == "?" else where.format(port=hub.port)
        return web.json_response([], headers={"Link": f'<{target}>; rel="next"'})

    hub.misbehave = answer
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER
    assert not [seen for seen in hub.seen if seen.host.startswith("evil")]


def replaced(part: str, body: bytes, **headers: str) -> Any:
    """A misbehaviour: another body for a file."""

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if f"/{part}" not in request.path or "/resolve/" not in request.path:
            return None
        return web.Response(body=body, headers=headers)

    return answer


async def test_a_file_of_the_right_size_and_other_bytes_is_refused(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model())
    hub.misbehave = replaced("README.md", b"x" * len(CARD))
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER
    assert "README.md" in result.message


async def test_a_file_that_is_shorter_than_listed_is_refused(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    hub.misbehave = replaced("config.json", b"{}")
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER


async def test_a_file_that_is_longer_than_listed_is_not_read_on(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model())
    hub.misbehave = replaced("config.json", b"{}" * 10_000)
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason in (UnavailableReason.HOSTILE_ANSWER, UnavailableReason.TOO_LARGE)


async def test_a_file_of_another_commit_is_refused(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    hub.misbehave = replaced("README.md", CARD, **{"X-Repo-Commit": "f" * 40})
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER


async def test_weights_of_another_size_than_listed_are_refused(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())

    async def answer(request: web.Request) -> web.StreamResponse | None:
        name = request.path.rpartition("/")[2]
        if not name.endswith(".safetensors"):
            return None
        content = repository.files[name]
        longer = f"bytes 0-{len(content) - 1}/{len(content) + 1}"
        return web.Response(status=206, body=content, headers={"Content-Range": longer})

    hub.misbehave = answer
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.HOSTILE_ANSWER
    assert "another size" in result.message


async def test_an_outage_of_one_file_is_an_outage_not_a_gap(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())

    async def answer(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=500) if request.path.endswith("2.safetensors") else None

    hub.misbehave = answer
    result = await refused(gatherer_for, hub, "hf://acme/model")
    assert result.reason is UnavailableReason.UNREACHABLE
    assert result.transient
    assert result.retry_after is not None


async def test_a_file_that_is_listed_and_missing_is_a_gap_when_only_its_content_is(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model())

    async def answer(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=404) if request.path.endswith("2.safetensors") else None

    hub.misbehave = answer
    evidence = await gather(gatherer_for, hub, "hf://acme/model")
    assert evidence.lacks(GapReason.CONTENT_NOT_READ)


async def test_a_mirror_answers_instead_of_the_hub(
    hub: Hub, stack: AsyncExitStack, gatherer_for: Start
) -> None:
    mirror = await stack.enter_async_context(Hub())
    mirror.add(model())
    settings = settings_for(hub, mirror, endpoints={"hf": f"{mirror.url}/"})
    gatherer = await gatherer_for(settings)
    assert isinstance(await gatherer.resolve(references.parse("hf://acme/model")), Evidence)
    assert not hub.seen


@pytest.mark.parametrize("reference", ["hf://acme/model/../x", "hf://", "hf://a b/c", "hf://%2e/x"])
async def test_a_name_that_is_none_is_never_asked_for(
    hub: Hub, gatherer_for: Start, reference: str
) -> None:
    await refused(gatherer_for, hub, reference)
    assert not hub.seen
