"""A small client of the API server: JSON over one connection, as the administrator."""

import http.client
import json
import ssl
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.controlplane.pki import Pki

Json = dict[str, Any]


class ApiError(Exception):
    """The API server refused; ``status`` is its HTTP status, 0 when it could not be reached."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Api:
    """One connection, for one thread."""

    def __init__(self, server: str, pki: Pki) -> None:
        self._address = urlsplit(server)
        self._tls = ssl.create_default_context(cafile=pki.authority.certificate)
        self._tls.load_cert_chain(pki.admin.certificate, pki.admin.key)
        self._connection: http.client.HTTPSConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str) -> Json:
        return self.request("GET", path)

    def request(
        self, method: str, path: str, body: Json | None = None, content: str = "application/json"
    ) -> Json:
        """The answer; raises ApiError."""
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                str(self._address.hostname), self._address.port, context=self._tls, timeout=30
            )
        try:
            self._connection.request(
                method,
                path,
                json.dumps(body) if body is not None else None,
                {"Content-Type": content, "Accept": "application/json"},
            )
            response = self._connection.getresponse()
            answer: Json = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise ApiError(0, f"{method} {path}: {error!r}") from error
        if response.status >= 400:
            raise ApiError(response.status, str(answer.get("message")))
        return answer

    def patch_status(self, path: str, status: Json) -> None:
        """Merge into an object's status."""
        content = "application/strategic-merge-patch+json"
        self.request("PATCH", f"{path}/status", {"status": status}, content)

    def token(self, namespace: str, account: str, metadata: Json) -> str:
        """A token of a service account for a pod, good for an hour while the pod is there."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        bound = {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"boundObjectRef": bound},
        }
        return str(self.request("POST", path, asked)["status"]["token"])
