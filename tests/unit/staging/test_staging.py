"""Downloading models: what is served in the end, and what is refused before and while it comes."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.unit.staging.conftest import FOLDER, WEIGHTS, Staged, download, hub_of
from weighmaster.core.mounted import Result, Verdict
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.errors import GatherError, VerificationError
from weighmaster.staging import volume
from weighmaster.staging.model import gravest
from weighmaster.staging.volume import HIDDEN

PRECIOUS = Path("/etc/passwd")
OTHER = "model-00002-of-00002.safetensors"


def assert_refused(verdict: Verdict, reason: VerificationReason, *files: str) -> None:
    assert (verdict.result, verdict.reason) == (Result.REFUSED, reason.value), verdict
    assert verdict.files == files


def weights(size: int) -> bytes:
    return hashlib.shake_128(str(size).encode()).digest(size)


def downloads_of(hub: Hub, name: str) -> list[Any]:
    return [seen for seen in hub.requests("/resolve/") if seen.path.endswith(name)]


async def test_a_model_is_served_whole_and_under_its_name(staging: Staged) -> None:
    verdict = await staging.run()
    assert verdict.result is Result.VERIFIED, verdict
    assert staging.files() == staging.wanted()
    assert not (staging.volume / HIDDEN).exists()
    (weighed,) = verdict.verified
    assert weighed.digest == download(staging.repository).digest
    assert weighed.files == len(staging.wanted())
    assert weighed.bytes == sum(map(len, staging.wanted().values())) == sum(staging.told)


async def test_what_no_server_loads_is_not_downloaded(staging: Staged) -> None:
    await staging.run()
    assert "README.md" not in staging.files()
    assert not downloads_of(staging.hub, "README.md")


async def test_files_can_be_read_by_the_servers_user(staging: Staged) -> None:
    await staging.run()
    for path in [staging.served, *staging.served.rglob("*")]:
        assert path.stat().st_mode & (0o555 if path.is_dir() else 0o444)
        assert not path.stat().st_mode & 0o022


async def test_the_commit_is_asked_for_and_nothing_else(staging: Staged) -> None:
    await staging.run()
    commit = staging.repository.commit
    assert all(commit in seen.path for seen in staging.hub.seen)


async def test_an_empty_file_is_a_file(staging: Staged) -> None:
    staging.repository.files |= {"__init__.py": b"", "empty.safetensors": b""}
    staging.repository.lfs.add("empty.safetensors")
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files()["__init__.py"] == b""
    assert staging.files()["empty.safetensors"] == b""


async def test_files_in_folders_lie_in_folders(staging: Staged) -> None:
    staging.repository.files |= {"onnx/a/b.json": b"{}", "onnx/a/c.bin": weights(3_000_000)}
    staging.repository.lfs.add("onnx/a/c.bin")
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files() == staging.wanted()


async def test_several_models_each_have_their_place(staging: Staged) -> None:
    adapter = staging.hub.add(model("acme/adapter", {"adapter_config.json": b"{}"}))
    verdict = await staging.run(
        download(staging.repository), download(adapter, folder="1/acme/adapter")
    )
    assert verdict.result is Result.VERIFIED
    assert len(verdict.verified) == 2
    assert (staging.volume / "1/acme/adapter/adapter_config.json").read_bytes() == b"{}"
    assert not (staging.served / "adapter_config.json").exists()


async def test_the_first_model_that_is_refused_ends_it(staging: Staged) -> None:
    bad = download(staging.repository, folder="0/bad", digest=f"sha256:{'0' * 64}")
    verdict = await staging.run(bad, download(staging.repository, folder="1/good"))
    assert verdict.result is Result.REFUSED
    assert verdict.reference == bad.reference
    assert not (staging.volume / "1").exists()
    assert len(verdict.verified) == 0


async def test_weights_come_from_another_host_that_is_not_given_the_token(
    staging: Staged, cdn: Hub
) -> None:
    staging.hub.cdn = f"http://cdn.test:{cdn.port}"
    staging.hub.token, staging.repository.gated = "hf_secret", True
    cdn.add(staging.repository)
    cdn.token = "nobody is asked for it there"
    verdict = await staging.run(hub=hub_of(staging.hub, cdn), token=" hf_secret\n")
    assert verdict.result is Result.VERIFIED, verdict
    assert staging.files() == staging.wanted()
    assert {seen.headers.get("Authorization") for seen in staging.hub.seen} == {"Bearer hf_secret"}
    assert cdn.seen
    assert not [seen for seen in cdn.seen if "Authorization" in seen.headers]


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_gated_model_without_its_token_fails_and_says_so(
    staging: Staged, token: str
) -> None:
    staging.hub.token, staging.repository.gated = "right", True
    verdict = await staging.refused(token=token)
    assert (verdict.result, verdict.reason) == (Result.FAILED, "Unauthorized")
    assert "wrong" not in verdict.message


async def test_a_token_that_cannot_be_sent_fails_and_is_not_shown(staging: Staged) -> None:
    verdict = await staging.refused(token="secret\r\nHost: evil.test")
    assert verdict.result is Result.FAILED
    assert "HF_TOKEN" in verdict.message
    assert "secret" not in verdict.message
    assert not staging.hub.seen


async def test_a_commit_that_is_not_there_fails(staging: Staged) -> None:
    gone = download(staging.repository, reference=f"hf://acme/model@{'0' * 40}")
    verdict = await staging.refused(gone)
    assert (verdict.result, verdict.reason) == (Result.FAILED, "NotFound")


# Before any byte of a file is fetched ------------------------------------------------------------


async def test_another_file_in_the_listing_is_refused_before_any_is_fetched(
    staging: Staged,
) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    staging.repository.files[WEIGHTS] = weights(100)
    verdict = await staging.refused()
    assert_refused(verdict, VerificationReason.MISMATCH, WEIGHTS)
    assert WEIGHTS in verdict.message
    assert not staging.hub.requests("/resolve/")


async def test_another_small_file_is_refused_before_any_weights_are_fetched(
    staging: Staged,
) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    staging.repository.files["config.json"] = b'{"auto_map": {"AutoModel": "evil.Model"}}'
    verdict = await staging.refused()
    assert_refused(verdict, VerificationReason.MISMATCH, "config.json")
    assert not downloads_of(staging.hub, ".safetensors")


@pytest.mark.parametrize("name", ["evil.py", "model-00003-of-00002.safetensors"])
async def test_a_file_too_many_is_refused(staging: Staged, name: str) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    staging.repository.files[name] = b"import os"
    if name.endswith(".safetensors"):
        staging.repository.lfs.add(name)
    assert_refused(await staging.refused(), VerificationReason.MISMATCH, name)
    assert not downloads_of(staging.hub, WEIGHTS)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
async def test_a_file_too_few_is_refused(staging: Staged, name: str) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    del staging.repository.files[name]
    assert_refused(await staging.refused(), VerificationReason.MISSING_FILES)
    assert not downloads_of(staging.hub, OTHER)


async def test_a_model_without_fingerprints_is_compared_as_a_whole(staging: Staged) -> None:
    right = download(staging.repository, fingerprints="")
    wrong = download(staging.repository, fingerprints="", digest=f"sha256:{'0' * 64}")
    assert_refused(await staging.refused(wrong), VerificationReason.MISMATCH)
    assert not downloads_of(staging.hub, ".safetensors")
    assert (await staging.run(right)).result is Result.VERIFIED


async def test_a_repository_without_a_file_to_load_is_refused(staging: Staged) -> None:
    staging.repository.files = {"README.md": b"soon"}
    verdict = await staging.refused()
    assert_refused(verdict, VerificationReason.MISSING_FILES)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../evil", "a//b", "./a", "a\\b", "a\nb", "a/\x00"]
)
async def test_names_that_lead_elsewhere_are_refused(staging: Staged, name: str) -> None:
    staging.repository.files[name] = b"evil"
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "HostileAnswer")
    assert not staging.hub.requests("/resolve/")


async def test_a_name_that_is_a_file_and_a_folder_is_refused(staging: Staged) -> None:
    staging.repository.files |= {"a": b"1", "a/b/c": b"2"}
    assert_refused(await staging.refused(), VerificationReason.UNSAFE_NAME, "a")
    assert not staging.hub.requests("/resolve/")


async def test_a_name_that_no_disk_takes_fails(staging: Staged) -> None:
    staging.repository.files["a" * 300] = b"1"
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "VolumeUnusable")
    assert "name too long" in verdict.message


async def test_large_files_of_which_no_digest_was_ever_known_are_refused(staging: Staged) -> None:
    staging.repository.files["big.py"] = bytes(13 * 1024 * 1024)
    assert_refused(await staging.refused(), VerificationReason.TOO_LARGE)
    assert not staging.hub.requests("/resolve/")


async def test_a_model_that_the_volume_has_no_room_for_fails_before_it_is_fetched(
    staging: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume.Place, "room", lambda _place: 300)
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "VolumeFull")
    assert "room for 0.00 GB" in verdict.message
    assert not staging.hub.requests("/resolve/")


# While it comes -----------------------------------------------------------------------------------


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


# What lies there already --------------------------------------------------------------------------


async def test_a_model_that_is_whole_needs_no_hub(staging: Staged) -> None:
    await staging.run()
    staging.hub.seen.clear()
    verdict = await staging.run()
    assert verdict.result is Result.VERIFIED
    assert verdict.verified[0].files == len(staging.wanted())
    assert staging.files() == staging.wanted()
    assert not staging.hub.seen


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
async def test_a_served_file_that_was_changed_is_fetched_again(staging: Staged, name: str) -> None:
    await staging.run()
    path = staging.served / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    staging.hub.seen.clear()
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files() == staging.wanted()
    assert [seen.path.rpartition("/")[2] for seen in staging.hub.requests("/resolve/")] == [name]


async def test_a_served_file_that_was_changed_is_not_served_while_the_hub_is_down(
    staging: Staged,
) -> None:
    await staging.run()
    (staging.served / WEIGHTS).write_bytes(b"evil")

    async def down(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503)

    staging.hub.misbehave = down
    await staging.refused()


def _precious() -> bytes:
    return PRECIOUS.read_bytes()


def _link(place: Path) -> None:
    place.mkdir(parents=True)
    (place / WEIGHTS).symlink_to(PRECIOUS)


def _folder(place: Path) -> None:
    (place / WEIGHTS).mkdir(parents=True)
    (place / WEIGHTS / "x").write_bytes(b"")


def _stranger(place: Path) -> None:
    (place / "sub").mkdir(parents=True)
    (place / "sub" / "evil.py").write_bytes(b"import os")


def _longer(place: Path) -> None:
    place.mkdir(parents=True)
    (place / WEIGHTS).write_bytes(bytes(10_000))


def _file(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_bytes(b"")


def _elsewhere(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.symlink_to("/")


@pytest.mark.parametrize("where", ["served", "hidden"])
@pytest.mark.parametrize("leave", [_link, _folder, _stranger, _longer, _file, _elsewhere])
async def test_what_does_not_belong_there_is_gone_in_the_end(
    staging: Staged, where: str, leave: Any
) -> None:
    leave(getattr(staging, where))
    before = _precious()
    verdict = await staging.run()
    assert verdict.result is Result.VERIFIED, verdict
    assert staging.files() == staging.wanted()
    assert _precious() == before
    assert sorted(path.name for path in staging.volume.iterdir()) == [FOLDER.partition("/")[0]]
