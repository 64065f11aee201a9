"""Answers of a hub that lies, breaks or leads elsewhere."""

from typing import Any

import pytest
from aiohttp import web

from tests.hub.repositories import CARD, model
from tests.hub.server import Hub
from tests.unit.gather.asking import gather, refused
from tests.unit.gather.conftest import Start
from weighmaster.core.evidence import (
    GapReason,
    UnavailableReason,
)


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


@pytest.mark.parametrize("reference", ["hf://acme/model/../x", "hf://", "hf://a b/c", "hf://%2e/x"])
async def test_a_name_that_is_none_is_never_asked_for(
    hub: Hub, gatherer_for: Start, reference: str
) -> None:
    await refused(gatherer_for, hub, reference)
    assert not hub.seen
