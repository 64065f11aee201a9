"""A real OCI registry: Debian's ``docker-registry`` package, started on loopback.

It is looked for on the PATH and in the cache, and otherwise fetched with ``apt-get download`` and
unpacked there (nothing is installed). It has no referrers API, so clients use the fallback tag.

``python -m tests.hub.registry`` prints where the program is.
"""

import base64
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin

from tests.debian import PackageUnavailableError, find_program
from tests.hub.artifacts import Contents

_PACKAGE = "docker-registry"
_START_TIMEOUT = 20.0

USER, PASSWORD = "user", "hunter2"
_PASSWORD_HASH = "$2b$05$cPBgN9U7kTDJl8ZSHNM7h.1LqkJI6vN8mwMPAvPsXLFWOkmp3YBhy"
"""What a locked registry lets in (htpasswd knows bcrypt only)."""


class RegistryUnavailableError(Exception):
    """There is no registry on this machine and none can be fetched; the message says why."""


@dataclass(frozen=True)
class Registry:
    """A running registry. ``authorization`` is the header that opens it, where it is locked."""

    port: int
    authorization: str = ""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, repository: str, contents: Contents) -> None:
        """Store everything, blobs before manifests, digests before tags."""
        base = f"http://{self.address}/v2/{repository}"
        for digest, content in contents.blobs.items():
            where = self._send("POST", f"{base}/blobs/uploads/").headers["Location"]
            target = urljoin(f"{base}/", where)
            joint = "&" if "?" in target else "?"
            url = f"{target}{joint}digest={quote(digest)}"
            self._send("PUT", url, content, "application/octet-stream")
        for name, (media_type, content) in contents.manifests.items():
            self._send("PUT", f"{base}/manifests/{name}", content, media_type)

    def ping(self) -> None:
        """Raise OSError unless it answers."""
        self._send("GET", f"http://{self.address}/v2/")

    def _send(
        self, method: str, url: str, content: bytes | None = None, media_type: str = ""
    ) -> "urllib.request._UrlopenRet":
        headers = {"Content-Type": media_type} if media_type else {}
        if self.authorization:
            headers["Authorization"] = self.authorization
        request = urllib.request.Request(url, content, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return answer


def find_registry() -> Path:
    """The registry's program. Raises RegistryUnavailableError."""
    if found := shutil.which("registry"):
        return Path(found)
    try:
        return find_program(_PACKAGE, _PACKAGE)
    except PackageUnavailableError as error:
        raise RegistryUnavailableError(str(error)) from error


@contextmanager
def running_registry(directory: Path, *, locked: bool = False) -> Iterator[Registry]:
    """A registry that keeps everything in a directory, until the context ends.

    ``locked`` lets in USER with PASSWORD only.
    """
    program = find_registry()
    port = _free_port()
    configuration = directory / "config.yml"
    configuration.write_text(
        "version: 0.1\n"
        "log: {level: warn, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory / 'storage'}}}, "
        "delete: {enabled: true}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: tests}}\n"
    )
    if locked:
        users = directory / "htpasswd"
        users.write_text(f"{USER}:{_PASSWORD_HASH}\n")
        with configuration.open("a") as more:
            more.write(f"auth: {{htpasswd: {{realm: tests, path: {users}}}}}\n")
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with (directory / "registry.log").open("w") as log:
        process = subprocess.Popen(
            [program, "serve", configuration], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            registry = Registry(port, f"Basic {pair}" if locked else "")
            _wait(registry, process, directory / "registry.log")
            yield registry
        finally:
            process.terminate()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(registry: Registry, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            registry.ping()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise RegistryUnavailableError(f"the registry did not start: {log.read_text()[-500:]}")


if __name__ == "__main__":
    try:
        print(find_registry())  # noqa: T201
    except RegistryUnavailableError as problem:
        sys.exit(f"no registry: {problem}")
