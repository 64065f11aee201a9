"""Label selectors mean what they mean to Kubernetes, and doubt stays doubt."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighmaster.api.v1alpha1.meta import LabelSelector
from weighmaster.core.evaluate.selectors import NAMESPACE_NAME_LABEL, Selector, Truth


def selector(**parts: Any) -> Selector:
    return Selector(msgspec.convert(parts, LabelSelector))


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("parts", "labels", "holds"),
    [
        ({}, {}, True),
        ({}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchLabels": {"a": "b"}}, {}, False),
        ({"matchLabels": {"a": ""}}, {"a": ""}, True),
        ({"matchLabels": {"a": ""}}, {}, False),
        ({"matchLabels": {"a": "b", "c": "d"}}, {"a": "b"}, False),
        (expression("a", "In", "b", "c"), {"a": "c"}, True),
        (expression("a", "In", "b", "c"), {"a": "d"}, False),
        (expression("a", "In", "b"), {}, False),
        (expression("a", "In", ""), {}, False),
        (expression("a", "NotIn", "b"), {"a": "c"}, True),
        (expression("a", "NotIn", "b"), {"a": "b"}, False),
        (expression("a", "NotIn", "b"), {}, True),  # labels.Requirement.Matches: absent is not in
        (expression("a", "Exists"), {"a": ""}, True),
        (expression("a", "Exists"), {}, False),
        (expression("a", "DoesNotExist"), {}, True),
        (expression("a", "DoesNotExist"), {"a": ""}, False),
        ({"matchLabels": {"a": "b"}, **expression("a", "NotIn", "b")}, {"a": "b"}, False),
        ({"matchLabels": {"A": "b"}}, {"a": "b"}, False),
        ({"matchLabels": {"a": "B"}}, {"a": "b"}, False),
    ],
)
def test_selector_agrees_with_kubernetes(
    parts: dict[str, Any], labels: dict[str, str], holds: bool
) -> None:
    assert selector(**parts).matches(labels) is holds
    assert selector(**parts).matches_namespace("n", labels) is (Truth.YES if holds else Truth.NO)


@pytest.mark.parametrize(
    ("parts", "truth"),
    [
        ({}, Truth.YES),
        ({"matchLabels": {"env": "prod"}}, Truth.UNKNOWN),
        (expression("env", "DoesNotExist"), Truth.UNKNOWN),
        ({"matchLabels": {NAMESPACE_NAME_LABEL: "n"}}, Truth.YES),
        ({"matchLabels": {NAMESPACE_NAME_LABEL: "m"}}, Truth.NO),
        (expression(NAMESPACE_NAME_LABEL, "NotIn", "n"), Truth.NO),
        (expression(NAMESPACE_NAME_LABEL, "NotIn", "m"), Truth.YES),
        ({"matchLabels": {"env": "prod", NAMESPACE_NAME_LABEL: "m"}}, Truth.NO),
        ({"matchLabels": {"env": "prod", NAMESPACE_NAME_LABEL: "n"}}, Truth.UNKNOWN),
    ],
)
def test_namespace_without_known_labels_is_decided_by_its_name_alone(
    parts: dict[str, Any], truth: Truth
) -> None:
    assert selector(**parts).matches_namespace("n", None) is truth


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")),
    st.sampled_from("abc"),
    st.sets(st.sampled_from("xyz"), min_size=1),
)
def test_not_in_is_the_opposite_of_in(labels: dict[str, str], key: str, values: set[str]) -> None:
    inside = selector(**expression(key, "In", *values)).matches(labels)
    outside = selector(**expression(key, "NotIn", *values)).matches(labels)
    assert inside is not outside
