"""Verification of mounted weights: what lies on a volume beside plain files, and what moves."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.signing.models import write_model
from tests.unit.verify.volumes import SHARDS, WHOLE, Volume, expected
from weighmaster.core.mounted import Result
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.verifying.hashing import Hashing

# Layouts.


def test_a_snapshot_in_a_hubs_cache_is_verified_through_its_links(volume: Volume) -> None:
    repository = volume.top / "hub/models--acme--m"
    blobs, snapshot = repository / "blobs", repository / "snapshots/0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name, content in SHARDS.items():
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{digest}")
    cached = expected(SHARDS, path="hub/models--acme--m/snapshots/0123")
    assert volume.verify(cached).result is Result.VERIFIED
    victim = blobs / hashlib.sha256(SHARDS["config.json"]).hexdigest()
    victim.write_bytes(b"[]")
    verdict = volume.verify(cached)
    assert (verdict.reason, verdict.files) == (R.MISMATCH, ("config.json",))


def test_a_link_to_the_models_folder_is_followed_inside_the_volume(volume: Volume) -> None:
    (volume.top / "current").symlink_to("llama")
    (volume.top / "deep").mkdir()
    (volume.top / "deep/current").symlink_to("../current")
    assert volume.verify(expected(SHARDS, path="current")).result is Result.VERIFIED
    assert volume.verify(expected(SHARDS, path="deep/current")).result is Result.VERIFIED


@pytest.mark.parametrize(
    "target",
    [
        "../../0/llama/config.json",  # out and in again: elsewhere for the server
        "../../../etc/hostname",
        "/etc/hostname",
        "absolute",
        "../llama/loop",
        "tokenizer",
    ],
)
def test_a_link_that_the_server_would_follow_elsewhere_is_refused(
    volume: Volume, target: str
) -> None:
    (volume.model / "tokenizer").mkdir()
    (volume.model / "loop").symlink_to(
        volume.model / "config.json" if target == "absolute" else target
    )
    assert volume.reason(WHOLE) is R.UNSAFE_TREE


def test_a_folder_that_is_a_link_out_of_the_volume_is_refused(
    volume: Volume, tmp_path: Path
) -> None:
    write_model(tmp_path / "outside", SHARDS)
    (volume.top / "out").symlink_to("../../outside")
    (volume.top / "absolute").symlink_to(volume.model)
    assert volume.reason(expected(SHARDS, path="out")) is R.UNSAFE_TREE
    assert volume.reason(expected(SHARDS, path="absolute")) is R.UNSAFE_TREE


def test_a_link_in_the_middle_of_a_path_counts_like_one_at_its_end(
    volume: Volume, tmp_path: Path
) -> None:
    write_model(tmp_path / "outside/m", SHARDS)
    (volume.top / "out").symlink_to(tmp_path / "outside")
    (volume.model / "linked.json").symlink_to("../out/m/config.json")
    assert volume.reason(expected(SHARDS, path="out/m")) is R.UNSAFE_TREE
    assert volume.reason(WHOLE) is R.UNSAFE_TREE


def test_a_link_to_where_the_server_has_another_mount_is_refused(volume: Volume) -> None:
    (volume.top / "blobs").mkdir()
    (volume.model / "config.json").rename(volume.top / "blobs/config")
    (volume.model / "config.json").symlink_to("../blobs/config")
    assert volume.verify(WHOLE).result is Result.VERIFIED
    for hidden in ("blobs", "blobs/config"):
        assert volume.reason(expected(SHARDS, path="llama", hidden=(hidden,))) is R.UNSAFE_TREE
    other = expected(SHARDS, path="llama", hidden=("blob", "blobs/conf", "llama2"))
    assert volume.verify(other).result is Result.VERIFIED


def test_a_path_with_dots_stays_inside_the_volume(volume: Volume) -> None:
    assert volume.reason(expected(SHARDS, path="../0/llama")) is R.UNSAFE_TREE
    assert volume.verify(expected(SHARDS, path="./llama//")).result is Result.VERIFIED


def test_a_model_at_the_top_of_a_volume_may_lie_beside_lost_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(tmp_path)
    write_model(volume.top, SHARDS)
    found = volume.top / "lost+found"
    found.mkdir()
    top = expected(SHARDS)
    assert volume.verify(top).result is Result.VERIFIED
    (found / "#12345").write_bytes(b"an orphan")
    assert volume.reason(top) is R.MISMATCH
    # Nobody but root may look into it; we are not root where this runs.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != found)
    assert volume.verify(top).result is Result.VERIFIED
    (volume.top / "sub").mkdir()
    found.rename(volume.top / "sub/lost+found")
    assert volume.reason(top) is R.MISMATCH


# What is no model.


def test_a_pipe_a_socket_or_a_device_is_refused(volume: Volume) -> None:
    os.mkfifo(volume.model / "pipe")
    assert volume.reason(WHOLE) is R.UNSAFE_TREE
    (volume.model / "pipe").unlink()
    if os.geteuid() == 0:
        os.mknod(volume.model / "null", 0o020666, os.makedev(1, 3))
        assert volume.reason(WHOLE) is R.UNSAFE_TREE


def test_a_file_that_may_not_be_read_is_refused(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: Path, flags: int) -> int:
        if Path(path).name == "config.json":
            raise PermissionError
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    verdict = volume.verify(WHOLE)
    assert (verdict.reason, verdict.files) == (R.UNREADABLE, ("config.json",))


def _disturb(action: Callable[[], object]) -> Hashing:
    done: list[object] = []

    def progress(_count: int, _total: int) -> None:
        if not done:
            done.append(action())

    return Hashing(1, progress)


def _rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize(
    "action",
    [
        lambda model: _rewrite(model / "config.json"),
        lambda model: _rewrite(model / "model-00001-of-00002.safetensors"),
        lambda model: os.utime(model / "config.json", ns=(0, 0)),
        lambda model: (model / "evil.py").write_bytes(b"evil"),
        lambda model: (model / "NOTES.md").write_bytes(b"new"),
        lambda model: (model / "README.md").unlink(),
    ],
)
def test_whatever_changes_while_it_is_read_is_noticed(
    volume: Volume, action: Callable[[Path], object]
) -> None:
    disturbed = _disturb(lambda: action(volume.model))
    assert volume.reason(WHOLE, hashing=disturbed) is R.CHANGED_WHILE_READING


def test_a_file_changed_after_its_turn_and_before_the_end_is_noticed(volume: Volume) -> None:
    seen: list[int] = []

    def progress(_count: int, _total: int) -> None:
        seen.append(1)
        if len(seen) == 3:  # the last of three files; the first has been read long since
            (volume.model / "model-00001-of-00002.safetensors").write_bytes(b"evil" * 75)

    assert volume.reason(WHOLE, hashing=Hashing(1, progress)) is R.CHANGED_WHILE_READING
