"""A reflector's copy becomes what the API server holds, whatever goes wrong on the way."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.unit.cluster.api_server import ApiServer, Fault, cut_off_after, lines, silence, status
from tests.unit.cluster.conftest import Copy, eventually
from weighmaster.cluster import client as client_module
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.connection import Connection
from weighmaster.cluster.reflector import Reflector, Resource, object_key
from weighmaster.errors import ClusterError
from weighmaster.telemetry import StoreMetrics

pytestmark = pytest.mark.network

Start = Callable[..., tuple[Reflector, Copy]]


def added(name: str, version: int) -> str:
    stored = {"metadata": {"name": name, "resourceVersion": str(version)}}
    return json.dumps({"type": "ADDED", "object": stored}) + "\n"


def deleted(name: str, version: int) -> str:
    return added(name, version).replace("ADDED", "DELETED")


async def test_copy_follows_creation_change_and_deletion(api: ApiServer, start: Start) -> None:
    api.put("a")
    reflector, copy = start()
    await eventually(lambda: copy.names == {"a"})
    assert reflector.synced
    api.put("b", spec=1)
    await eventually(lambda: copy.names == {"a", "b"})
    api.put("b", spec=2)
    await eventually(lambda: copy.objects["", "b"]["spec"] == 2)
    api.delete("a")
    await eventually(lambda: copy.names == {"b"})
    assert api.calls == {"list": 1, "watch": 1}


async def test_listing_is_read_page_by_page(api: ApiServer, start: Start) -> None:
    for number in range(25):
        api.put(f"n{number}")
    api.page_size = 10
    _, copy = start()
    await eventually(lambda: len(copy.names) == 25)
    assert api.calls["list"] == 3
    assert copy.history[0] == ("replace", "")


async def test_page_that_has_expired_starts_the_listing_again(api: ApiServer, start: Start) -> None:
    for number in range(25):
        api.put(f"n{number}")
    api.page_size = 10

    async def expires_after_the_first_page(request: web.Request) -> web.StreamResponse:
        api.list_faults.append(status(410))
        return await api._list(request)

    api.list_faults.append(expires_after_the_first_page)
    _, copy = start()
    await eventually(lambda: len(copy.names) == 25)
    assert copy.history[:1] == [("replace", "")]
    assert api.calls["list"] == 5


async def test_object_that_was_deleted_during_a_gap_is_gone(api: ApiServer, start: Start) -> None:
    api.put("ghost")
    api.put("stays")
    _, copy = start()
    await eventually(lambda: copy.names == {"ghost", "stays"})
    api.delete("ghost", quietly=True)
    api.tell({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}})
    await eventually(lambda: copy.names == {"stays"})


async def test_version_that_has_expired_is_listed_again(api: ApiServer, start: Start) -> None:
    api.put("a")
    api.watch_faults.append(status(410))
    _, copy = start()
    await eventually(lambda: api.calls["watch"] == 2)
    assert api.calls["list"] == 2
    api.put("b")
    await eventually(lambda: copy.names == {"a", "b"})


async def test_version_that_always_expires_does_not_make_it_spin(
    api: ApiServer, start: Start
) -> None:
    api.watch_faults += [status(410)] * 1000
    reflector, _ = start()
    await eventually(lambda: api.calls["watch"] >= 8)
    calls = api.calls["list"]
    with pytest.raises(TimeoutError):
        await eventually(lambda: False, within=0.2)
    assert api.calls["list"] - calls < 20
    assert reflector.synced


async def test_bookmark_moves_the_version_and_shows_life(api: ApiServer, start: Start) -> None:
    now = [0.0]
    reflector, copy = start(clock=lambda: now[0])
    await eventually(lambda: api.calls["watch"] == 1)
    now[0] = 100.0
    assert reflector.staleness == 100
    api.bookmark()
    await eventually(lambda: reflector.staleness == 0)
    assert copy.history == [("replace", "")]


async def test_watch_goes_on_from_the_last_event(api: ApiServer, start: Start) -> None:
    api.put("a")
    api.watch_faults.append(lines(added("b", 10), added("c", 11)))
    _, copy = start()
    await eventually(lambda: api.calls["watch"] == 2)
    assert api.requests[-1].query["resourceVersion"] == "11"
    assert api.calls["list"] == 1
    assert copy.names == {"a", "b", "c"}


async def test_watch_that_breaks_off_repeats_no_event(api: ApiServer, start: Start) -> None:
    # Repeating them would bring "b" back until its deletion comes again.
    api.watch_faults.append(lines(added("b", 10), deleted("b", 11), '{"type":'))
    api.watch_faults.append(cut_off_after(added("c", 12)))
    _, copy = start()
    await eventually(lambda: api.calls["watch"] == 3)
    versions = [r.query["resourceVersion"] for r in api.requests if "watch" in r.query]
    assert versions[1:] == ["11", "12"]
    assert copy.history.count(("update", "b")) == 1
    assert copy.names == {"c"}


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(503),
        status(429),
        status(403),
        status(404),
        status(401),
        lines("not json\n"),
        lines("\n\n\n"),
        lines("[]\n"),
        lines("17\n"),
        lines('{"type": "ADDED", "object": []}\n'),
        lines('{"type": "ADDED", "object": {"metadata": "x"}}\n'),
        lines('{"type": "ADDED", "object": {"metadata": {"name": null}}}\n'),
        lines('{"type": 7}\n'),
        lines('{"type": "ERROR"}\n'),
        lines('{"type": "ERROR", "object": {"code": 500}}\n'),
        lines('{"type": "ERROR", "object": {"code": "x"}}\n'),
        lines(b"\xff\xfe\n"),
        lines("[" * 5000 + "\n"),
        cut_off_after('{"type": "ADD'),
        cut_off_after(),
    ],
)
async def test_watch_that_fails_is_taken_up_again(
    api: ApiServer, start: Start, fault: Fault
) -> None:
    api.put("a")
    api.watch_faults.append(fault)
    _, copy = start()
    await eventually(lambda: api.calls["watch"] >= 2)
    api.put("b")
    await eventually(lambda: {"a", "b"} <= copy.names)


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(503),
        status(429),
        status(403),
        status(404),
        status(401),
        status(410),
        status(302),
        lines("not json"),
        lines(""),
        lines("[]"),
        lines('{"items": 7}'),
        lines('{"items": [7]}'),
        lines('{"items": [], "metadata": "x"}'),
        lines('{"items": ['),
        cut_off_after('{"items": ['),
        cut_off_after(),
    ],
)
async def test_listing_that_fails_is_tried_again_and_holds_nothing_until_then(
    api: ApiServer, start: Start, fault: Fault
) -> None:
    api.put("a")
    api.list_faults += [fault] * 3
    reflector, copy = start()
    assert not reflector.synced
    await eventually(lambda: copy.names == {"a"})
    assert api.calls["list"] >= 4 or reflector.synced


async def test_failing_listing_is_not_taken_for_an_empty_one(api: ApiServer, start: Start) -> None:
    api.put("a")
    reflector, copy = start()
    await eventually(lambda: copy.names == {"a"})
    api.list_faults += [status(500)] * 5
    api.tell({"type": "ERROR", "object": {"code": 410}})
    await eventually(lambda: api.calls["list"] >= 5)
    assert copy.names == {"a"}
    assert reflector.synced


async def test_outage_of_the_api_server_is_survived(api: ApiServer, start: Start) -> None:
    api.put("a")
    _, copy = start()
    await eventually(lambda: copy.names == {"a"})
    api.watch_faults += [status(503)] * 50
    api.list_faults += [status(503)] * 5
    api.tell({"type": "ERROR", "object": {"code": 500}})
    await eventually(lambda: api.calls["list"] >= 7)
    api.watch_faults.clear()
    api.delete("a", quietly=True)
    api.put("b", quietly=True)
    api.expire()
    await eventually(lambda: copy.names == {"b"})


async def test_watch_that_went_silent_is_noticed_by_its_staleness(
    api: ApiServer, start: Start
) -> None:
    now = [0.0]
    api.watch_faults.append(silence())
    reflector, _ = start(clock=lambda: now[0])
    await eventually(lambda: api.calls["watch"] == 1)
    now[0] = 500.0
    assert reflector.staleness == 500


async def test_staleness_before_the_first_listing_is_endless(api: ApiServer, start: Start) -> None:
    api.list_faults.append(silence())
    reflector, _ = start()
    await eventually(lambda: api.calls["list"] == 1)
    assert reflector.staleness == float("inf")
    assert not reflector.synced


async def test_watch_that_trickles_for_ever_is_cut(
    api: ApiServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.randint", lambda *_: 1)
    monkeypatch.setattr(client_module, "WATCH_GRACE", -0.8)

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    api.watch_faults.append(trickle)
    start()
    await eventually(lambda: api.calls["watch"] >= 2)


async def test_event_beyond_any_size_is_not_collected(
    api: ApiServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_EVENT", 1000)
    api.put("a")
    api.watch_faults.append(lines('{"type":"ADDED","object":{"x":"' + "y" * 100_000))
    with capture_logs() as logs:
        start()
        await eventually(lambda: api.calls["watch"] == 2)
    assert any("too large" in log["error"] for log in logs)


async def test_long_event_in_many_pieces_is_one_event(api: ApiServer, start: Start) -> None:
    _, copy = start()
    await eventually(lambda: api.calls["watch"] == 1)
    api.put("big", spec="x" * 1_500_000)
    await eventually(lambda: "big" in copy.names)
    assert len(copy.objects["", "big"]["spec"]) == 1_500_000


async def test_failures_are_logged_without_what_the_server_said(
    api: ApiServer, start: Start
) -> None:
    api.list_faults += [status(404), status(500), lines("hf_secret")]
    with capture_logs() as logs:
        _, _ = start()
        await eventually(lambda: api.calls["watch"] == 1)
    assert "hf_secret" not in repr(logs)
    assert "CustomResourceDefinition" in logs[0]["hint"]
    assert all("hint" not in log for log in logs[1:])


async def test_login_that_fails_for_a_while_does_not_end_it(
    api: ApiServer, impatient: None
) -> None:
    failures: list[Exception] = [KeyError("x"), ValueError("x"), ClusterError("x"), OSError("x")]

    def login() -> Connection:
        if failures:
            raise failures.pop()
        return Connection(api.url, None, None)

    api.put("a")
    copy = Copy()
    async with ApiClient(login) as client:
        metrics = StoreMetrics(CollectorRegistry())
        reflector = Reflector(client, Resource("things", "/things"), copy, metrics)
        task = asyncio.create_task(reflector.run())
        await eventually(lambda: copy.names == {"a"})
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("stored", [{}, {"metadata": None}, {"metadata": []}, {"metadata": "x"}])
def test_object_without_metadata_has_an_empty_key(stored: dict[str, object]) -> None:
    assert object_key(stored) == ("", "")


async def test_broken_watch_is_known_at_once_and_until_another_is_open(
    api: ApiServer, start: Start
) -> None:
    api.watch_faults += [cut_off_after(), *[status(500)] * 4]
    reflector, _ = start()
    assert not reflector.watching
    await eventually(lambda: reflector.watching)
    await eventually(lambda: not reflector.watching)
    assert reflector.synced
    await eventually(lambda: reflector.watching)
    assert api.calls["watch"] == 6
