"""The request: what the pipeline needs of an AdmissionReview."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

Document = Mapping[str, Any]


class Operation(StrEnum):
    """What a request does to an object."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


class Stage(StrEnum):
    """Which of the two admission stages a request belongs to."""

    MUTATE = "mutate"
    VALIDATE = "validate"


class AdmissionRequest(Struct, frozen=True):
    """What the pipeline needs of an AdmissionReview's request.

    ``gathering`` says that somebody gathers the evidence that turns out to be missing.
    ``namespace`` is the API server's word for where the object lives, whatever the object says;
    ``user`` and ``groups`` are its word for who asks. ``resource`` is the plural name, with its
    group before a slash where it has one; the object of a CONNECT request does not tell it.
    """

    stage: Stage
    operation: Operation
    subresource: str
    namespace: str
    name: str
    document: Document | None
    old_document: Document | None = None
    gathering: bool = False
    user: str = ""
    groups: tuple[str, ...] = ()
    resource: str = ""
