"""Custom resource definitions from the typed resources.

Kubernetes asks for *structural* schemas (KEP-1111): every field typed in place, no ``$ref``, no
``anyOf`` over types. msgspec's own JSON Schema has both, so the schema is built from its type
information instead.
"""

import re
from enum import Enum
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, inspect

from weighmaster.api import GROUP
from weighmaster.api.resource import Resource, Schema, Scope
from weighmaster.api.v1alpha1 import RESOURCES, VERSION

JsonObject = dict[str, Any]

_VALIDATIONS = "x-kubernetes-validations"


def custom_resource_definition(resource: type[Resource]) -> JsonObject:
    """The CustomResourceDefinition of one kind (apiextensions.k8s.io/v1)."""
    names = resource.names
    version: JsonObject = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root_schema(resource)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.path,
                **({"description": column.description} if column.description else {}),
                **({"priority": 1} if column.wide else {}),
            }
            for column in resource.columns
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{names.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "weighmaster"},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": list(names.short),
                "categories": ["weighmaster"],
            },
            "scope": names.scope.value,
            "versions": [version],
        },
    }


def custom_resource_definitions() -> dict[str, JsonObject]:
    """All of them, by file name."""
    return {
        f"{GROUP}_{resource.names.plural}.yaml": custom_resource_definition(resource)
        for resource in RESOURCES
    }


def summary(docstring: str | None) -> str:
    """The text of a docstring on one line per paragraph."""
    paragraphs = re.split(r"\n\s*\n", (docstring or "").strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _root_schema(resource: type[Resource]) -> JsonObject:
    schema = _struct(resource)
    properties = schema["properties"]
    properties["apiVersion"] = {"type": "string"}
    properties["kind"] = {"type": "string"}
    properties["metadata"] = {"type": "object"}
    if resource.names.scope is Scope.CLUSTER:
        properties["metadata"]["properties"] = {"name": {"type": "string", "maxLength": 253}}
    properties["status"].pop("default", None)
    schema["required"] = ["spec"]
    return schema


def _struct(struct: type[Struct]) -> JsonObject:
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType) or not issubclass(struct, Schema):
        raise TypeError(f"{struct} is not part of a resource")
    properties: JsonObject = {}
    required: list[str] = []
    for member in info.fields:
        schema = _schema(member.type)
        if member.required:
            required.append(member.encode_name)
        elif (default := _default(member)) is not None:
            schema["default"] = default
        properties[member.encode_name] = schema
    result: JsonObject = {
        "type": "object",
        "description": summary(struct.__doc__),
        "properties": properties,
    }
    if required:
        result["required"] = required
    if struct.validations:
        result[_VALIDATIONS] = [msgspec.to_builtins(v) for v in struct.validations]
    return result


def _default(member: inspect.Field) -> object:
    """The default to write into stored objects; empty lists and objects stay unset."""
    if member.default in (NODEFAULT, UNSET, None):
        return None
    return member.default.value if isinstance(member.default, Enum) else member.default


def _schema(kind: inspect.Type) -> JsonObject:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return _annotated(_schema(inner), extra or {})
        case inspect.UnionType(types=types):
            return _schema(next(t for t in types if not isinstance(t, inspect.NoneType)))
        case inspect.StructType(cls=cls):
            return _struct(cls)
        case inspect.ListType(item_type=item):
            return {"type": "array", "items": _schema(item), **_bounds(kind, "Items")}
        case inspect.DictType(value_type=value):
            if isinstance(value, inspect.AnyType):
                return {"type": "object"}
            bounds = _bounds(kind, "Properties")
            return {"type": "object", "additionalProperties": _schema(value), **bounds}
        case _:
            return _scalar(kind)


def _scalar(kind: inspect.Type) -> JsonObject:
    match kind:
        case inspect.EnumType(cls=cls):
            return {"type": "string", "enum": [member.value for member in cls]}
        case inspect.LiteralType(values=values):
            return {"type": "string", "enum": list(values)}
        case inspect.StrType():
            pattern = {"pattern": kind.pattern} if kind.pattern else {}
            return {"type": "string", **_bounds(kind, "Length"), **pattern}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType(ge=ge, le=le):
            limits = {"minimum": ge, "maximum": le}
            present = {key: value for key, value in limits.items() if value is not None}
            return {"type": "integer", "format": "int64", **present}
        case _:
            raise TypeError(f"no structural schema for {kind}")


def _annotated(schema: JsonObject, extra: JsonObject) -> JsonObject:
    """Outer annotations win, but every CEL rule stays."""
    rules = [*schema.get(_VALIDATIONS, []), *extra.get(_VALIDATIONS, [])]
    return {**schema, **extra, **({_VALIDATIONS: rules} if rules else {})}


def _bounds(
    kind: inspect.ListType | inspect.StrType | inspect.DictType, suffix: str
) -> dict[str, int]:
    limits = {f"min{suffix}": kind.min_length, f"max{suffix}": kind.max_length}
    return {key: value for key, value in limits.items() if value is not None}
