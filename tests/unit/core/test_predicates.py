"""CEL over predicates: what an expression may ask, and what it may cost."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighmaster.core.evaluate.predicates import (
    MAX_COST,
    MAX_COST_OF_LOOPS,
    PredicateExpression,
)
from weighmaster.errors import ExpressionError

BOM = {
    "bomFormat": "CycloneDX",
    "components": [
        {"type": "machine-learning-model", "name": "m", "licenses": [{"id": "Apache-2.0"}]},
        {"type": "data", "name": "d"},
    ],
    "score": 0.5,
    "count": 3,
    "none": None,
    "odd-name": {"x": 1},
    "predicate": {"predicate": True},
}


def judge(text: str, *predicates: Any) -> list[bool | str]:
    encoded = [each if isinstance(each, str) else json.dumps(each) for each in predicates]
    found = PredicateExpression(text).judge(encoded)
    return [str(each) if isinstance(each, ExpressionError) else each for each in found]


def refusal(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        PredicateExpression(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("predicate.bomFormat == 'CycloneDX'", True),
        ("predicate . bomFormat\n==\n'SPDX' // a comment", False),
        ("predicate.components.exists(c, c.type == 'machine-learning-model')", True),
        ("predicate.components.all(c, has(c.licenses))", False),
        ("predicate.components.exists(c, has(c.licenses) && c.licenses.all(l, l.id != 'x'))", True),
        ("predicate.components[1].name == 'd'", True),
        ("predicate.components.size() == 2 && size(predicate.components) == 2", True),
        ("predicate.score < 1 && predicate.score >= 0.5 && predicate.count > 2.5", True),
        ("has(predicate.none) && predicate.none == null", True),
        ("has(predicate.missing)", False),
        ("has(predicate.missing) && predicate.missing.x == 1", False),
        ("'count' in predicate && !('x' in predicate)", True),
        ("predicate['odd-name'].x == 1", True),
        ("predicate.predicate.predicate", True),
        ("predicate.exists(key, key == 'score')", True),
        ("predicate.components.map(c, c.name) == ['m', 'd']", True),
        ("predicate.components.filter(c, c.type == 'data').size() == 1", True),
        ("predicate.components.exists(c, predicate.bomFormat.startsWith('Cyclone'))", True),
        ("predicate.count + 1 == 4 || false", True),
        ("predicate.bomFormat.matches('^Cyclone[A-Z]{2}$')", True),
    ],
)
def test_an_expression_reads_what_is_there(text: str, value: bool) -> None:
    assert judge(text, BOM) == [value]


def test_it_is_judged_for_each_predicate_by_itself() -> None:
    text = "predicate.result == 'PASSED'"
    assert judge(text, {"result": "PASSED"}, {"result": "x"}, {"a": 1}, {"result": "PASSED"}) == [
        True,
        False,
        "the expression reads a key that is not there",
        True,
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("predicate.components.x == 1", "failed"),
        ("predicate.missing.x == 1", "reads a key that is not there"),
        ("predicate.count", "does not give true or false"),
        ("predicate.count > 'x'", "failed"),
        ("predicate.components[7].name == 'x'", "failed"),
    ],
)
def test_an_expression_that_fails_is_neither_true_nor_false(text: str, why: str) -> None:
    (found,) = judge(text, BOM)
    assert isinstance(found, str)
    assert why in found


@pytest.mark.parametrize("predicate", ["", "{", "[]", "1", "null", '{"a": NaN}', "[" * 20_000])
def test_a_record_without_a_predicate_is_an_error(predicate: str) -> None:
    assert judge("has(predicate.a)", predicate) == ["the record has no predicate that can be read"]


def test_a_predicate_that_is_too_deep_is_an_error() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = {"a": deep}
    (found,) = judge("has(predicate.a.a)", deep)
    assert "nested deeper" in str(found)
    assert judge("has(predicate.b)", {"a": deep, "b": 1}) == [True]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("predicate.", "not valid CEL"),
        ("model.pinned", "does not read predicate"),
        ("1 == 1", "does not read predicate"),
        ("'predicate' == ''", "does not read predicate"),
        ("predicate.a.all(predicate, predicate == 1)", "gives the name predicate"),
        ("predicate.now() > 1", "calls now()"),
        ("predicate.a == '''x'''", "triple quotes"),
        ("predicate.a" + " + predicate.a" * 9 + " == 1", "more than 8 times +"),
        ("predicate.a.all(x, [x] + [x] == [])", "beside a comprehension"),
        ("predicate.a.matches(predicate.b)", "something other than a literal"),
        (r"predicate.a.matches('\\w{100}\\w{100}')", "could take too long"),
        (".".join(["predicate.a", *["all(x, x"] * 4]) + "))))", "4 comprehensions"),
    ],
)
def test_an_expression_that_may_not_be_used_is_refused(text: str, why: str) -> None:
    assert why in refusal(text)


def test_only_the_word_itself_asks_for_presence() -> None:
    assert PredicateExpression(" true ").presence
    assert PredicateExpression("true").cost == 0
    assert not PredicateExpression("predicate.a == true").presence


def test_what_an_expression_reads_can_be_told() -> None:
    expression = PredicateExpression(
        "predicate.a.b == 1 && has(predicate.c) && predicate.l.exists(x, x > predicate.a.b)"
    )
    found = dict(expression.found('{"a": {"b": "x\\n"}, "l": [1, 2], "d": 1}'))
    assert found == {"predicate.a.b": '"x\\n"', "predicate.l": "[1,2]"}


LARGE = {"l": list(range(4000)), "m": [{"n": [1] * 60} for _ in range(60)], "small": 1}

COSTLY = [
    "predicate.l.all(x, x in predicate.l)",
    "predicate.l.all(x, predicate.l.all(y, x >= 0 || y >= 0))",
    "predicate.l.map(x, x * 2).size() > 0",
    "predicate.l.filter(x, x >= 0).size() > 0",
    "predicate.all(k, predicate.all(l, predicate.l == predicate.l))",
    "[predicate, predicate].all(p, p.l.all(x, p.l.all(y, x >= 0 || y >= 0)))",
    "[predicate].all(p, p.l.all(x, x in p.l))",
    "predicate.m.all(a, predicate.m.all(b, a == b || a != b))",
    "predicate.m.all(a, a.n.all(b, a.n.all(c, b == c)))",
    "(has(predicate.x) ? predicate.x : predicate.l).all(x, [1, 2, 3, 4, 5, 6].all(y, y != -x))",
]


@pytest.mark.parametrize("text", COSTLY)
def test_what_could_take_too_long_for_a_predicate_is_not_run(text: str) -> None:
    started = time.thread_time()
    (found,) = judge(text, LARGE)
    assert "too large for it" in str(found)
    assert time.thread_time() - started < 0.5
    assert judge(text, {"l": [1], "m": [], "small": 1})[0] in (True, False)


WRITTEN = str(list(range(14)))


@pytest.mark.parametrize(
    ("text", "predicate"),
    [
        # Each of these is small, and its steps multiply.
        (
            "predicate.s.all(x, predicate.l.all(y, predicate.l.all(z, x >= y || y >= z)))",
            {"s": [1] * 30, "l": [1] * 40},
        ),
        ("[predicate.l].all(p, p.all(x, p.all(y, x == y)))", {"l": [1] * 200}),
        ("predicate.l.all(x, !predicate.t.matches('y+z'))", {"l": [1] * 600, "t": "x" * 15_000}),
        (
            f"predicate.l.all(x, {WRITTEN}.all(y, {WRITTEN}.all(z, x > y || y != z)))",
            {"l": [99] * 300},
        ),
    ],
)
def test_steps_of_nested_comprehensions_multiply(text: str, predicate: Any) -> None:
    (found,) = judge(text, predicate)
    assert "too large for it" in str(found)


def test_a_large_predicate_costs_nothing_where_it_is_not_read() -> None:
    assert judge("predicate.small == 1", LARGE) == [True]
    assert judge("[1, 2, 3].exists(x, x == predicate.small)", LARGE) == [True]


def test_what_one_predicate_uses_up_is_not_there_for_the_next() -> None:
    text = "predicate.l.all(x, x >= 0)"
    found = judge(text, *[LARGE] * 4)
    assert found[0] is True
    assert "too large for it" in str(found[3])
    assert PredicateExpression(text).cost == MAX_COST_OF_LOOPS
    assert PredicateExpression("has(predicate.l)").cost == MAX_COST


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), VALUES))
def test_leaving_out_what_is_not_read_changes_nothing(predicate: dict[str, Any]) -> None:
    """Reading all of it, beside, gives the same as reading the members that are named."""
    for text in ("has(predicate.a.b)", "predicate.a.b == predicate.b", "predicate.a.a.a == 1"):
        whole = f"({text}) || (size(predicate) < 0)"
        first, second = judge(text, predicate)[0], judge(whole, predicate)[0]
        assert first == second or isinstance(first, str)
        assert isinstance(second, str) == isinstance(first, str)


@settings(deadline=None)
@given(VALUES)
def test_no_predicate_raises(value: Any) -> None:
    for text in ("predicate.a == 1", "predicate.a.all(x, x == 1)", "size(predicate) > 1"):
        (found,) = judge(text, value)
        assert isinstance(found, bool | str)
