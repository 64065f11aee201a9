"""The node: a thread that looks after the pods of some namespaces."""

import itertools
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.controlplane.cluster import ControlPlane
from tests.node.api import Api, ApiError, Json
from tests.node.network import HOST, pod_address
from tests.node.pod import Place, RunningPod

NAME = "node"
_EVERY = 0.1


class Node:
    """Runs the pods of some namespaces while the context is open.

    ``sync_period`` is how often mounted Secrets are looked at, in seconds: a kubelet does so every
    minute or two.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        folder: Path,
        namespaces: tuple[str, ...],
        sync_period: float = 3.0,
    ) -> None:
        self._control_plane = control_plane
        self._folder = folder
        self._namespaces = namespaces
        self._sync_period = sync_period
        self._numbers = itertools.count()
        self._pods: dict[str, RunningPod] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.troubles: list[str] = []

    def __enter__(self) -> Self:
        with self._api() as api:
            api.request("POST", "/api/v1/nodes", {"metadata": {"name": NAME}})
            self._ready(api)
        self.power_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.power_off()

    def power_on(self) -> None:
        """Begin, or begin again, to look after pods."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._thread.start()

    def power_off(self) -> None:
        """Every process ends on the spot, and nobody looks after pods any more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)
            self._thread = None
        for pod in self._pods.values():
            pod.kill()
        self._pods = {}

    def log(self, pod: str) -> str:
        """What a pod has printed, while it ran or since."""
        return "".join(path.read_text() for path in sorted(self._folder.glob(f"{pod}-*/log")))

    def process_id(self, pod: str) -> int:
        """The process of a running pod."""
        for each in self._pods.values():
            if each.name == pod and (found := each.process_id) is not None:
                return found
        raise AssertionError(f"{pod} is not running")

    def _api(self) -> Api:
        return Api(self._control_plane.server, self._control_plane.pki)

    def _ready(self, api: Api) -> None:
        conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        addresses = [{"type": "InternalIP", "address": HOST}]
        api.patch_status(
            f"/api/v1/nodes/{NAME}", {"conditions": conditions, "addresses": addresses}
        )

    def _run(self) -> None:
        with self._api() as api:
            while not self._stop.is_set():
                try:
                    for namespace in self._namespaces:
                        self._look(api, namespace)
                except ApiError as error:
                    # The API server may be away for a while; what runs goes on.
                    self.troubles.append(str(error))
                time.sleep(_EVERY)

    def _look(self, api: Api, namespace: str) -> None:
        found = api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
        present = {pod["metadata"]["uid"] for pod in found}
        for uid in [uid for uid, pod in self._pods.items() if pod.namespace == namespace]:
            if uid not in present:
                self._pods.pop(uid).kill()
        for pod in found:
            try:
                self._tend(api, pod)
            except ApiError as error:
                if error.status == 0:
                    raise
                self.troubles.append(f"{pod['metadata']['name']}: {error}")

    def _tend(self, api: Api, pod: Json) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        if not spec.get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NAME}
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
            binding = {"metadata": {"name": metadata["name"]}, "target": target}
            api.request("POST", path, {"apiVersion": "v1", "kind": "Binding", **binding})
            return
        running = self._pods.get(metadata["uid"])
        if running is None:
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                return
            running = RunningPod(api, pod, self._place(metadata["name"]))
            self._pods[metadata["uid"]] = running
        if not running.over:
            running.step(deleting="deletionTimestamp" in metadata)

    def _place(self, name: str) -> Place:
        number = next(self._numbers)
        folder = self._folder / f"{name}-{number}"
        folder.mkdir(parents=True)
        server = urlsplit(self._control_plane.server)
        return Place(
            folder,
            pod_address(number),
            (str(server.hostname), int(server.port or 443)),
            self._control_plane.pki.authority.certificate,
            self._sync_period,
        )
