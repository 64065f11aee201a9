"""Throughput of hashing beside ``openssl dgst -sha256``: ``python -m tests.signing.throughput``.

Rates are per second of CPU, since a machine that others use changes the wall clock and hardly the
CPU time; the gain from two threads is of the wall clock and wants an idle machine. Files are read
from the page cache.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from weighmaster.verifying.hashing import Hashing, hash_files
from weighmaster.verifying.tree import walk

FILES, FILE_BYTES, ROUNDS = 4, 256 * 1024 * 1024, 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        chunk = os.urandom(1024 * 1024)
        for index in range(FILES):
            with (Path(folder) / f"{index}").open("wb") as file:
                for _ in range(FILE_BYTES // len(chunk)):
                    file.write(chunk)
        files = walk(Path(folder))
        openssl = ["openssl", "dgst", "-sha256", *(str(file.path) for file in files)]
        contestants: dict[str, Callable[[], object]] = {
            "1 thread": lambda: hash_files(files, hashing=Hashing(1)),
            "2 threads": lambda: hash_files(files, hashing=Hashing(2)),
            "openssl": lambda: subprocess.run(openssl, check=True, stdout=subprocess.DEVNULL),
        }
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(ROUNDS):
            for name, run in contestants.items():
                rates[name].append(_rate(run))
    per_cpu = {name: statistics.median(cpu for cpu, _ in each) for name, each in rates.items()}
    wall = {name: max(wall for _, wall in each) for name, each in rates.items()}
    for name in contestants:
        _say(f"{name:10} {per_cpu[name]:.2f} GB per CPU second, at best {wall[name]:.2f} GB/s")
    _say(f"per core beside openssl: {per_cpu['1 thread'] / per_cpu['openssl']:.2f} (>= 0.95)")
    _say(f"two threads beside one: {wall['2 threads'] / wall['1 thread']:.2f} (>= 1.9 when idle)")
    _say(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def _rate(run: Callable[[], object]) -> tuple[float, float]:
    """GB per second of CPU, and of the wall clock."""
    began, cpu = time.monotonic(), _cpu()
    run()
    size = FILES * FILE_BYTES / 1e9
    return size / (_cpu() - cpu), size / (time.monotonic() - began)


def _cpu() -> float:
    both = (resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
