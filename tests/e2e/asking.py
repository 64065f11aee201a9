"""What kubectl is asked, and what it says."""

import json
from typing import Any

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually

Json = dict[str, Any]


def try_to(
    control_plane: ControlPlane, *arguments: str, manifest: Json | None = None
) -> tuple[int, str]:
    """Exit code and everything that kubectl says."""
    given = {"stdin": json.dumps(manifest)} if manifest is not None else {}
    result = control_plane.kubectl(*arguments, check=False, **given)
    return result.returncode, result.stdout + result.stderr


def create(control_plane: ControlPlane, manifest: Json, *user: str) -> tuple[int, str]:
    return try_to(control_plane, *user, "create", "-f", "-", manifest=manifest)


def get(control_plane: ControlPlane, *what: str) -> Json:
    found: Json = json.loads(control_plane.kubectl("get", *what, "-o", "json").stdout)
    return found


def admitted(control_plane: ControlPlane, manifest: Json) -> Json:
    """Create a pod, as soon as the webhook has heard of what it depends on; the pod as stored."""
    namespace, name = (manifest["metadata"][key] for key in ("namespace", "name"))
    said = ""

    def created() -> bool:
        nonlocal said
        code, said = create(control_plane, manifest)
        return code == 0

    assert eventually(created, within=30), said
    return get(control_plane, "pod", name, "-n", namespace)
