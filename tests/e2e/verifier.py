"""The verifying container of an admitted pod, run as a process, since there is no kubelet."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weighmaster.core.mounted import CONTAINER, MOUNTS

Json = dict[str, Any]


def own_container(pod: Json, name: str) -> Json:
    """The init container of a name, which must be there once."""
    (found,) = [each for each in pod["spec"].get("initContainers", []) if each["name"] == name]
    return dict(found)


def verifying_container(pod: Json) -> Json:
    """The one that verifies what lies on volumes."""
    return own_container(pod, CONTAINER)


def run(pod: Json, volumes: Mapping[str, Path], folder: Path) -> tuple[int, str]:
    """Run its very command with its very environment; its exit code and termination message.

    ``volumes`` are the folders that stand for the pod's volumes; ``folder`` is for its mounts,
    which cannot be where they are in the container.
    """
    container = verifying_container(pod)
    mounts, message = folder / "mounts", folder / "message"
    mounts.mkdir(parents=True)
    for mount in container["volumeMounts"]:
        if not mount["mountPath"].startswith(f"{MOUNTS}/"):
            continue  # the token that the API server mounts into every container
        target = volumes[mount["name"]] / mount.get("subPath", "")
        (mounts / Path(mount["mountPath"]).name).symlink_to(target)
    program, *arguments = container["command"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments],
        env={
            **{variable["name"]: variable["value"] for variable in container["env"]},
            "WEIGHMASTER_VERIFY_MOUNTED_MOUNTS": str(mounts),
            "WEIGHMASTER_VERIFY_MOUNTED_TERMINATION_LOG": str(message),
        },
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, message.read_text() if message.exists() else done.stderr.decode()
