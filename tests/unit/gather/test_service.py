"""The gatherer: one gathering for all, kept for as long as it holds."""

import asyncio

import pytest
from aiohttp import web

from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.unit.gather.conftest import FakeTime, Start, settings_for
from weighmaster.core import references
from weighmaster.core.evidence import Evidence, Unavailable, UnavailableReason
from weighmaster.core.values import ModelReference
from weighmaster.gather import service
from weighmaster.gather.credentials import token
from weighmaster.gather.service import Gatherer
from weighmaster.gather.settings import Caps, Holding, Timeouts

MOVING = references.parse("hf://acme/model")


def pinned(commit: str) -> ModelReference:
    return references.parse(f"hf://acme/model@{commit}")


async def test_a_thousand_requests_for_one_reference_cause_one_gathering(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model())
    gatherer: Gatherer = await gatherer_for(settings_for(hub))
    results = await asyncio.gather(*(gatherer.resolve(MOVING) for _ in range(1000)))
    assert len(hub.requests("/revision/")) == 1
    assert all(result is results[0] for result in results)


async def test_what_is_kept_is_answered_without_a_request(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    gatherer = await gatherer_for(settings_for(hub))
    first = await gatherer.resolve(MOVING)
    asked = len(hub.seen)
    assert await gatherer.resolve(MOVING) is first
    assert len(hub.seen) == asked


async def test_evidence_about_a_pinned_reference_never_expires(
    hub: Hub, gatherer_for: Start, time: FakeTime
) -> None:
    repository = hub.add(model())
    gatherer = await gatherer_for(settings_for(hub))
    first = await gatherer.resolve(pinned(repository.commit))
    assert isinstance(first, Evidence)
    assert first.expires_at is None
    assert first.fetched_at == time.now
    time.now += 10 * 365 * 86400
    assert await gatherer.resolve(pinned(repository.commit)) is first


async def test_evidence_about_a_moving_reference_expires_a_little_apart(
    hub: Hub, gatherer_for: Start, time: FakeTime
) -> None:
    gatherer = await gatherer_for(settings_for(hub))
    ends = set()
    for number in range(20):
        hub.add(model(f"acme/m{number}"))
        found = await gatherer.resolve(references.parse(f"hf://acme/m{number}"))
        assert isinstance(found, Evidence)
        assert found.expires_at is not None
        ends.add(round(found.expires_at - found.fetched_at))
    assert min(ends) >= 0.8 * 3600
    assert max(ends) <= 3600
    assert len(ends) > 10


async def test_a_moving_reference_that_has_not_moved_costs_one_conditional_request(
    hub: Hub, gatherer_for: Start, time: FakeTime
) -> None:
    hub.add(model())
    gatherer = await gatherer_for(settings_for(hub))
    first = await gatherer.resolve(MOVING)
    assert isinstance(first, Evidence)
    hub.seen.clear()
    time.now += 4000
    second = await gatherer.resolve(MOVING)
    assert isinstance(second, Evidence)
    assert [seen.headers.get("If-None-Match") for seen in hub.seen] == [first.validator]
    assert second.files == first.files
    assert second.fetched_at == time.now
    assert second.expires_at is not None
    assert second.expires_at > time.now


async def test_a_moving_reference_that_has_moved_is_gathered_anew(
    hub: Hub, gatherer_for: Start, time: FakeTime
) -> None:
    repository = hub.add(model())
    gatherer = await gatherer_for(settings_for(hub))
    first = await gatherer.resolve(MOVING)
    repository.files["evil.py"] = b"import os"
    time.now += 4000
    second = await gatherer.resolve(MOVING)
    assert isinstance(first, Evidence)
    assert isinstance(second, Evidence)
    assert second.resolved != first.resolved
    assert second.content.code.present


async def test_refresh_asks_although_it_holds(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    gatherer = await gatherer_for(settings_for(hub))
    await gatherer.resolve(MOVING)
    hub.seen.clear()
    await gatherer.resolve(MOVING, refresh=True)
    assert len(hub.seen) == 1


@pytest.mark.parametrize(
    ("status", "reason", "seconds"),
    [
        (404, UnavailableReason.NOT_FOUND, 300),
        (401, UnavailableReason.UNAUTHORIZED, 60),
        (500, UnavailableReason.UNREACHABLE, 15),
        (418, UnavailableReason.HOSTILE_ANSWER, 600),
    ],
)
async def test_a_failure_is_remembered_for_as_long_as_its_kind_holds(
    hub: Hub,
    gatherer_for: Start,
    time: FakeTime,
    status: int,
    reason: UnavailableReason,
    seconds: float,
) -> None:
    async def failing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    hub.misbehave = failing
    gatherer = await gatherer_for(settings_for(hub, attempts=1))
    result = await gatherer.resolve(MOVING)
    assert isinstance(result, Unavailable)
    assert result.reason is reason
    asked = len(hub.seen)
    time.now += seconds - 1
    assert await gatherer.resolve(MOVING) is result
    assert len(hub.seen) == asked
    time.now += 2
    await gatherer.resolve(MOVING)
    assert len(hub.seen) > asked


async def test_a_limited_reference_is_not_asked_for_before_its_time(
    hub: Hub, gatherer_for: Start, time: FakeTime
) -> None:
    async def limited(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "1000"})

    hub.misbehave = limited
    gatherer = await gatherer_for(settings_for(hub))
    result = await gatherer.resolve(MOVING)
    assert isinstance(result, Unavailable)
    assert result.reason is UnavailableReason.RATE_LIMITED
    assert result.retry_after == 1000
    time.now += 900
    await gatherer.resolve(MOVING)
    await gatherer.resolve(references.parse("hf://acme/another"))
    assert len(hub.seen) == 1


async def test_after_an_outage_what_was_known_saves_the_gathering_but_is_not_given_out(
    hub: Hub, gatherer_for: Start, time: FakeTime
) -> None:
    async def down(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    hub.add(model())
    gatherer = await gatherer_for(settings_for(hub, attempts=1))
    await gatherer.resolve(MOVING)
    time.now += 4000
    hub.misbehave = down
    during = await gatherer.resolve(MOVING)
    assert isinstance(during, Unavailable)
    assert during.transient
    hub.misbehave = None
    hub.seen.clear()
    time.now += 100
    assert isinstance(await gatherer.resolve(MOVING), Evidence)
    assert len(hub.seen) == 1


async def test_what_one_token_saw_is_not_given_to_another(hub: Hub, gatherer_for: Start) -> None:
    hub.token = "hf_right"
    hub.add(model()).gated = True
    gatherer = await gatherer_for(settings_for(hub))
    right, wrong = token(hub.address, "hf_right"), token(hub.address, "hf_wrong")
    assert isinstance(await gatherer.resolve(MOVING, right), Evidence)
    for credentials in (wrong, token("other.test", "hf_right")):
        result = await gatherer.resolve(MOVING, credentials)
        assert isinstance(result, Unavailable)
        assert result.reason is UnavailableReason.UNAUTHORIZED
    assert isinstance(await gatherer.resolve(MOVING), Unavailable)
    assert isinstance(await gatherer.resolve(MOVING, right), Evidence)


async def test_one_who_stops_waiting_does_not_stop_the_others(
    hub: Hub, gatherer_for: Start
) -> None:
    hub.add(model())
    gatherer = await gatherer_for(settings_for(hub))
    impatient = asyncio.create_task(gatherer.resolve(MOVING))
    patient = asyncio.create_task(gatherer.resolve(MOVING))
    await asyncio.sleep(0)
    impatient.cancel()
    assert isinstance(await patient, Evidence)
    assert len(hub.requests("/revision/")) == 1


async def test_a_gathering_that_takes_too_long_is_an_outage(hub: Hub, gatherer_for: Start) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    hub.misbehave = slow
    gatherer = await gatherer_for(settings_for(hub, timeouts=Timeouts(gather=0.1)))
    result = await gatherer.resolve(MOVING)
    assert isinstance(result, Unavailable)
    assert result.reason is UnavailableReason.UNREACHABLE


async def test_a_fault_of_our_own_ends_one_gathering_and_shows_nothing(
    hub: Hub, gatherer_for: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, object]] = []

    class Log:
        def error(self, _: str, **fields: object) -> None:
            logged.append(fields)

        info = error

    monkeypatch.setattr(service, "_log", Log())

    class Faulty:
        async def gather(self, *_: object) -> Evidence:
            raise RuntimeError("hunter2")

    gatherer = await gatherer_for(settings_for(hub))
    gatherer._sources["hf"] = Faulty()
    result = await gatherer.resolve(MOVING)
    assert isinstance(result, Unavailable)
    assert result.reason is UnavailableReason.FAILED
    assert str(logged[0]["where"]).startswith("RuntimeError at ")
    assert "hunter2" not in f"{logged}{result.message}"


async def test_closing_ends_what_is_under_way(hub: Hub) -> None:
    started = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        started.set()
        await asyncio.sleep(5)
        return web.Response()

    hub.misbehave = slow
    async with Gatherer(settings_for(hub)) as gatherer:
        task = asyncio.create_task(gatherer.resolve(MOVING))
        await started.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_time_that_a_hub_was_asked_is_told_with_what_came_of_it(hub: Hub) -> None:
    hub.add(model())
    told: list[tuple[str, str]] = []
    asked = ("hf://acme/model", "hf://acme/model", "hf://acme/none", "s3://bucket/key")
    async with Gatherer(settings_for(hub), on_gathered=lambda *each: told.append(each)) as gatherer:
        for reference in asked:
            await gatherer.resolve(references.parse(reference))
    assert told == [("hf", "evidence"), ("hf", "NotFound")]


async def test_no_more_is_kept_than_configured(hub: Hub, gatherer_for: Start) -> None:
    for number in range(10):
        hub.add(model(f"acme/m{number}"))
    gatherer = await gatherer_for(settings_for(hub, cache_bytes=60_000))
    for number in range(10):
        await gatherer.resolve(references.parse(f"hf://acme/m{number}"))
    assert 1 <= len(gatherer._kept) <= 4
    assert gatherer._weight == sum(kept.weight for kept in gatherer._kept.values())
    gatherer.forget()
    assert gatherer._weight == 0


async def test_what_is_forgotten_is_asked_for_again(hub: Hub, gatherer_for: Start) -> None:
    hub.add(model())
    gatherer = await gatherer_for(settings_for(hub))
    await gatherer.resolve(MOVING)
    gatherer.forget("hf://acme/model")
    hub.seen.clear()
    await gatherer.resolve(MOVING)
    assert len(hub.requests("/tree/")) == 1


@pytest.mark.parametrize(
    "reference", ["s3://bucket/key", "pvc://claim/m", "https://x.example/m.gguf", "hf://$(MODEL)"]
)
async def test_what_cannot_be_fetched_is_for_people_to_state(
    hub: Hub, gatherer_for: Start, reference: str
) -> None:
    gatherer = await gatherer_for(settings_for(hub))
    result = await gatherer.resolve(references.parse(reference))
    assert isinstance(result, Unavailable)
    assert result.reason is UnavailableReason.UNSUPPORTED_SCHEME
    assert not result.transient
    assert not hub.seen


async def test_only_so_many_references_are_gathered_at_once(hub: Hub, gatherer_for: Start) -> None:
    running: set[str] = set()
    most = 0

    async def slow(request: web.Request) -> web.StreamResponse | None:
        nonlocal most
        running.add(request.path)
        most = max(most, len(running))
        await asyncio.sleep(0.01)
        running.discard(request.path)
        return web.Response(status=404)

    hub.misbehave = slow
    gatherer = await gatherer_for(settings_for(hub, gathers=2, holding=Holding(missing=1)))
    names = [references.parse(f"hf://acme/m{number}") for number in range(12)]
    await asyncio.gather(*(gatherer.resolve(name) for name in names))
    assert most == 2


async def test_evidence_is_bounded_however_many_files_there_are(
    hub: Hub, gatherer_for: Start
) -> None:
    files = {f"{number:05}.py": b"" for number in range(300)}
    hub.add(model(changes=files))
    gatherer = await gatherer_for(settings_for(hub, caps=Caps(files=100)))
    found = await gatherer.resolve(MOVING)
    assert isinstance(found, Evidence)
    assert len(found.files) == 100
    assert len(found.content.code.python) <= 64
    assert not found.complete
