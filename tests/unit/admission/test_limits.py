"""What the server holds of what clients send is bounded, and said to be so."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.unit.admission.client import head
from tests.unit.admission.conftest import Serve
from tests.unit.admission.reviews import UID, assert_refusal, body, new_handler, response_of
from tests.unit.core.builders import pod
from weighmaster.admission import connections as connections_module
from weighmaster.admission import server as server_module
from weighmaster.admission.connections import Connections
from weighmaster.admission.gate import PATIENCE
from weighmaster.admission.handler import AdmissionHandler, Answer
from weighmaster.admission.wire import MAX_BODY

pytestmark = pytest.mark.network

GOOD = body(pod("acme/m"))


class Waiting(AdmissionHandler):
    """Answers when it is told to, and notes for how long it may wait."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.patience: list[float] = []

    async def answer(self, path: str, body: bytes, patience: float = PATIENCE) -> Answer:
        assert path.startswith("/validate")
        assert body
        self.patience.append(patience)
        await self.gate.wait()
        return Answer(200, b"{}")


async def test_bodies_under_way_have_a_limit_together(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_HELD", 2 * MAX_BODY)
    handler = Waiting()
    _, client = await serve(handler)
    large = [asyncio.create_task(client.post(b"x" * MAX_BODY)) for _ in range(2)]
    await asyncio.sleep(0.3)
    status, answer = await client.post(GOOD)
    assert (status, answer) == (429, b"too many bytes of requests are under way\n")
    handler.gate.set()
    assert [status for status, _ in await asyncio.gather(*large)] == [200, 200]
    assert (await client.post(GOOD))[0] == 200


async def test_body_of_unknown_length_counts_as_the_largest(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_HELD", MAX_BODY)
    handler = Waiting()
    _, client = await serve(handler)
    async with await client.connect() as connection:
        await connection.send(head(Transfer_Encoding="chunked"), b"1\r\nx\r\n")
        await asyncio.sleep(0.1)
        assert (await client.post(GOOD))[0] == 429


async def test_connection_on_which_nothing_is_asked_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_EVERY", 0.02)
    monkeypatch.setattr(connections_module, "FIRST_REQUEST", 0.2)
    _, client = await serve()
    silent, slow, used = [await client.connect() for _ in range(3)]
    async with silent, slow, used:
        await used.send(head(Content_Length=len(GOOD)), GOOD)
        assert (await used.response())[0] == 200
        await slow.send(b"POST /validate HTTP/1.1\r\nHost: ")
        assert await silent.closed(2)
        assert await slow.closed(2)
        await used.send(head(Content_Length=len(GOOD)), GOOD)
        assert (await used.response())[0] == 200


async def test_connection_that_is_never_encrypted_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_TIMEOUT", 0.2)
    _, client = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    async with asyncio.timeout(3):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert (await client.post(GOOD))[0] == 200


async def test_connections_have_a_limit_and_idle_ones_give_way(serve: Serve) -> None:
    server, client = await serve()
    server._connections = connections = Connections(8)
    assert server._server is not None
    server._server._told = connections
    idle = [await client.connect() for _ in range(20)]
    await asyncio.sleep(0.1)
    assert len(connections) <= 8
    assert response_of((await client.post(GOOD))[1])["allowed"] is True
    for each in idle:
        async with each:
            pass


@pytest.mark.parametrize(
    ("query", "patience"),
    [
        ("?timeout=10s", PATIENCE),
        ("?timeout=30s", PATIENCE),
        ("?timeout=2s", 0.6),
        ("", PATIENCE),
        ("?timeout=1m", PATIENCE),
        ("?timeout=0.5s", PATIENCE),
        ("?timeout=-1s", PATIENCE),
        ("?timeout=x", PATIENCE),
        ("?timeout=99999999999999999999s", PATIENCE),
    ],
)
async def test_patience_is_a_part_of_what_the_api_server_waits(
    serve: Serve, query: str, patience: float
) -> None:
    handler = Waiting()
    handler.gate.set()
    _, client = await serve(handler)
    assert (await client.post(GOOD, f"/validate{query}"))[0] == 200
    assert handler.patience == [patience]


async def test_who_is_turned_away_is_told_to_come_again() -> None:
    handler = new_handler()
    answer = await handler.answer("/validate", GOOD, patience=-1)
    response = assert_refusal(answer.body)
    assert (answer.status, response["uid"]) == (200, UID)
    status = response["status"]
    assert (status["code"], status["reason"]) == (429, "TooManyRequests")
    assert status["details"]["retryAfterSeconds"] == 1
    assert status["details"]["causes"][0]["reason"] == "Overloaded"
    assert response_of((await handler.answer("/validate", GOOD)).body)["allowed"] is True


async def test_who_is_turned_away_without_a_uid_gets_the_status_itself() -> None:
    answer = await new_handler().answer("/validate", b"{}", patience=-1)
    assert answer.status == 429
    assert_refusal(answer.body)


async def test_a_store_that_is_not_ready_says_when_to_come_again() -> None:
    answer = await new_handler(ready=False).answer("/validate", GOOD)
    status = assert_refusal(answer.body)["status"]
    assert (status["code"], status["details"]["retryAfterSeconds"]) == (503, 1)


async def test_refusals_by_policy_are_not_to_be_tried_again() -> None:
    answer = await new_handler().answer("/validate", body(pod("$MODEL")))
    assert "retryAfterSeconds" not in assert_refusal(answer.body)["status"]["details"]


async def test_overload_is_logged_now_and_then_and_counted() -> None:
    handler = new_handler()
    with capture_logs() as logs:
        for _ in range(1000):
            await handler.answer("/validate", GOOD, patience=-1)
    assert [(entry["event"], entry["refused"]) for entry in logs] == [("overloaded", 1)]


async def test_flood_of_connections_leaves_room_for_those_in_use(serve: Serve) -> None:
    server, client = await serve()
    server._connections = connections = Connections(20)
    assert server._server is not None
    server._server._told = connections
    async with await client.connect() as used:
        for _ in range(3):
            await used.send(head(Content_Length=len(GOOD)), GOOD)
            assert (await used.response())[0] == 200
            flood = [await client.connect() for _ in range(30)]
            assert len(connections) <= 20
            for each in flood:
                async with each:
                    pass
