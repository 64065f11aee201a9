"""The server on a real TLS socket, with clients that mean no good."""

import asyncio
import gzip
import logging
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import serving
from tests.unit.admission.client import Client, head
from tests.unit.admission.conftest import Serve
from tests.unit.admission.reviews import assert_refusal, body, new_handler, response_of
from tests.unit.core.builders import pod
from weighmaster.admission import server as server_module
from weighmaster.admission.handler import AdmissionHandler, Answer
from weighmaster.admission.server import AdmissionServer
from weighmaster.admission.wire import MAX_BODY
from weighmaster.errors import SettingsError

pytestmark = pytest.mark.network

GOOD = body(pod("acme/m"))
BAD = body(pod("$MODEL"))


async def assert_still_answers(client: Client) -> None:
    status, answer = await client.post(GOOD)
    assert (status, response_of(answer)["allowed"]) == (200, True)
    status, answer = await client.post(BAD)
    assert status == 200
    assert_refusal(answer)


async def test_good_request_is_allowed_and_a_bad_one_refused(client: Client) -> None:
    await assert_still_answers(client)


async def test_connection_is_kept_for_further_requests(client: Client) -> None:
    async with await client.connect() as connection:
        for sent, allowed in ((GOOD, True), (BAD, False)) * 3:
            await connection.send(head(Content_Length=len(sent)), sent)
            _, answer = await connection.response()
            assert response_of(answer)["allowed"] is allowed


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_any_method_but_post_is_refused(client: Client, method: str) -> None:
    async with await client.connect() as connection:
        await connection.send(head(method=method, Content_Length=len(GOOD)), GOOD)
        status, answer = (await connection.response()) if method != "HEAD" else (405, b"")
        assert status == 405
        assert b"allowed" not in answer
    await assert_still_answers(client)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/validate/",
        "//validate",
        "/Validate",
        "/mutate/x",
        "/validate%2F",
        "/../validate/.",
        "*",
    ],
)
async def test_unknown_path_is_refused_and_not_guessed_at(client: Client, path: str) -> None:
    status, answer = await client.post(GOOD, path)
    if status == 200:
        assert_refusal(answer)
    else:
        assert status in (0, 400, 404)
        assert b'"allowed":true' not in answer
    await assert_still_answers(client)


@pytest.mark.parametrize("path", ["/validate?timeout=10s", "/validate?a=/mutate", "/%76alidate"])
async def test_query_and_escapes_do_not_change_the_path(client: Client, path: str) -> None:
    status, answer = await client.post(BAD, path)
    assert status == 200
    assert_refusal(answer)


async def test_body_over_the_limit_is_refused_by_its_length(client: Client) -> None:
    status, answer = await client.post(body(pod("acme/m", annotations={"a": "x" * MAX_BODY})))
    assert status == 200
    assert assert_refusal(answer)["status"]["code"] == 413
    await assert_still_answers(client)


async def test_body_without_a_length_is_read_in_chunks(client: Client) -> None:
    for sent, allowed in ((GOOD, True), (BAD, False)):
        async with await client.connect() as connection:
            await connection.send(head(Transfer_Encoding="chunked"))
            for start in range(0, len(sent), 100):
                part = sent[start : start + 100]
                await connection.send(f"{len(part):x}\r\n".encode(), part, b"\r\n")
            await connection.send(b"0\r\n\r\n")
            _, answer = await connection.response()
            assert response_of(answer)["allowed"] is allowed


async def test_endless_body_is_not_read_to_its_end(client: Client) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    async with await client.connect() as connection:
        await connection.send(head(Transfer_Encoding="chunked"))

        async def send_for_ever() -> None:
            while True:
                await connection.send(chunk)
                await asyncio.sleep(0)  # or nobody notices here that the server has hung up

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send_for_ever(), 8)
    await assert_still_answers(client)


async def test_length_that_is_never_sent_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "BODY_TIMEOUT", 0.2)
    async with await client.connect() as connection:
        await connection.send(head(Content_Length=1000), b'{"kind":')
        status, answer = await connection.response(3)
        assert (status, answer) == (408, b"")
    await assert_still_answers(client)


async def test_body_that_trickles_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "BODY_TIMEOUT", 0.3)
    async with await client.connect() as connection:
        await connection.send(head(Content_Length=len(GOOD)))
        answering = asyncio.create_task(connection.response(3))
        for byte in GOOD[:20]:
            if answering.done():
                break
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.05)
        assert (await answering)[0] == 408
    await assert_still_answers(client)


async def test_head_that_trickles_is_given_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "KEEPALIVE_TIMEOUT", 0.3)
    _, client = await serve()
    async with await client.connect() as connection:
        await connection.send(b"POST /validate HTTP/1.1\r\nHost: ")
        closing = asyncio.create_task(connection.closed(5))
        for _ in range(100):
            if closing.done():
                break
            try:
                await connection.send(b"x")
            except ConnectionError:
                break
            await asyncio.sleep(0.02)
        assert await closing
    await assert_still_answers(client)


async def test_silent_connection_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "KEEPALIVE_TIMEOUT", 0.2)
    _, client = await serve()
    async with await client.connect() as connection:
        assert await connection.closed(5)


async def test_compressed_bomb_is_not_unpacked(client: Client) -> None:
    bomb = gzip.compress(b" " * 50_000_000 + GOOD)
    assert len(bomb) < MAX_BODY
    started = time.process_time()
    status, answer = await client.post(bomb, Content_Encoding="gzip")
    assert time.process_time() - started < 0.5
    assert status == 400
    assert_refusal(answer)
    await assert_still_answers(client)


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"POST /validate\r\n\r\n",
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        head(Content_Length="-1"),
        head(Content_Length="abc"),
        head(Content_Length=10, Transfer_Encoding="chunked") + b"0\r\n\r\n",
        head(Content_Length="5, 6") + b"hello",
        head(Transfer_Encoding="chunked") + b"zz\r\nhello\r\n",
        head(Transfer_Encoding="chunked") + b"FFFFFFFFFFFFFFFFF\r\nx",
        head(Transfer_Encoding="gzip, chunked") + b"0\r\n\r\n",
        head("/" + "x" * 100_000),
        head(X_Long="x" * 100_000),
        head(**{f"X-{n}": "y" for n in range(1000)}),
        b"POST /validate HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"POST http://[ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_broken_http_is_refused(client: Client, sent: bytes) -> None:
    async with await client.connect() as connection:
        await connection.send(sent)
        try:
            status, answer = await connection.response(1)
        except (TimeoutError, asyncio.LimitOverrunError):
            status, answer = 0, b""
    assert status in (0, 400, 404, 405, 408, 411, 413, 414, 431, 501), answer
    assert b'"allowed":true' not in answer
    assert b"Traceback" not in answer
    await assert_still_answers(client)


async def test_bytes_of_a_broken_request_are_not_logged(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    token = "Bearer-of-a-secret"
    with caplog.at_level(logging.DEBUG):
        async with await client.connect() as connection:
            await connection.send(head(Content_Length="abc", Authorization=f"{token}\x00"))
            assert await connection.closed(3)
    assert token not in caplog.text
    assert "Traceback" not in caplog.text
    assert any(record.name == "weighmaster.http" for record in caplog.records)


async def test_requests_in_one_packet_are_answered_in_order(client: Client) -> None:
    async with await client.connect() as connection:
        sent = [GOOD, BAD] * 20
        await connection.send(b"".join(head(Content_Length=len(each)) + each for each in sent))
        for each in sent:
            status, answer = await connection.response()
            assert status == 200
            assert response_of(answer)["allowed"] is (each is GOOD)


async def test_second_request_hidden_in_a_body_is_no_request(client: Client) -> None:
    hidden = head(Content_Length=len(GOOD)) + GOOD
    async with await client.connect() as connection:
        await connection.send(head(Content_Length=len(hidden)), hidden)
        status, answer = await connection.response()
        assert status in (200, 400)
        assert_refusal(answer)
        with pytest.raises(TimeoutError):
            await connection.response(0.2)


async def test_client_that_hangs_up_does_no_harm(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (
        b"",
        head()[:10],
        head(Content_Length=1000),
        head(Content_Length=len(GOOD)) + GOOD[:50],
        head(Transfer_Encoding="chunked") + b"5\r\nhel",
        head(Content_Length=len(GOOD)) + GOOD,
    ):
        async with await client.connect() as connection:
            await connection.send(sent)
        await asyncio.sleep(0.02)
    await assert_still_answers(client)
    assert "Traceback" not in caplog.text


async def test_many_requests_at_once_are_all_answered(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PATIENCE", 60.0)  # the machine may be busy

    async def several() -> None:
        async with await client.connect() as connection:
            for sent, allowed in ((GOOD, True), (BAD, False)) * 10:
                await connection.send(head(Content_Length=len(sent)), sent)
                status, answer = await connection.response(20)
                assert status == 200
                assert response_of(answer)["allowed"] is allowed

    await asyncio.gather(*(several() for _ in range(50)))


async def test_failure_of_the_handler_itself_is_no_answer_that_allows(serve: Serve) -> None:
    class Broken(AdmissionHandler):
        def __init__(self) -> None:
            pass

        def handle(self, *_: Any) -> Answer:
            raise RuntimeError("hf_secret")

    _, client = await serve(Broken())
    status, answer = await client.post(GOOD)
    assert status == 500
    assert b"hf_secret" not in answer
    assert b"Traceback" not in answer


async def test_store_that_is_not_ready_refuses(serve: Serve) -> None:
    _, client = await serve(new_handler(ready=False))
    status, answer = await client.post(GOOD)
    assert status == 200
    assert assert_refusal(answer)["status"]["code"] == 503


async def test_request_in_flight_is_answered_when_the_server_stops(serve: Serve) -> None:
    server, client = await serve()
    async with await client.connect() as connection:
        await connection.send(head(Content_Length=len(BAD)), BAD[:100])
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.1)
        with pytest.raises(OSError):  # noqa: PT011 - nobody listens any more
            await client.connect()
        await connection.send(BAD[100:])
        status, answer = await connection.response()
        assert status == 200
        assert_refusal(answer)
        await asyncio.wait_for(stopping, 5)


async def test_server_that_is_to_leave_serves_on_and_sends_its_clients_elsewhere(
    serve: Serve,
) -> None:
    server, client = await serve()
    async with await client.connect() as connection:
        await connection.send(head(Content_Length=len(GOOD)), GOOD)
        assert (await connection.response())[0] == 200
        server.dismiss()
        await connection.send(head(Content_Length=len(GOOD)), GOOD)
        assert (await connection.response())[0] == 200
        assert await connection.closed(2)
    await assert_still_answers(client)


async def test_idle_connections_do_not_hold_up_the_end(serve: Serve) -> None:
    server, client = await serve()
    connections = [await client.connect() for _ in range(20)]
    await asyncio.sleep(0.1)
    started = time.monotonic()
    await server.stop()
    assert time.monotonic() - started < 2
    for connection in connections:
        async with connection:
            assert await connection.closed(2)


async def test_plain_http_and_old_tls_are_not_spoken(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(head(Content_Length=len(GOOD)) + GOOD)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert b"allowed" not in answer
    writer.transport.abort()
    await asyncio.sleep(0)
    await assert_still_answers(client)


async def test_port_in_use_is_told_by_the_name_of_the_setting(certificate: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        context = serving(certificate).context
        server = AdmissionServer(new_handler(), context, "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"^port: cannot listen on 127\.0\.0\.1:\d+: "):
            await server.start()


def test_tls_before_1_2_is_off(certificate: Path) -> None:
    context = serving(certificate).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
