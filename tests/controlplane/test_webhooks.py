"""The control plane calls admission webhooks on loopback; its audit log tells what they said."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import KubectlError
from tests.controlplane.polling import eventually
from weighmaster.admission.wire import encode
from weighmaster.core.reasons import Reason
from weighmaster.core.respond import refuse

pytestmark = [pytest.mark.e2e, pytest.mark.network]

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Webhook:
    """An HTTPS server that answers AdmissionReviews as it is told to."""

    def __init__(self, control_plane: ControlPlane) -> None:
        webhook = self
        self.answer: Answer = lambda _: {"allowed": True}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request = review.pop("request")
                review["response"] = {"uid": request["uid"], **webhook.answer(request)}
                body = json.dumps(review).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Tests that fail show what was answered; this would be noise."""

        serving = control_plane.pki.serving
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(serving.certificate, serving.key)
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()
        authority = control_plane.pki.authority.certificate.read_bytes()
        self.client_config = {
            "url": f"https://127.0.0.1:{self._server.server_port}/validate",
            "caBundle": base64.b64encode(authority).decode(),
        }

    def close(self) -> None:
        """Stop answering. Without effect when it has been closed."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def webhook(control_plane: ControlPlane, namespace: str) -> Iterator[Webhook]:
    """A webhook that is asked about the ConfigMaps of `namespace`."""
    only_there = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    with closing(Webhook(control_plane)) as webhook:
        control_plane.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": namespace},
                "webhooks": [
                    {
                        "name": "answers.tests.weighmaster.dev",
                        "clientConfig": webhook.client_config,
                        "rules": [
                            {
                                "apiGroups": [""],
                                "apiVersions": ["v1"],
                                "resources": ["configmaps"],
                                "operations": ["CREATE"],
                            }
                        ],
                        "namespaceSelector": only_there,
                        "failurePolicy": "Fail",
                        "sideEffects": "None",
                        "admissionReviewVersions": ["v1"],
                        "timeoutSeconds": 5,
                    }
                ],
            }
        )
        yield webhook
        control_plane.kubectl("delete", "validatingwebhookconfiguration", namespace)


def config_map(namespace: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_a_denial_reaches_the_user_with_its_message(
    control_plane: ControlPlane, namespace: str, webhook: Webhook
) -> None:
    webhook.answer = lambda _: {"allowed": False, "status": {"message": "not this one"}}

    def denies() -> bool:
        # The server notices a new configuration within a second.
        answer = control_plane.kubectl(
            *("create", "configmap", "first", "--namespace", namespace, "--dry-run=server"),
            check=False,
        )
        return answer.returncode != 0

    assert eventually(denies)
    with pytest.raises(KubectlError, match=r"answers\.tests\.weighmaster\.dev.*not this one"):
        control_plane.apply(config_map(namespace, "second"))


def test_a_warning_and_an_audit_annotation_arrive_where_they_should(
    control_plane: ControlPlane, namespace: str, webhook: Webhook
) -> None:
    webhook.answer = lambda _: {
        "allowed": True,
        "warnings": ["have a look"],
        "auditAnnotations": {"decision": "42"},
    }
    asked = iter(range(1_000_000))

    def warns() -> bool:
        applied = control_plane.apply(config_map(namespace, f"map-{next(asked)}"))
        return "Warning: have a look" in applied.stderr

    def annotations() -> list[str | None]:
        return [
            event.get("annotations", {}).get("answers.tests.weighmaster.dev/decision")
            for event in control_plane.audit_events()
            if event["verb"] == "create" and f"/{namespace}/configmaps" in event["requestURI"]
        ]

    assert eventually(warns)
    assert eventually(lambda: "42" in annotations())


def test_a_webhook_that_is_gone_fails_closed(
    control_plane: ControlPlane, namespace: str, webhook: Webhook
) -> None:
    asked = threading.Event()

    def note(_: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        return {"allowed": True}

    webhook.answer = note
    maps = iter(range(1_000_000))

    def is_asked() -> bool:
        control_plane.apply(config_map(namespace, f"map-{next(maps)}"))
        return asked.is_set()

    assert eventually(is_asked)
    webhook.close()
    with pytest.raises(KubectlError, match="failed calling webhook"):
        control_plane.apply(config_map(namespace, "late"))


def test_clients_try_again_by_themselves_when_a_webhook_is_overloaded(
    control_plane: ControlPlane, namespace: str, webhook: Webhook
) -> None:
    """What ours says then makes the API server say 429 with Retry-After, which client-go obeys."""
    overloaded = refuse(Reason.OVERLOADED, "too much", 429)
    asked: list[str] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request["name"])
        if request["name"] == "probe":
            return {"allowed": False, "status": {"message": "asked"}}
        if asked.count("patient") < 3:
            response: dict[str, Any] = json.loads(encode("", overloaded))["response"]
            del response["uid"]
            return response
        return {"allowed": True}

    def is_asked() -> bool:
        probe = ("create", "configmap", "probe", "--namespace", namespace, "--dry-run=server")
        return control_plane.kubectl(*probe, check=False).returncode != 0

    webhook.answer = answer
    assert eventually(is_asked)
    control_plane.apply(config_map(namespace, "patient"))
    assert asked.count("patient") == 3
