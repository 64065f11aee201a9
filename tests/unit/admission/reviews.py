"""AdmissionReviews as bytes, and a server to send them to."""

import json
from typing import Any

from prometheus_client import CollectorRegistry

from tests.unit.core.builders import NOW, policy, snapshot
from weighmaster.admission.handler import AdmissionHandler
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.telemetry import AdmissionMetrics

UID = "0d9b1a2c-77aa-4a47-9cf6-3a1b6b8f7f10"


def envelope(document: Any = None, **fields: Any) -> dict[str, Any]:
    """An AdmissionReview for the creation of an object."""
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": UID,
            "operation": "CREATE",
            "namespace": "default",
            "name": "server",
            "object": document,
            **fields,
        },
    }


def body(document: Any = None, **fields: Any) -> bytes:
    """The same as the API server sends it."""
    return json.dumps(envelope(document, **fields)).encode()


def raw(document: bytes) -> bytes:
    """A review whose object is any bytes at all."""
    return body({}).replace(b'"object": {}', b'"object": ' + document)


class FixedStore:
    """A store that gives out what it is told to."""

    def __init__(self, held: Snapshot | Exception | None) -> None:
        self.held = held

    def snapshot(self) -> Snapshot | None:
        if isinstance(self.held, Exception):
            raise self.held
        return self.held


def new_handler(
    held: Snapshot | Exception | None = None, *, ready: bool = True
) -> AdmissionHandler:
    """A handler with a policy that refuses weights without a name, unless told otherwise."""
    if held is None and ready:
        held = snapshot(policy())
    return AdmissionHandler(
        FixedStore(held), AdmissionMetrics(CollectorRegistry()), clock=lambda: NOW
    )


def response_of(answer: bytes) -> dict[str, Any]:
    """The response in an answer; asserts that it is a well-formed AdmissionReview."""
    review = json.loads(answer)
    assert review["apiVersion"] == "admission.k8s.io/v1"
    assert review["kind"] == "AdmissionReview"
    response: dict[str, Any] = review["response"]
    assert isinstance(response["allowed"], bool)
    assert isinstance(response["uid"], str)
    return response


def assert_refusal(answer: bytes) -> dict[str, Any]:
    """A well-formed refusal that tells nothing of the inside."""
    text = answer.decode()
    for word in ("Traceback", 'File "', "msgspec", "Error(", "site-packages"):
        assert word not in text
    response = response_of(answer)
    assert response["allowed"] is False
    status = response["status"]
    assert status["message"].startswith("Weighmaster: ")
    assert 400 <= status["code"] < 600
    assert status["details"]["causes"]
    return response
