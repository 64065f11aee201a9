"""How a typed resource describes itself to Kubernetes."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct


class Scope(StrEnum):
    """Where objects of a kind live."""

    CLUSTER = "Cluster"
    NAMESPACED = "Namespaced"


class Column(Struct, frozen=True):
    """One column of ``kubectl get``; ``wide`` ones show with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False


class Names(Struct, frozen=True):
    """The names a kind goes by."""

    kind: str
    plural: str
    singular: str
    short: tuple[str, ...]
    scope: Scope


class Validation(Struct, frozen=True):
    """A CEL rule for the API server (``x-kubernetes-validations``), and what to do about it."""

    rule: str
    message: str


class Schema(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Base of every type in a resource: strict, immutable, camelCase on the wire.

    Unknown fields are refused: a field that this version does not know may be a restriction.
    """

    validations: ClassVar[tuple[Validation, ...]] = ()


class Resource(Schema, frozen=True):
    """Base of the types that are kinds of their own."""

    names: ClassVar[Names]
    columns: ClassVar[tuple[Column, ...]] = ()
