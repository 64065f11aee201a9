import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.hub.repositories import Repository, model
from tests.hub.server import Hub
from tests.unit.gather.conftest import NAMES, FakeTime, lookup
from weighmaster.core import staged
from weighmaster.core.mounted import Result, Verdict
from weighmaster.core.staged import Download, Downloads
from weighmaster.core.verify.loadable import fingerprints, is_loadable, loadable_digest
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.staging.run import Work, stage_models
from weighmaster.staging.volume import HIDDEN

FOLDER = "0/acme/model"
WEIGHTS = "model-00001-of-00002.safetensors"
OTHER = "model-00002-of-00002.safetensors"


def digests(repository: Repository) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in repository.files.items()}


def download(repository: Repository, folder: str = FOLDER, **changes: Any) -> Download:
    """What admission would hand on about a repository as it is now."""
    found = digests(repository)
    told: dict[str, Any] = {
        "reference": f"hf://{repository.name}@{repository.commit}",
        "folder": folder,
        "digest": loadable_digest(found),
        "fingerprints": fingerprints(found) or "",
    }
    return Download(**{**told, **changes})


def hub_of(*hubs: Hub, **changes: Any) -> staged.Hub:
    """How these hubs on loopback are reached, the first being ``hf``."""
    hosts = tuple(f"{name}:{hub.port}" for hub in hubs for name in ("127.0.0.1", *sorted(NAMES)))
    told: dict[str, Any] = {
        "endpoints": {"hf": hubs[0].url},
        "internal_hosts": hosts,
        "plain_http_hosts": hosts,
    }
    return staged.Hub(**{**told, **changes})


@dataclass
class Staged:
    """A volume, a hub with one model, and what comes of staging it."""

    volume: Path
    hub: Hub
    repository: Repository
    time: FakeTime
    told: list[int] = field(default_factory=list)
    download: Download | None = None

    def decide(self) -> None:
        """Take the repository as it is now for what admission has decided on."""
        self.download = download(self.repository)

    async def run(
        self, *downloads: Download, hub: staged.Hub | None = None, **work: Any
    ) -> Verdict:
        wanted = downloads or (self.download or download(self.repository),)
        return await stage_models(
            Downloads(models=wanted, hub=hub or hub_of(self.hub)),
            Work(
                volume=self.volume,
                progress=lambda count, _total: self.told.append(count),
                clock=self.time.clock,
                lookup=lookup,
                **work,
            ),
        )

    async def refused(self, *downloads: Download, **more: Any) -> Verdict:
        verdict = await self.run(*downloads, **more)
        assert verdict.result is not Result.VERIFIED
        assert not self.served.exists(), "something is served although it was refused"
        return verdict

    @property
    def served(self) -> Path:
        return self.volume / FOLDER

    @property
    def hidden(self) -> Path:
        return self.volume / HIDDEN / FOLDER

    def files(self) -> dict[str, bytes]:
        """What a server finds."""
        return {
            str(path.relative_to(self.served)): path.read_bytes()
            for path in self.served.rglob("*")
            if path.is_file()
        }

    def wanted(self) -> dict[str, bytes]:
        return {name: each for name, each in self.repository.files.items() if is_loadable(name)}


def assert_refused(verdict: Verdict, reason: VerificationReason, *files: str) -> None:
    assert (verdict.result, verdict.reason) == (Result.REFUSED, reason.value), verdict
    assert verdict.files == files


def weights(size: int) -> bytes:
    return hashlib.shake_128(str(size).encode()).digest(size)


def downloads_of(hub: Hub, name: str) -> list[Any]:
    return [seen for seen in hub.requests("/resolve/") if seen.path.endswith(name)]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


@pytest.fixture
async def cdn() -> AsyncIterator[Hub]:
    async with Hub() as cdn:
        yield cdn


@pytest.fixture
def staging(tmp_path: Path, hub: Hub) -> Staged:
    volume = tmp_path / "models"
    volume.mkdir()
    return Staged(volume, hub, hub.add(model()), FakeTime())
