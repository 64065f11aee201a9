"""What runs in the verifying container, as a process of its own, on weights of a real size."""

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
from typing import Any

import pytest

from weighmaster.cli import verdicts
from weighmaster.cli.verdicts import REPORT_EVERY, Reporter
from weighmaster.core.mounted import (
    COMMAND,
    VARIABLE,
    Expectation,
    Result,
    Verdict,
    decode_verdict,
    encode_expectations,
)
from weighmaster.core.verify.loadable import fingerprints, loadable_digest

pytestmark = pytest.mark.timeout(300)  # two gigabytes take their time on a busy machine

GIGABYTES = 2
SHARDS = 4
PROGRAM = Path(sys.executable).parent / COMMAND[0]
REFERENCE = "hf://acme/large@0123456789abcdef0123456789abcdef01234567"


class Container:
    """The verifying container, but for its walls."""

    def __init__(self, folder: Path) -> None:
        self.mounts = folder / "weights"
        self.model = self.mounts / "0"
        self.verdict_file = folder / "termination-log"
        self.expectation = ""

    def start(self, expectations: str | None = None) -> "subprocess.Popen[str]":
        """Start its command with nothing but what its spec gives it, and no network."""
        self.verdict_file.unlink(missing_ok=True)
        environment = {VARIABLE: self.expectation if expectations is None else expectations}
        where = ["--mounts", str(self.mounts), "--termination-log", str(self.verdict_file)]
        return subprocess.Popen(
            [str(PROGRAM), *COMMAND[1:], *where],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, expectations: str | None = None) -> tuple[int, list[dict[str, Any]]]:
        """Its exit code and what it logs."""
        with self.start(expectations) as process:
            out, err = process.communicate(timeout=120)
        assert err == ""
        return process.returncode, [json.loads(line) for line in out.splitlines()]

    def verdict(self) -> Verdict:
        found = decode_verdict(self.verdict_file.read_text())
        assert found is not None
        return found


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A model of 2 GB of random bytes on a volume; nothing sparse about it."""
    folder = tmp_path_factory.mktemp("container")
    made = Container(folder)
    made.model.mkdir(parents=True)
    block = os.urandom(1 << 20)
    digests = {}
    blocks = GIGABYTES * 1000**3 // SHARDS // len(block) + 1
    for shard in range(SHARDS):
        name = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        hasher = hashlib.sha256()
        with (made.model / name).open("wb") as file:
            for number in range(blocks):
                stamped = number.to_bytes(8) + shard.to_bytes(8) + block[16:]
                file.write(stamped)
                hasher.update(stamped)
        digests[name] = hasher.hexdigest()
    (made.model / "config.json").write_bytes(b"{}")
    digests["config.json"] = hashlib.sha256(b"{}").hexdigest()
    expectation = Expectation(
        reference=REFERENCE,
        mount="0",
        digest=loadable_digest(digests),
        fingerprints=fingerprints(digests) or "",
    )
    made.expectation = encode_expectations((expectation,))
    yield made
    shutil.rmtree(folder)


def _peak(process: "subprocess.Popen[str]") -> int:
    """The most memory that a process has had, in bytes, by the time it ends."""
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        for line in status.splitlines():
            if line.startswith("VmHWM"):
                peak = int(line.split()[1]) * 1024
        time.sleep(0.05)
    return peak


def test_two_gigabytes_are_verified_in_flat_memory(container: Container) -> None:
    with container.start() as process:
        peak = _peak(process)
        out, _ = process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    verdict = container.verdict()
    (weighed,) = verdict.verified
    assert verdict.result is Result.VERIFIED
    assert weighed.files == SHARDS + 1
    assert weighed.bytes > GIGABYTES * 1000**3
    assert lines[-1]["event"] == "verified"
    assert 0 < peak < 100 * 1024**2  # interpreter, libraries and a buffer for each thread


def test_one_flipped_bit_in_two_gigabytes_is_found_and_its_file_is_named(
    container: Container,
) -> None:
    name = f"model-00003-of-{SHARDS:05}.safetensors"
    with (container.model / name).open("r+b") as file:
        file.seek(-(1 << 20), os.SEEK_END)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    try:
        code, lines = container.run()
    finally:
        with (container.model / name).open("r+b") as file:
            file.seek(-(1 << 20), os.SEEK_END)
            file.write(bytes([byte]))
    verdict = container.verdict()
    assert code == 1
    assert (verdict.result, verdict.reason) == (Result.REFUSED, "Mismatch")
    assert verdict.files == (name,)
    assert name in verdict.message
    assert lines[-1]["level"] == "error"
    assert name in lines[-1]["message"]


def test_a_container_that_is_killed_half_way_leaves_nothing_and_starts_again(
    container: Container,
) -> None:
    before = sorted(path.name for path in container.model.iterdir())
    with container.start() as process:
        read = Path(f"/proc/{process.pid}/io")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            (count,) = (
                int(line.split()[1])
                for line in read.read_text().splitlines()
                if line.startswith("rchar")
            )
            if count > 500 * 1000**2:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not container.verdict_file.exists()
    assert sorted(path.name for path in container.model.iterdir()) == before
    assert container.run()[0] == 0


def test_a_container_that_is_told_to_end_ends_at_once(container: Container) -> None:
    with container.start() as process:
        status = Path(f"/proc/{process.pid}/status")
        while not _catches(status, signal.SIGTERM):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM
        process.communicate()
    assert not container.verdict_file.exists()


def _catches(status: Path, number: int) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt)."""
    (mask,) = (line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json"])
def test_expectations_that_cannot_be_used_are_no_pass(container: Container, text: str) -> None:
    code, _ = container.run(text)
    verdict = container.verdict()
    assert (code, verdict.result, verdict.reason) == (2, Result.FAILED, "Malformed")


def test_progress_is_told_at_a_humane_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    class Log:
        @staticmethod
        def info(event: str, **fields: Any) -> None:
            told.append({"event": event, **fields})

    monkeypatch.setattr(verdicts, "_log", Log)
    now = 0.0
    reporter = Reporter("verifying", lambda: now)
    total = 100 * 10**9
    for _ in range(1000):
        now += 0.05
        reporter(total // 1000, total)
    assert 50 / REPORT_EVERY - 1 <= len(told) <= 50 / REPORT_EVERY
    assert told[0]["of"] == 100
    assert 1.9 < told[0]["gigabytes_per_second"] < 2.1
    assert 38 < told[0]["seconds_left"] < 41
    before = len(told)
    reporter(1, 10)  # the next place begins anew
    assert len(told) == before
