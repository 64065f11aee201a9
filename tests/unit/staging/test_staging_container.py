"""The staging container, but for its walls: memory, being killed, and what it says and leaves.

It is run as a process, against a hub that serves large files from a disk.
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.hub.repositories import Repository, Stored
from tests.hub.server import Hub, Seen
from weighmaster.core import staged
from weighmaster.core.mounted import Result, Verdict, decode_verdict
from weighmaster.core.staged import COMMAND, VARIABLE, Download, Downloads, encode_downloads
from weighmaster.core.verify.loadable import fingerprints, loadable_digest
from weighmaster.staging.volume import HIDDEN

pytestmark = pytest.mark.timeout(300)  # a gigabyte takes its time on a busy machine

MEGABYTES = 1000
SHARDS = 4
FOLDER = "0/acme/large"
PROGRAM = Path(sys.executable).parent / COMMAND[0]


class Container:
    """The staging container of one pod, and the hub that it is told of."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.verdict_file = folder / "termination-log"
        self.repository = Repository("acme/large", {"config.json": b"{}"})
        self.hub = Hub({self.repository.name: self.repository})
        self._fill(folder / "hub")

    def _fill(self, folder: Path) -> None:
        """Random bytes, nothing sparse about them."""
        folder.mkdir()
        block = os.urandom(1000**2)
        for shard in range(SHARDS):
            name = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
            hasher = hashlib.sha256()
            with (folder / name).open("wb") as file:
                for number in range(MEGABYTES // SHARDS):
                    stamped = number.to_bytes(8, "big") + shard.to_bytes(8, "big") + block[16:]
                    file.write(stamped)
                    hasher.update(stamped)
            self.repository.stored[name] = Stored(folder / name, hasher.hexdigest())

    @property
    def served(self) -> Path:
        return self.models / FOLDER

    @property
    def hidden(self) -> Path:
        return self.models / HIDDEN / FOLDER

    def told(self) -> str:
        digests = {name: stored.sha256 for name, stored in self.repository.stored.items()}
        digests["config.json"] = hashlib.sha256(b"{}").hexdigest()
        download = Download(
            reference=f"hf://{self.repository.name}@{self.repository.commit}",
            folder=FOLDER,
            digest=loadable_digest(digests),
            fingerprints=fingerprints(digests) or "",
        )
        hosts = (self.hub.address,)
        hub = staged.Hub(
            endpoints={"hf": self.hub.url}, internal_hosts=hosts, plain_http_hosts=hosts
        )
        return encode_downloads(Downloads(models=(download,), hub=hub))

    def start(self, told: str | None = None) -> "subprocess.Popen[str]":
        """Start its command with nothing but what its spec gives it."""
        self.verdict_file.unlink(missing_ok=True)
        self.hub.seen.clear()
        where = ["--models", str(self.models), "--termination-log", str(self.verdict_file)]
        return subprocess.Popen(
            [str(PROGRAM), *COMMAND[1:], *where],
            env={VARIABLE: self.told() if told is None else told},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, told: str | None = None) -> tuple[int, list[dict[str, Any]]]:
        """Its exit code and what it logs."""
        with self.start(told) as process:
            out, err = process.communicate(timeout=200)
        assert err == ""
        return process.returncode, [json.loads(line) for line in out.splitlines()]

    def verdict(self) -> Verdict:
        found = decode_verdict(self.verdict_file.read_text())
        assert found is not None
        return found

    def kept(self) -> dict[str, int]:
        """Bytes by file that are there but not served."""
        return {path.name: path.stat().st_size for path in self.hidden.rglob("*.safetensors")}

    def kill_half_way(self) -> dict[str, int]:
        """Start it, and end it when half of the bytes have come; what it has left."""
        with self.start() as process:
            deadline = time.monotonic() + 100
            while time.monotonic() < deadline and process.poll() is None:
                assert not self.served.exists(), "something is served that is not whole"
                if sum(self.kept().values()) > MEGABYTES * 1000**2 / 2:
                    break
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        return self.kept()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A container and its hub, which serves from another thread."""
    folder = tmp_path_factory.mktemp("staging")
    made = Container(folder)
    ready, done = Event(), Event()

    async def serve() -> None:
        async with made.hub:
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield made
    done.set()
    thread.join()
    shutil.rmtree(folder)


@pytest.fixture
def container(running: Container) -> Container:
    """The same, with an empty volume."""
    shutil.rmtree(running.models, ignore_errors=True)
    running.models.mkdir()
    return running


def asked_for(seen: list[Seen], sizes: dict[str, int]) -> int:
    """Bytes of weights that were asked for by range."""
    total = 0
    for each in seen:
        name = each.path.rpartition("/")[2]
        if name in sizes:
            total += sizes[name] - int(each.headers["Range"][6:].partition("-")[0])
    return total


def assert_served(container: Container) -> None:
    for name, stored in container.repository.stored.items():
        with (container.served / name).open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == stored.sha256
    assert len(list(container.served.iterdir())) == SHARDS + 1
    assert not (container.models / HIDDEN).exists()


def test_a_gigabyte_is_staged_in_flat_memory(container: Container) -> None:
    peak = 0
    with container.start() as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = [line for line in status.splitlines() if line.startswith("VmHWM")]
            peak = max([peak, *(int(line.split()[1]) * 1024 for line in found)])
            time.sleep(0.02)
        out, _ = process.communicate()
    assert process.returncode == 0, out
    verdict = container.verdict()
    assert verdict.result is Result.VERIFIED
    assert verdict.verified[0].bytes == MEGABYTES * 1000**2 + len(b"{}")
    assert_served(container)
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["event"] == "verified"
    assert 0 < peak < 110 * 1024**2  # interpreter, libraries and some buffers for each file


def test_a_container_that_is_killed_goes_on_where_it_was(container: Container) -> None:
    kept = container.kill_half_way()
    assert not container.verdict_file.exists()
    assert not container.served.exists()
    code, _ = container.run()
    assert code == 0
    assert_served(container)
    sizes = dict.fromkeys(container.repository.stored, MEGABYTES * 1000**2 // SHARDS)
    assert asked_for(container.hub.seen, sizes) == sum(sizes.values()) - sum(kept.values())


def test_a_container_that_is_told_to_end_ends_at_once_and_can_be_continued(
    container: Container,
) -> None:
    with container.start() as process:
        while not container.kept():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM
        process.communicate()
    assert not container.served.exists()
    assert container.run()[0] == 0
    assert_served(container)


def test_servers_of_any_user_can_read_what_is_there(container: Container) -> None:
    before = os.umask(0o077)
    try:
        assert container.run()[0] == 0
    finally:
        os.umask(before)
    assert all(path.stat().st_mode & 0o004 for path in container.models.rglob("*"))
    assert all(path.stat().st_mode & 0o005 == 0o005 for path in container.served.parents[:2])


def test_what_a_killed_container_has_left_is_not_trusted(container: Container) -> None:
    kept = container.kill_half_way()
    name = max(kept, key=lambda name: kept[name])
    with (container.hidden / name).open("r+b") as file:
        (byte,) = file.read(1)
        file.seek(0)
        file.write(bytes([byte ^ 1]))
    code, _ = container.run()
    assert code == 0
    assert_served(container)


def test_a_model_that_is_whole_is_verified_again_without_a_hub(container: Container) -> None:
    assert container.run()[0] == 0
    code, lines = container.run()
    assert code == 0
    assert not container.hub.seen
    assert lines[-1]["files"] == SHARDS + 1


def test_one_flipped_bit_in_a_gigabyte_is_found_and_its_file_is_named(
    container: Container,
) -> None:
    told = container.told()
    name = f"model-00003-of-{SHARDS:05}.safetensors"
    path = container.repository.stored[name].path
    with path.open("r+b") as file:
        file.seek(-(1 << 20), os.SEEK_END)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    try:
        code, lines = container.run(told)
    finally:
        with path.open("r+b") as file:
            file.seek(-(1 << 20), os.SEEK_END)
            file.write(bytes([byte]))
    verdict = container.verdict()
    assert code == 1
    assert (verdict.result, verdict.reason) == (Result.REFUSED, "Mismatch")
    assert verdict.files == (name,)
    assert lines[-1]["level"] == "error"
    assert name in lines[-1]["message"]
    assert not container.served.exists()
    assert name not in container.kept()


@pytest.mark.parametrize("told", ["", "{}", "[]", '{"models": []}', "not json"])
def test_downloads_that_cannot_be_used_are_no_pass(container: Container, told: str) -> None:
    code, _ = container.run(told)
    verdict = container.verdict()
    assert (code, verdict.result, verdict.reason) == (2, Result.FAILED, "Malformed")
    assert not list(container.models.iterdir())
