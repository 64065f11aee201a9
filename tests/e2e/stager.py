"""The staging container of an admitted pod, run as a process, since there is no kubelet."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.verifier import own_container
from tests.hub.repositories import Repository
from weighmaster.core.staged import CONTAINER

Json = dict[str, Any]

MOUNT = "/weighmaster/models"


def stage(pod: Json, volume: Path, folder: Path) -> tuple[int, str]:
    """Run its very command with its very environment; its exit code and termination message.

    ``volume`` is the folder that stands for the pod's volume.
    """
    container = own_container(pod, CONTAINER)
    environment = {each["name"]: each.get("value", "") for each in container["env"]}
    volume.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    message = folder / "message"
    program, *arguments = container["command"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments],
        env={
            **environment,
            "WEIGHMASTER_STAGE_MODELS": str(volume),
            "WEIGHMASTER_STAGE_TERMINATION_LOG": str(message),
        },
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, message.read_text() if message.exists() else done.stderr.decode()


def model_folder(pod: Json, volume: Path) -> Path:
    """Where the only server of a pod finds its model, on the volume."""
    (server,) = pod["spec"]["containers"]
    (path,) = [
        word.partition("=")[2] for word in server["args"] if word.startswith(f"--model={MOUNT}/")
    ]
    return volume / str(path).removeprefix(f"{MOUNT}/")


@dataclass
class Flipped(Repository):
    """A repository that lists what it was, and serves something else."""

    original: Repository | None = None

    @property
    def commit(self) -> str:
        assert self.original is not None
        return self.original.commit

    def entry(self, name: str) -> dict[str, Any]:
        assert self.original is not None
        return self.original.entry(name)


def flipped(repository: Repository, name: str) -> Flipped:
    """The same repository, with the last bit of a file flipped in what it serves."""
    right = repository.files[name]
    files = {**repository.files, name: right[:-1] + bytes([right[-1] ^ 1])}
    return Flipped(repository.name, files, lfs=repository.lfs, original=repository)
