"""KServe as far as these tests need it: its own definition, and what its parts make of a service.

Its controller and its webhook are not run. What they would make (0.20) is made here: see
``raw_kube_reconciler.go`` and ``storage_initializer_injector.go``.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.controlplane.errors import ControlPlaneUnavailableError
from tests.controlplane.toolchain import Progress, exclusively, find_go, go_environment

Json = dict[str, Any]

VERSION = "v0.20.0"
_MODULE = "github.com/kserve/kserve"
_SUM = "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug="
_DEFINITION = "config/crd/full/serving.kserve.io_inferenceservices.yaml"
_TIMEOUT = 600

SERVICE = "serving.kserve.io/inferenceservice"
SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
VOLUME = "kserve-provision-location"
MOUNT = "/mnt/models"
SERVER = "kserve-container"
INITIALIZER = "storage-initializer"


def find_definition(progress: Progress) -> Path:
    """The definition of InferenceService, from KServe's Go module; fetched once and kept.

    Raises ControlPlaneUnavailableError.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighmaster"
    kept = base / f"kserve-{VERSION}.yaml"
    base.mkdir(parents=True, exist_ok=True)
    with exclusively(base / ".kserve-lock", progress):
        if not kept.exists():
            go = find_go(base, progress)
            progress(f"fetching the definitions of KServe {VERSION} (64 MB, once)")
            with tempfile.TemporaryDirectory(dir=base) as folder:
                content = (_download(go, Path(folder)) / _DEFINITION).read_bytes()
                partial = Path(folder, "definition.yaml")
                partial.write_bytes(content)
                partial.rename(kept)
    return kept


def _download(go: Path, folder: Path) -> Path:
    """The module in a folder, as it has always been."""
    flags = {"GOMODCACHE": str(folder), "GOFLAGS": "-modcacherw"}
    try:
        ran = subprocess.run(
            [go, "mod", "download", "-json", f"{_MODULE}@{VERSION}"],
            cwd=folder,
            env={**go_environment(), **flags},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ControlPlaneUnavailableError(f"{_MODULE} cannot be fetched: {error}") from error
    if ran.returncode != 0:
        raise ControlPlaneUnavailableError(f"{_MODULE} cannot be fetched: {ran.stdout[-500:]}")
    found = json.loads(ran.stdout)
    if found["Sum"] != _SUM:
        raise ControlPlaneUnavailableError(f"{_MODULE} {VERSION} is another one: {found['Sum']}")
    return Path(found["Dir"])


def inference_service(namespace: str, uri: str, name: str = "llama") -> Json:
    """An InferenceService whose storage initializer fetches ``uri``."""
    model = {"modelFormat": {"name": "huggingface"}, "storageUri": uri}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"predictor": {"model": model}},
    }


def generated(service: Json) -> Json:
    """The Deployment that the controller makes of a stored service with a ``storageUri``."""
    name, namespace = (service["metadata"][key] for key in ("name", "namespace"))
    owner = {
        **{key: service[key] for key in ("apiVersion", "kind")},
        **{key: service["metadata"][key] for key in ("name", "uid")},
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {"app": f"isvc.{name}-predictor", SERVICE: name, "component": "predictor"}
    annotations = {SOURCE: service["spec"]["predictor"]["model"]["storageUri"]}
    server = {
        "name": SERVER,
        "image": f"kserve/huggingfaceserver:{VERSION}",
        "args": [f"--model_name={name}", f"--model_dir={MOUNT}"],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"{name}-predictor",
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {
            "selector": {"matchLabels": {"app": labels["app"]}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [server]},
            },
        },
    }


def initialize(pod: Json) -> list[Json]:
    """The JSON Patch by which the webhook puts the storage initializer into a pod."""
    source = (pod["metadata"].get("annotations") or {}).get(SOURCE)
    spec = pod["spec"]
    listed = spec.get("initContainers") or []
    named = (pod["metadata"].get("labels") or {}).get(SERVICE)
    if not source or not named or any(each["name"] == INITIALIZER for each in listed):
        return []
    amounts = {"cpu": "1", "memory": "1Gi"}
    initializer = {
        "name": INITIALIZER,
        "image": f"kserve/storage-initializer:{VERSION}",
        "args": [source, MOUNT],
        "env": [{"name": "HF_HUB_ENABLE_HF_TRANSFER", "value": "1"}],
        "resources": {"limits": amounts, "requests": amounts},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": VOLUME, "mountPath": MOUNT}],
    }
    mount = {"name": VOLUME, "mountPath": MOUNT, "readOnly": True}
    containers = [
        {**each, "volumeMounts": [*(each.get("volumeMounts") or []), mount]}
        if each["name"] == SERVER
        else each
        for each in spec["containers"]
    ]
    volumes = [*(spec.get("volumes") or []), {"name": VOLUME, "emptyDir": {}}]
    return [
        {"op": "add", "path": "/spec/initContainers", "value": [*listed, initializer]},
        {"op": "replace", "path": "/spec/containers", "value": containers},
        {"op": "add", "path": "/spec/volumes", "value": volumes},
    ]
