"""What the API server never sends is refused in a well-formed way, whatever it is."""

import base64
import json
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.admission.reviews import (
    UID,
    assert_refusal,
    body,
    envelope,
    new_handler,
    raw,
    response_of,
)
from tests.unit.core.builders import pod
from weighmaster.admission.wire import MAX_BODY, decode, encode, find_uid
from weighmaster.core.reasons import Reason
from weighmaster.core.respond import Response, refuse
from weighmaster.errors import ReviewError
from weighmaster.pipeline import Operation, Stage

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"

MALFORMED = {
    "nothing": b"",
    "a word": b"hello",
    "null": b"null",
    "a list": b"[]",
    "a number": b"17",
    "half a review": body(pod("acme/m"))[:-30],
    "two reviews": body(pod("acme/m")) * 2,
    "a byte order mark": b"\xef\xbb\xbf" + body(pod("acme/m")),
    "invalid UTF-8": raw(b'{"a": "\xff\xfe"}'),
    "invalid UTF-8 in the uid": body().replace(UID.encode(), b"\xff\xfe"),
    "an overlong encoding": raw(b'{"a": "\xc0\xaf"}'),
    "a lone surrogate": raw(rb'{"a": "\ud800"}'),
    "a lone surrogate as a key": raw(rb'{"\udc00": 1}'),
    "NaN": raw(b'{"a": NaN}'),
    "Infinity": raw(b'{"a": -Infinity}'),
    "a number beyond any double": raw(b'{"a": 1e999999}'),
    "a number of 100,000 digits": raw(b'{"a": ' + b"9" * 100_000 + b"}"),
    "10,000 lists in each other": raw(b"[" * 10_000 + b"]" * 10_000),
    "10,000 mappings in each other": raw(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "a million lists never closed": raw(b"[" * 1_000_000),
    "deep nesting in a field that nobody reads": body({}).replace(
        b'"request": {', b'"request": {"options": ' + b"[" * 100_000 + b"]" * 100_000 + b", "
    ),
    "a control character in a string": raw(b'{"a": "\x00"}'),
    "single quotes": raw(b"{'a': 1}"),
    "a trailing comma": raw(b'{"a": 1,}'),
    "another kind": json.dumps({**envelope(pod("acme/m")), "kind": "Review"}).encode(),
    "no kind": json.dumps({**envelope({}), "kind": ""}).encode(),
    "no request": json.dumps({**envelope(), "request": None}).encode(),
    "v1beta1": json.dumps({**envelope({}), "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
    "v2": json.dumps({**envelope({}), "apiVersion": "admission.k8s.io/v2"}).encode(),
    "no version": json.dumps({**envelope({}), "apiVersion": ""}).encode(),
    "an unknown operation": body(pod("acme/m"), operation="PATCH"),
    "an operation in lower case": body(pod("acme/m"), operation="create"),
    "CONNECT": body(pod("acme/m"), operation="CONNECT"),
    "CONNECT without an object": body(None, operation="CONNECT"),
    "CREATE without an object": body(None),
    "UPDATE without an object": body(None, operation="UPDATE", oldObject=pod("acme/m")),
    "an object that is a list": body([pod("acme/m")]),
    "an object that is a string": body("pod"),
    "an object that is a number": body(1),
    "an object that is true": body(True),
    "a former object that is a list": body(pod("acme/m"), operation="UPDATE", oldObject=[]),
    "an empty uid": body(pod("acme/m"), uid=""),
    "an endless uid": body(pod("acme/m"), uid="u" * 100_000),
    "an endless namespace": body(pod("acme/m"), namespace="n" * 100_000),
    "an endless name": body(pod("acme/m"), name="n" * 100_000),
    "an endless subresource": body(pod("acme/m"), subResource="n" * 100_000),
}
WRONG_TYPES: dict[str, tuple[Any, ...]] = {
    "uid": (None, 1, True, [], {}),
    "operation": (None, 1, True, [], {}, ""),
    "namespace": (None, 1, True, [], {}),
    "name": (None, 1, True, [], {}),
    "subResource": (None, 1, True, [], {}),
    "dryRun": (None, 1, "true", [], {}),
}


@pytest.mark.parametrize("path", ["/validate", "/mutate"])
@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_review_is_refused_at_once(sent: bytes, path: str) -> None:
    handler = new_handler()
    started = time.perf_counter()
    answer = handler.handle(path, sent)
    assert time.perf_counter() - started < 1
    response = assert_refusal(answer.body)
    assert answer.status == (200 if response["uid"] else response["status"]["code"])
    assert response_of(handler.handle("/validate", body(pod("acme/m"))).body)["allowed"] is True


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG_TYPES.items() for value in values],
)
def test_field_of_a_wrong_type_is_refused(field: str, value: Any) -> None:
    answer = new_handler().handle("/validate", body(pod("acme/m"), **{field: value}))
    assert assert_refusal(answer.body)["uid"] == ("" if field == "uid" else UID)


def test_request_of_a_wrong_type_is_refused() -> None:
    requests: tuple[Any, ...] = (1, "x", [], True)
    for request in requests:
        sent = json.dumps({**envelope(), "request": request}).encode()
        assert_refusal(new_handler().handle("/validate", sent).body)


def test_missing_uid_is_refused_with_an_http_status_since_no_answer_would_count() -> None:
    review = envelope(pod("acme/m"))
    del review["request"]["uid"]
    answer = new_handler().handle("/validate", json.dumps(review).encode())
    assert answer.status == 400
    assert_refusal(answer.body)


def test_review_over_the_limit_is_refused_with_its_uid() -> None:
    sent = body(pod("acme/m", annotations={"a": "x" * MAX_BODY}))
    response = assert_refusal(new_handler().handle("/validate", sent).body)
    assert (response["uid"], response["status"]["code"]) == (UID, 413)
    assert "3 MiB" in response["status"]["message"]


def test_review_of_exactly_the_limit_is_answered_by_policy() -> None:
    empty = len(body(pod("acme/m", annotations={"a": ""})))
    sent = body(pod("acme/m", annotations={"a": "x" * (MAX_BODY - empty)}))
    assert len(sent) == MAX_BODY
    assert response_of(new_handler().handle("/validate", sent).body)["allowed"] is True


def test_version_that_is_not_answered_is_named_with_the_way_out() -> None:
    sent = json.dumps({**envelope({}), "apiVersion": "admission.k8s.io/v1beta1"}).encode()
    message = assert_refusal(new_handler().handle("/validate", sent).body)["status"]["message"]
    assert 'admissionReviewVersions: ["v1"]' in message


def test_delete_is_allowed_without_an_object() -> None:
    answer = new_handler().handle("/validate", body(None, operation="DELETE", oldObject=pod("$X")))
    assert response_of(answer.body)["allowed"] is True


def test_resource_and_former_object_of_a_deletion_are_read() -> None:
    resource = {"group": "networking.k8s.io", "version": "v1", "resource": "networkpolicies"}
    sent = body(operation="DELETE", resource=resource, oldObject=pod("c/d"))
    request = decode(sent, Stage.VALIDATE).request
    assert request.resource == "networking.k8s.io/networkpolicies"
    assert request.old_document == pod("c/d")
    core = body(operation="CONNECT", resource={"group": "", "resource": "pods"}, subResource="exec")
    assert decode(core, Stage.VALIDATE).request.resource == "pods"


def test_former_object_counts_for_updates_only() -> None:
    created = decode(body(pod("a/b"), oldObject=pod("c/d")), Stage.VALIDATE)
    updated = decode(body(pod("a/b"), operation="UPDATE", oldObject=pod("c/d")), Stage.VALIDATE)
    assert created.request.old_document is None
    assert updated.request.old_document == pod("c/d")
    assert updated.request.operation is Operation.UPDATE


def test_last_of_two_requests_counts_as_in_the_api_servers_own_reader() -> None:
    # The API server encodes the review itself and never repeats a key. Whoever could write one
    # with two would already speak for the API server; still both readers agree on which counts.
    first = json.dumps(envelope(pod("acme/m"))["request"])
    second = json.dumps(envelope(pod("$MODEL"), uid="second")["request"])
    sent = (
        f'{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",'
        f'"request":{first},"request":{second}}}'
    ).encode()
    response = assert_refusal(new_handler().handle("/validate", sent).body)
    assert response["uid"] == json.loads(sent)["request"]["uid"] == "second"


def test_last_of_two_objects_counts() -> None:
    sent = body(pod("acme/m")).replace(
        b'"object":', b'"object": ' + json.dumps(pod("$MODEL")).encode() + b', "object":'
    )
    assert decode(sent, Stage.VALIDATE).request.document == json.loads(sent)["request"]["object"]


def test_first_uid_of_a_broken_review_is_the_api_servers() -> None:
    sent = body({"metadata": {"uid": "of-the-object"}})[:-5]
    assert find_uid(sent) == UID


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b'{"uid": 1}',
        b'{"uid": ""}',
        b'{"uid": "a\\nb"}',
        b'{"uid": "' + b"x" * 65 + b'"}',
        b" " * 5000 + b'{"uid": "x"}',
    ],
)
def test_no_uid_is_made_up(sent: bytes) -> None:
    assert find_uid(sent) == ""


def test_errors_of_the_decoder_do_not_leave_the_module() -> None:
    undecodable = {name: sent for name, sent in MALFORMED.items() if "CONNECT" not in name}
    for name, sent in undecodable.items():
        if "without an object" in name:
            continue
        with pytest.raises(ReviewError) as caught:
            decode(sent, Stage.VALIDATE)
        assert caught.value.code == 400
        assert caught.value.__cause__ is None


def test_patch_travels_in_base64() -> None:
    patch = {"op": "add", "path": "/metadata/annotations/a~1b", "value": "c"}
    response = response_of(encode(UID, Response(allowed=True, patch=(patch,))))
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == [patch]


def test_allowed_answer_has_no_status() -> None:
    assert "status" not in response_of(encode(UID, Response(allowed=True)))


@pytest.mark.parametrize("code", [400, 403, 404, 413, 500, 503])
def test_refusal_names_reason_and_code(code: int) -> None:
    status = response_of(encode(UID, refuse(Reason.INTERNAL_ERROR, "no", code)))["status"]
    assert (status["status"], status["code"]) == ("Failure", code)
    assert status["reason"]


def test_neither_objects_nor_tokens_are_logged() -> None:
    secret = pod("$MODEL", annotations={"note": TOKEN})
    secret["spec"]["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": TOKEN}]
    handler = new_handler()
    with capture_logs() as logs:
        handler.handle("/validate", body(secret))
        handler.handle("/validate", body(secret)[:-3])
        handler.handle("/nowhere", body(secret))
        handler.handle("/validate", body(secret, operation="PATCH"))
        handler.handle("/validate", body([secret]))
    assert len(logs) == 5
    assert TOKEN not in repr(logs)
    assert "containers" not in repr([{**log, "models": ""} for log in logs])
