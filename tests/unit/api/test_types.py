"""The typed models and the definitions generated from them say the same."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.unit.core.builders import exception, namespaced, policy, publisher
from weighmaster.api.schema import custom_resource_definitions
from weighmaster.api.v1alpha1 import RESOURCES
from weighmaster.api.v1alpha1.exception import ModelExceptionSpec
from weighmaster.api.v1alpha1.policy import ClusterModelPolicySpec, ModelPolicySpec
from weighmaster.api.v1alpha1.publisher import ModelPublisherSpec

DEFINITIONS = {
    definition["spec"]["names"]["kind"]: definition
    for definition in custom_resource_definitions().values()
}


def schema_of(kind: str) -> dict[str, Any]:
    (version,) = DEFINITIONS[kind]["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from walk(schema[name], f"{path}[]")


def test_every_kind_has_a_definition() -> None:
    assert set(DEFINITIONS) == {resource.names.kind for resource in RESOURCES}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_field_is_described(kind: str) -> None:
    bare = [
        path
        for path, schema in walk(schema_of(kind))
        if path and not path.endswith("[]") and not schema.get("description")
    ]
    # The members of Kubernetes' own types (an EnvVar) are described there.
    elsewhere = (".apiVersion", ".kind", ".metadata", ".spec.env[].")
    assert [path for path in bare if not path.startswith(elsewhere)] == []


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_part_has_a_type_and_nothing_a_structural_schema_forbids(kind: str) -> None:
    for path, schema in walk(schema_of(kind)):
        assert "type" in schema or schema.get("x-kubernetes-preserve-unknown-fields"), path
        assert not {"$ref", "anyOf", "oneOf", "allOf", "const"} & set(schema), path


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_definition_has_a_status_subresource_and_our_category(kind: str) -> None:
    spec = DEFINITIONS[kind]["spec"]
    assert spec["versions"][0]["subresources"] == {"status": {}}
    assert "weighmaster" in spec["names"]["categories"]


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_pattern_is_anchored_and_compiles(kind: str) -> None:
    for path, schema in walk(schema_of(kind)):
        if pattern := schema.get("pattern"):
            assert pattern.startswith("^"), path
            assert pattern.endswith("$") or path.endswith(".pem"), path  # what follows is parsed
            re.compile(pattern)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_text_list_and_mapping_of_a_spec_is_bounded(kind: str) -> None:
    unbounded = [
        path
        for path, schema in walk(schema_of(kind)["properties"]["spec"])
        if (schema["type"] == "array" and "maxItems" not in schema)
        or (
            schema["type"] == "string"
            and "maxLength" not in schema
            and "enum" not in schema
            and schema.get("format") != "date-time"
        )
    ]
    assert unbounded == []


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (ClusterModelPolicySpec, policy()),
        (ModelPolicySpec, namespaced()),
        (ModelPublisherSpec, publisher("acme", "hf://acme/**", jurisdiction="FR")),
        (ModelExceptionSpec, exception()),
    ],
)
def test_spec_survives_being_written_and_read(kind: Any, stored: dict[str, Any]) -> None:
    read = msgspec.convert(stored["spec"], kind)
    assert msgspec.json.decode(msgspec.json.encode(read), type=kind) == read


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (ClusterModelPolicySpec, policy()),
        (ModelPublisherSpec, publisher("acme", "hf://acme/**")),
        (ModelExceptionSpec, exception()),
    ],
)
def test_field_that_nobody_knows_is_an_error(kind: type, stored: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**stored["spec"], "unknown": 1}, kind)


@pytest.mark.parametrize("value", ["fr", "FRA", "F", "", "F1", "\ufb01"])
def test_jurisdiction_is_a_country_code(value: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(publisher("a", "hf://a/**", jurisdiction=value)["spec"], ModelPublisherSpec)


@pytest.mark.parametrize(
    "reference", ["**", "hf://**", "hf://*/x", "acme", "hf://a b/**", "hf://a/**/b", ""]
)
def test_namespace_of_a_publisher_is_literal_up_to_its_end(reference: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(publisher("a", reference)["spec"], ModelPublisherSpec)
