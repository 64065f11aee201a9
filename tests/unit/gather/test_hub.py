"""Evidence from the hub, against a local one: revisions, listings, access."""

import hashlib
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from tests.hub.repositories import Repository, model, safetensors
from tests.hub.server import Hub
from tests.unit.gather.asking import gather, refused
from tests.unit.gather.conftest import Start, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import (
    Basis,
    Evidence,
    FormatFact,
    GapReason,
    Unavailable,
    UnavailableReason,
    content_digest,
)
from weighmaster.core.verify.manifest import Manifest
from weighmaster.gather.credentials import token


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
    assert evidence.lacks(GapReason.HISTORY_UNKNOWN)
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
    assert evidence.lacks(GapReason.HISTORY_UNKNOWN)
    assert evidence.complete


@pytest.mark.parametrize("part", ["/refs", "/commits/"])
async def test_a_mirror_with_half_of_the_history_leaves_the_standing_open_as_well(
    hub: Hub, gatherer_for: Start, part: str
) -> None:
    hub.add(model()).orphans.add(PROPOSED)

    async def mirror(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=404) if part in request.path else None

    hub.misbehave = mirror
    evidence = await gather(gatherer_for, hub, f"hf://acme/model@{PROPOSED}")
    assert evidence.lacks(GapReason.HISTORY_UNKNOWN)


async def test_a_branch_that_is_named_like_the_beginning_of_a_commit_is_the_publishers(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())
    repository.revisions["bf16"] = PROPOSED
    repository.revisions["refs/pr/7"] = PROPOSED
    evidence = await gather(gatherer_for, hub, "hf://acme/model@bf16")
    assert evidence.placed


async def test_the_beginning_of_a_proposed_commit_is_a_proposal(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())
    repository.revisions["refs/pr/7"] = PROPOSED

    async def abbreviating(request: web.Request) -> web.StreamResponse | None:
        if request.path.endswith("/revision/eeeeeee"):
            return web.json_response({"id": "acme/model", "sha": PROPOSED, "gated": False})
        return None

    hub.misbehave = abbreviating
    evidence = await gather(gatherer_for, hub, "hf://acme/model@eeeeeee")
    assert evidence.proposed


async def test_evidence_about_a_commit_holds_for_ever_only_once_it_is_on_a_branch(
    hub: Hub, gatherer_for: Start
) -> None:
    repository = hub.add(model())
    repository.revisions["refs/pr/7"] = PROPOSED
    repository.orphans.add("f" * 40)
    own, *others = [
        await gather(gatherer_for, hub, f"hf://acme/model@{commit}")
        for commit in (repository.commit, PROPOSED, "f" * 40)
    ]
    assert own.expires_at is None
    assert all(each.expires_at is not None for each in others)


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


async def test_a_mirror_answers_instead_of_the_hub(
    hub: Hub, stack: AsyncExitStack, gatherer_for: Start
) -> None:
    mirror = await stack.enter_async_context(Hub())
    mirror.add(model())
    settings = settings_for(hub, mirror, endpoints={"hf": f"{mirror.url}/"})
    gatherer = await gatherer_for(settings)
    assert isinstance(await gatherer.resolve(references.parse("hf://acme/model")), Evidence)
    assert not hub.seen
