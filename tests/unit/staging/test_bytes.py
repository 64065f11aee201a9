"""Downloading models: bytes that differ, hubs that fail, disks that are full."""

import errno
import os

import pytest
from aiohttp import web

from tests.unit.staging.conftest import (
    WEIGHTS,
    Staged,
    assert_refused,
)
from weighmaster.core.mounted import Result
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import GatherError, VerificationError
from weighmaster.staging.model import gravest


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
async def test_a_flipped_byte_is_refused_and_its_file_named(staging: Staged, name: str) -> None:
    right = staging.repository.files[name]

    async def flipped(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith(name):
            return None
        return web.Response(body=right[:-1] + bytes([right[-1] ^ 1]))

    staging.hub.misbehave = flipped
    verdict = await staging.refused()
    assert_refused(verdict, VerificationReason.MISMATCH, name)
    assert not (staging.hidden / name).exists(), "the bad bytes were kept"


@pytest.mark.parametrize("change", [b"", b"more"], ids=["short", "long"])
async def test_a_file_of_another_size_fails_and_is_named(staging: Staged, change: bytes) -> None:
    async def other(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith(WEIGHTS):
            return None
        body = staging.repository.files[WEIGHTS]
        return web.Response(body=body + change if change else body[:-1])

    staging.hub.misbehave = other
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "HostileAnswer")
    assert WEIGHTS in verdict.message
    assert "another size" in verdict.message


async def test_a_hub_that_asks_to_wait_is_left_alone_for_as_long(staging: Staged) -> None:
    asked = 0

    async def limited(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked
        if not request.path.endswith(WEIGHTS):
            return None
        asked += 1
        return web.Response(status=429, headers={"Retry-After": "300"}) if asked == 1 else None

    staging.hub.misbehave = limited
    verdict = await staging.run()
    assert verdict.result is Result.VERIFIED, verdict
    assert asked == 2
    assert sum(staging.time.slept) == pytest.approx(300)


async def test_a_hub_that_asks_to_wait_for_hours_fails_and_says_how_long(staging: Staged) -> None:
    async def limited(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=429, headers={"Retry-After": "7200"})

    staging.hub.misbehave = limited
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "RateLimited")
    assert "7200 s" in verdict.message


async def test_a_hub_that_fails_now_and_then_is_asked_again(staging: Staged) -> None:
    asked = 0

    async def flaky(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked
        asked += 1
        return web.Response(status=502) if asked % 2 else None

    staging.hub.misbehave = flaky
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files() == staging.wanted()


async def test_a_hub_that_is_down_fails(staging: Staged) -> None:
    async def down(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503)

    staging.hub.misbehave = down
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "Unreachable")
    assert len(staging.hub.seen) == 8


async def test_a_hub_cannot_send_us_to_an_address_inside(staging: Staged) -> None:
    async def inwards(request: web.Request) -> web.StreamResponse | None:
        if WEIGHTS not in request.path:
            return None
        target = "https://169.254.169.254/latest/meta-data"
        return web.Response(status=302, headers={"Location": target})

    staging.hub.misbehave = inwards
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "ForbiddenAddress")


def test_wrong_bytes_outrank_a_hub_that_is_down() -> None:
    wrong = VerificationError(VerificationReason.MISMATCH, "wrong")
    down = GatherError("Unreachable", "down")
    for order in ([wrong, down], [down, wrong]):
        assert gravest(ExceptionGroup("", order)) is wrong


async def test_a_disk_that_fills_up_meanwhile_fails_and_says_so(
    staging: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _content: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "VolumeFull")
    assert "sizeLimit" in verdict.message
