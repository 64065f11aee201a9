"""Trees on disk: walking what may be hostile, and hashing it."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.signing.bundles import MODEL
from tests.signing.models import files_of, write_model
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.errors import VerificationError
from weighmaster.verifying import hashing, tree
from weighmaster.verifying.hashing import (
    BUFFER_BYTES,
    Hashing,
    algorithms,
    hash_files,
    processors,
)
from weighmaster.verifying.tree import Links, Stamp, TreeFile, walk


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def reason(action: Callable[[], object]) -> R:
    with pytest.raises(VerificationError) as caught:
        action()
    return R(caught.value.reason)


def test_a_tree_is_listed_and_hashed_by_name(model: Path) -> None:
    files = walk(model)
    assert [file.name for file in files] == sorted(MODEL)
    assert hash_files(files) == files_of()


def test_a_single_file_is_a_tree_of_its_name(model: Path) -> None:
    assert hash_files(walk(model / "config.json")) == files_of(
        {"config.json": MODEL["config.json"]}
    )


def test_an_empty_tree_has_no_files(tmp_path: Path) -> None:
    assert hash_files(walk(tmp_path)) == {}


@pytest.mark.parametrize("size", [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 1])
@pytest.mark.parametrize("algorithm", sorted(algorithms()))
def test_files_of_every_size_around_the_buffer_are_hashed_right(
    tmp_path: Path, size: int, algorithm: str
) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    (file,) = hash_files(walk(tmp_path), algorithm).values()
    hasher = hashing._new(algorithm)
    hasher.update(memoryview(content))
    assert file.digest == hasher.hexdigest()
    if algorithm in hashlib.algorithms_available:
        assert file.digest == hashlib.new(algorithm, content).hexdigest()


def test_many_files_on_many_threads_are_hashed_like_one_by_one(tmp_path: Path) -> None:
    for index in range(200):
        (tmp_path / f"{index:03}").write_bytes(os.urandom(index * 50))
    files = walk(tmp_path)
    assert hash_files(files, hashing=Hashing(8)) == hash_files(files, hashing=Hashing(1))


def test_progress_counts_every_byte(model: Path) -> None:
    counts: list[int] = []
    totals: set[int] = set()

    def note(count: int, total: int) -> None:
        counts.append(count)
        totals.add(total)

    hash_files(walk(model), hashing=Hashing(progress=note))
    assert totals == {sum(map(len, MODEL.values()))}
    assert sum(counts) == sum(map(len, MODEL.values()))


def test_a_link_inside_the_tree_is_followed_and_known_for_one(model: Path) -> None:
    (model / "link").symlink_to("config.json")
    files = hash_files(walk(model))
    assert files["link"].symlink
    assert files["link"].digest == files["config.json"].digest


def test_a_link_that_leaves_the_tree_is_refused_unless_links_may_lead_anywhere(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "blob").write_bytes(b"blob")
    for target in ("../blob", str(tmp_path / "blob")):
        (model / "link").symlink_to(target)
        assert reason(lambda: walk(model)) is R.UNSAFE_TREE
        assert hash_files(walk(model, Links.ANYWHERE))["link"].size == 4
        (model / "link").unlink()


@pytest.mark.parametrize("target", [".", "tokenizer", "..", "nowhere", "link", "/dev/null"])
@pytest.mark.parametrize("links", Links)
def test_a_link_to_a_folder_a_device_itself_or_nowhere_is_refused(
    model: Path, target: str, links: Links
) -> None:
    (model / "link").symlink_to(target)
    assert reason(lambda: walk(model, links)) is R.UNSAFE_TREE


def test_pipes_and_sockets_are_refused_and_not_waited_for(model: Path) -> None:
    os.mkfifo(model / "pipe")
    assert reason(lambda: walk(model)) is R.UNSAFE_TREE
    (model / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(model / "socket"))
        assert reason(lambda: walk(model)) is R.UNSAFE_TREE


def test_a_pipe_put_in_place_of_a_file_after_the_walk_is_not_waited_for(model: Path) -> None:
    files = walk(model)
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    assert reason(lambda: hash_files(files)) is R.CHANGED_WHILE_READING


def test_a_pipe_put_in_place_of_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    files = walk(tmp_path)
    (tmp_path / "empty").unlink()
    os.mkfifo(tmp_path / "empty")
    assert reason(lambda: hash_files(files)) is R.CHANGED_WHILE_READING


def test_a_link_put_in_place_of_a_file_after_the_walk_is_not_followed(model: Path) -> None:
    files = walk(model)
    (model / "other").write_bytes(MODEL["config.json"])
    (model / "config.json").unlink()
    (model / "config.json").symlink_to("other")
    assert reason(lambda: hash_files(files)) is R.UNREADABLE


def test_a_file_that_grew_or_went_away_after_the_walk_is_refused(model: Path) -> None:
    files = walk(model)
    with (model / "config.json").open("ab") as file:
        file.write(b" ")
    assert reason(lambda: hash_files(files)) is R.CHANGED_WHILE_READING
    (model / "config.json").unlink()
    assert reason(lambda: hash_files(files)) is R.UNREADABLE


def test_a_file_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(4 * BUFFER_BYTES))

    def disturb(_count: int, _total: int) -> None:
        with path.open("r+b") as file:
            file.write(b"x")

    assert (
        reason(lambda: hash_files(walk(tmp_path), hashing=Hashing(progress=disturb)))
        is R.CHANGED_WHILE_READING
    )


def test_the_first_failure_ends_all_threads(tmp_path: Path) -> None:
    for index in range(50):
        (tmp_path / f"{index}").write_bytes(bytes(BUFFER_BYTES))
    files = [
        *walk(tmp_path),
        TreeFile("gone", tmp_path / "gone", Stamp(10**9, 0, 0), symlink=False),
    ]
    before = threading.active_count()
    assert reason(lambda: hash_files(files, hashing=Hashing(4))) is R.UNREADABLE
    for thread in threading.enumerate():
        if thread.name.startswith("hash"):
            thread.join(5)
    assert threading.active_count() == before


def test_a_failure_ends_the_reading_of_a_large_file_too(tmp_path: Path) -> None:
    size = 64 * BUFFER_BYTES
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    gone = TreeFile("gone", tmp_path / "gone", Stamp(size - 1, 0, 0), symlink=False)
    counts: list[int] = []

    def slow(count: int, _total: int) -> None:
        counts.append(count)
        time.sleep(0.01)

    hashing = Hashing(2, slow)
    files = [*walk(tmp_path), gone]
    assert reason(lambda: hash_files(files, hashing=hashing)) is R.UNREADABLE
    assert sum(counts) < size


def test_a_name_that_is_not_utf8_is_refused(model: Path) -> None:
    (Path(os.fsdecode(os.fsencode(model) + b"/\xff"))).write_bytes(b"")
    assert reason(lambda: walk(model)) is R.UNSAFE_TREE


def test_a_tree_with_too_many_entries_or_too_deep_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAX_FILES", 3)
    assert reason(lambda: walk(model)) is R.TOO_LARGE
    monkeypatch.setattr(tree, "MAX_FILES", 1000)
    monkeypatch.setattr(tree, "MAX_DEPTH", 3)
    (model / "a/b/c/d/e").mkdir(parents=True)
    assert reason(lambda: walk(model)) is R.TOO_LARGE


def test_a_tree_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    assert reason(lambda: walk(tmp_path / "none")) is R.UNREADABLE


@pytest.mark.parametrize(
    ("version", "text", "expected"),
    [(2, "150000 100000", 2), (2, "100000 100000", 1), (2, "max 100000", None), (2, "", None)],
)
def test_threads_are_as_many_as_the_cgroup_has_processors(
    monkeypatch: pytest.MonkeyPatch, version: int, text: str, expected: int | None
) -> None:
    def read(path: Path) -> str:
        if path.name == "cpu.max":
            return text
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", read)
    assert hashing._cgroup_quota() == expected
    assert 1 <= processors() <= len(os.sched_getaffinity(0))
