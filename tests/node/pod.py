"""The life of one pod on the node: one container, as the chart has them."""

import base64
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.node.api import Api, ApiError, Json
from tests.node.container import Mounts, start
from tests.node.network import HOST

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MOUNT_RETRY = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries to mount what is not there, as kubelets have them, up to two minutes."""


@dataclass(frozen=True)
class Place:
    """Where a pod runs: its folder, its address, and how it reaches the API server."""

    folder: Path
    address: str
    api_server: tuple[str, int]
    authority: Path
    sync_period: float


class Probe:
    """One probe of a container, tried when it is due."""

    def __init__(self, spec: Mapping[str, Any], ports: Mapping[str, int], address: str) -> None:
        get = spec["httpGet"]
        port = ports.get(get["port"], get["port"])
        self._url = f"http://{address}:{port}{get['path']}"
        self._period = float(spec.get("periodSeconds", 10))
        self._timeout = float(spec.get("timeoutSeconds", 1))
        self._limit = int(spec.get("failureThreshold", 3))
        self._failures = 0
        self._next = 0.0
        self.passes = False

    @property
    def failed(self) -> bool:
        """Whether it has failed as often as it may."""
        return self._failures >= self._limit

    def look(self) -> None:
        """Try it if it is due."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._period
        try:
            with urllib.request.urlopen(self._url, timeout=self._timeout):
                self._failures = 0
                self.passes = True
        except (urllib.error.URLError, OSError):
            self._failures += 1
            if self.failed:
                self.passes = False


class RunningPod:
    """Drives one pod a step further each time it is asked to."""

    def __init__(self, api: Api, pod: Json, place: Place) -> None:
        self._api = api
        self._place = place
        self.metadata = pod["metadata"]
        self._spec = pod["spec"]
        (self._container,) = self._spec["containers"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self._process: Popen[bytes] | None = None
        self._mounts: dict[str, Path] = {}
        self._waiting = ""
        self._mount_at, self._mount_tries = 0.0, 0
        self._synced = 0.0
        self._restarts = 0
        self._restart_at = 0.0
        self._ending_since: float | None = None
        self._written: Json = {}
        self._probes: dict[str, Probe] = {}
        self.log = place.folder / "log"
        self.over = False

    @property
    def namespace(self) -> str:
        return str(self.metadata["namespace"])

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    def step(self, *, deleting: bool) -> None:
        """What is due: mount, start, probe, restart, end. Raises ApiError."""
        if deleting or self._ending_since is not None:
            self._end()
            return
        if not self._mounts and not self._mount():
            self._write_status("Pending")
            return
        self._sync()
        if self._process is None:
            if time.monotonic() >= self._restart_at:
                self._start()
        elif (code := self._process.poll()) is not None:
            self._exited(code)
            return
        else:
            self._look()
        self._write_status("Running")

    def kill(self) -> None:
        """End the process on the spot, as a node does that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _mount(self) -> bool:
        if time.monotonic() < self._mount_at:
            return False
        volumes = {each["name"]: each for each in self._spec.get("volumes", ())}
        mounts: dict[str, Path] = {}
        try:
            for mount in self._container.get("volumeMounts", ()):
                volume = volumes[mount["name"]]
                folder = self._place.folder / "volumes" / volume["name"]
                if mount["mountPath"] != "/tmp":
                    self._fill(volume, folder)
                    mounts[mount["mountPath"]] = folder
        except LookupError as error:
            self._waiting = str(error)
            pause = MOUNT_RETRY[min(self._mount_tries, len(MOUNT_RETRY) - 1)]
            self._mount_at, self._mount_tries = time.monotonic() + pause, self._mount_tries + 1
            return False
        self._mounts = mounts
        self._synced = time.monotonic()
        return True

    def _sync(self) -> None:
        """Follow what has changed in mounted objects, as kubelets do every so often."""
        if time.monotonic() < self._synced + self._place.sync_period:
            return
        self._synced = time.monotonic()
        for volume in self._spec.get("volumes", ()):
            folder = self._place.folder / "volumes" / volume["name"]
            if folder.exists() and "secret" in volume:
                with suppress(LookupError):  # one that is deleted stays as it was
                    self._fill(volume, folder)

    def _fill(self, volume: Json, folder: Path) -> None:
        """Raises LookupError when what is to be mounted is not there."""
        if "emptyDir" in volume:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
            return
        if "projected" in volume:
            self._fill_account(folder)
            return
        contents = self._contents(volume)
        current = folder / "..data"
        if (
            current.exists()
            and {path.name: path.read_bytes() for path in current.iterdir()} == contents
        ):
            return
        version = folder / f"..{time.monotonic_ns()}"
        version.mkdir(parents=True)
        for name, content in contents.items():
            (version / name).write_bytes(content)
            link = folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data", name))
        pointer = folder / "..data_tmp"
        pointer.symlink_to(version.name)
        pointer.rename(current)

    def _contents(self, volume: Json) -> dict[str, bytes]:
        source: Json = volume.get("secret") or volume["configMap"]
        kind = "secrets" if "secret" in volume else "configmaps"
        name = source.get("secretName") or source["name"]
        try:
            stored = self._api.get(f"/api/v1/namespaces/{self.namespace}/{kind}/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            raise LookupError(f"{kind[:-1]} {name!r} not found") from None
        data = {
            key: base64.b64decode(value) if kind == "secrets" else value.encode()
            for key, value in (stored.get("data") or {}).items()
        }
        items = source.get("items") or [{"key": key, "path": key} for key in data]
        for item in items:
            if item["key"] not in data:
                raise LookupError(f"references non-existent key: {item['key']}")
        return {item["path"]: data[item["key"]] for item in items}

    def _fill_account(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        account = self._spec.get("serviceAccountName", "default")
        (folder / "token").write_text(self._api.token(self.namespace, account, self.metadata))
        (folder / "namespace").write_text(self.namespace)
        shutil.copy(self._place.authority, folder / "ca.crt")

    def _start(self) -> None:
        mounts = self._container.get("volumeMounts", ())
        temporary = any(mount["mountPath"] == "/tmp" for mount in mounts)
        host, port = self._place.api_server
        role = self._container["args"][0].upper()
        environment = {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": str(port),
            # One network namespace for all: each listens on its own pod's address.
            f"WEIGHMASTER_{role}_HEALTH_HOST": self._place.address,
            f"WEIGHMASTER_{role}_HOST": self._place.address,
            **{each["name"]: each["value"] for each in self._container.get("env", ())},
        }
        ports = {each["name"]: each["containerPort"] for each in self._container.get("ports", ())}
        self._probes = {
            name: Probe(self._container[f"{name}Probe"], ports, self._place.address)
            for name in ("startup", "liveness", "readiness")
            if f"{name}Probe" in self._container
        }
        self._waiting = ""
        self._process = start(
            self._container["args"], Mounts(self._mounts, temporary), environment, self.log
        )

    def _look(self) -> None:
        startup = self._probes.get("startup")
        if startup is not None and not startup.passes:
            startup.look()
            if startup.failed:
                self._restart()
            return
        for probe in (self._probes.get("liveness"), self._probes.get("readiness")):
            if probe is not None:
                probe.look()
        if "liveness" in self._probes and self._probes["liveness"].failed:
            self._restart()

    def _restart(self) -> None:
        self.kill()
        self._restarts += 1
        self._restart_at = time.monotonic() + 1

    def _exited(self, code: int) -> None:
        self._process = None
        if self._spec.get("restartPolicy", "Always") == "Always":
            self._restarts += 1
            self._restart_at = time.monotonic() + min(10 * self._restarts, 60) / 10
            self._write_status("Running")
            return
        self.over = True
        self._write_status("Failed" if code else "Succeeded", code)

    def _end(self) -> None:
        """SIGTERM, the grace period, SIGKILL; then the pod may be forgotten."""
        grace = float(self._spec.get("terminationGracePeriodSeconds", 30))
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM)
        readiness = self._probes.get("readiness")
        if self._process is not None and self._process.poll() is None:
            if readiness is not None:
                readiness.look()
            if time.monotonic() < self._ending_since + grace:
                self._write_status("Running")
                return
            self.kill()
        uid = {"preconditions": {"uid": self.metadata["uid"]}, "gracePeriodSeconds": 0}
        try:
            self._api.request("DELETE", self.path, uid)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
        self.over = True

    def _write_status(self, phase: str, code: int | None = None) -> None:
        readiness = self._probes.get("readiness")
        started = self._process is not None
        ready = started and (readiness is None or readiness.passes)
        state: Json = {"running": {"startedAt": _now()}}
        if code is not None:
            state = {"terminated": {"exitCode": code, "reason": "Completed"}}
        elif not started:
            state = {"waiting": {"reason": "ContainerCreating", "message": self._waiting}}
        status = {
            "phase": phase,
            "hostIP": HOST,
            "podIP": self._place.address,
            # Else the address that it had before its node was off would stay beside this one.
            "podIPs": [{"$patch": "replace"}, {"ip": self._place.address}],
            "conditions": [
                {"type": kind, "status": str(value)}
                for kind, value in (
                    ("PodScheduled", True),
                    ("Initialized", True),
                    ("ContainersReady", ready),
                    ("Ready", ready),
                )
            ],
            "containerStatuses": [
                {
                    "name": self._container["name"],
                    "image": self._container["image"],
                    "imageID": self._container["image"],
                    "ready": ready,
                    "started": started,
                    "restartCount": self._restarts,
                    "state": state,
                }
            ],
        }
        if _timeless(status) != _timeless(self._written):
            self._api.patch_status(self.path, status)
            self._written = status


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _timeless(status: Json) -> str:
    """The status without the time at which it was written."""
    return str(
        {
            **status,
            "containerStatuses": [
                {
                    **each,
                    "state": {
                        key: key == "running" or value for key, value in each["state"].items()
                    },
                }
                for each in status.get("containerStatuses", ())
            ],
        }
    )
