"""AdmissionReview (admission.k8s.io/v1) on the wire."""

import base64
import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from weighmaster.core.respond import Response
from weighmaster.errors import ReviewError
from weighmaster.pipeline import AdmissionRequest, Operation, Stage

API_VERSION = "admission.k8s.io/v1"

MAX_BODY = 3 * 1024 * 1024
"""Bytes. An update carries two objects, and etcd takes none over 1.5 MiB by default."""

_STATUS_REASONS = {
    400: "BadRequest", 403: "Forbidden", 413: "RequestEntityTooLarge", 429: "TooManyRequests",
    503: "ServiceUnavailable",
}  # fmt: skip
_UID = re.compile(rb'"uid"\s*:\s*"([0-9A-Za-z-]{1,64})"')


_Name = Annotated[str, Meta(max_length=1024)]
"""What the API server itself bounds: names, namespaces and subresources. Caches are keyed by it."""


class _UserInfo(Struct, frozen=True):
    """Who makes a request (authentication.k8s.io/v1 UserInfo), as far as it is read."""

    username: _Name = ""
    groups: Annotated[tuple[_Name, ...], Meta(max_length=4096)] = ()


class _Resource(Struct, frozen=True):
    """What is asked for (metav1.GroupVersionResource), in any version."""

    group: _Name = ""
    resource: _Name = ""

    def __str__(self) -> str:
        return f"{self.group}/{self.resource}" if self.group else self.resource


class _Request(Struct, rename="camel"):
    """The part of AdmissionRequest that we read; objects stay raw until they are needed."""

    uid: Annotated[str, Meta(min_length=1, max_length=128)]
    operation: str
    object: Raw = Raw(b"null")
    old_object: Raw = Raw(b"null")
    resource: _Resource = _Resource()
    sub_resource: _Name = ""
    namespace: Annotated[str, Meta(max_length=63)] = ""
    name: _Name = ""
    dry_run: bool = False
    user_info: _UserInfo = _UserInfo()


class _Review(Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


class Incoming(Struct, frozen=True):
    """A decoded review."""

    uid: str
    dry_run: bool
    request: AdmissionRequest


_reviews = msgspec.json.Decoder(_Review)
_fields = msgspec.json.Decoder(dict[str, Raw] | None)
_values = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def decode(body: bytes, stage: Stage, *, gathering: bool = False) -> Incoming:
    """Read an AdmissionReview; raises ReviewError with the request's uid where it can be found."""
    if len(body) > MAX_BODY:
        raise ReviewError("the request is over 3 MiB", code=413, uid=find_uid(body))
    try:
        envelope = _reviews.decode(body)
        request = envelope.request
        if request is None or envelope.kind != "AdmissionReview":
            raise ReviewError("this is not an AdmissionReview with a request", uid=find_uid(body))
        if envelope.api_version != API_VERSION:
            raise ReviewError(
                f"only AdmissionReviews of {API_VERSION} are answered; set"
                ' admissionReviewVersions: ["v1"] in the webhook configuration',
                uid=request.uid,
            )
        document = _document(request.object)
        operation = Operation(request.operation)
        changing = operation in (Operation.UPDATE, Operation.DELETE)
        old_document = _document(request.old_object) if changing else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ReviewError(
            "the request is not a valid AdmissionReview", uid=find_uid(body)
        ) from None
    except RecursionError:
        raise ReviewError("the object is nested too deeply", uid=find_uid(body)) from None
    except ValueError:
        raise ReviewError(
            "the operation is none of CREATE, UPDATE, DELETE, CONNECT", uid=find_uid(body)
        ) from None
    return Incoming(
        uid=request.uid,
        dry_run=request.dry_run,
        request=AdmissionRequest(
            stage=stage,
            operation=operation,
            subresource=request.sub_resource,
            namespace=request.namespace,
            name=request.name,
            document=document,
            old_document=old_document,
            gathering=gathering,
            user=request.user_info.username,
            groups=request.user_info.groups,
            resource=str(request.resource),
        ),
    )


def _document(raw: Raw) -> dict[str, Any] | None:
    """An object, without its ``managedFields``: nothing reads them, and they are half of it."""
    fields = _fields.decode(raw)
    if fields is None:
        return None
    document: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "metadata" and (parts := _mapping(value)) is not None:
            parts.pop("managedFields", None)
            document[name] = {key: _values.decode(part) for key, part in parts.items()}
        else:
            document[name] = _values.decode(value)
    return document


def _mapping(value: Raw) -> dict[str, Raw] | None:
    try:
        parts: dict[str, Raw] | None = _fields.decode(value)
    except msgspec.ValidationError:
        return None
    return parts


_RETRY = {429: {"retryAfterSeconds": 1}, 503: {"retryAfterSeconds": 1}}
"""What makes the API server say Retry-After, and clients try again without being told to."""


def find_uid(body: bytes) -> str:
    """The request's uid from a body that cannot be read whole; empty if it is not near the start.

    The API server writes it first. Without it a refusal still is one: the API server does not take
    an answer that lacks its uid, and ``failurePolicy: Fail`` then refuses.
    """
    match = _UID.search(body[:4096])
    return match[1].decode() if match else ""


def encode(uid: str, response: Response) -> bytes:
    """The AdmissionReview that answers a request."""
    answer: dict[str, Any] = {"uid": uid, "allowed": response.allowed}
    if not response.allowed:
        answer["status"] = {
            "status": "Failure",
            "code": response.code,
            "reason": _STATUS_REASONS.get(response.code, "InternalError"),
            "message": response.message,
            "details": {"causes": response.causes, **_RETRY.get(response.code, {})},
        }
    if response.warnings:
        answer["warnings"] = response.warnings
    if response.audit_annotations:
        answer["auditAnnotations"] = response.audit_annotations
    if response.patch:
        answer["patchType"] = "JSONPatch"
        answer["patch"] = base64.b64encode(_encoder.encode(response.patch)).decode()
    return _encoder.encode(
        {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": answer}
    )
