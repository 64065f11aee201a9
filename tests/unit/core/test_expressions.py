"""Expressions see what is documented, cost what is bounded, and fail without letting through."""

import time

import pytest
from msgspec import structs

from tests.unit.core.builders import KNOWN, NOW, policy, publisher, snapshot, subject, use, workload
from weighmaster.core import references
from weighmaster.core.evaluate.expressions import (
    _GETTERS,
    EVIDENCE_FIELDS,
    MAX_COST,
    MAX_TEXT,
    MODEL_FIELDS,
    WORKLOAD_FIELDS,
    Expression,
    estimate_cost,
)
from weighmaster.core.evaluate.subject import Subject
from weighmaster.errors import ExpressionError


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("model.scheme == 'hf'", True),
        ("model.reference == 'hf://acme/m'", True),
        ("model.revision == ''", True),
        ("model.pinned", False),
        ("model.known && !model.pinned", True),
        ("model.role in ['base', 'adapter']", True),
        ("model.reference.startsWith('hf://acme/')", True),
        ("model.reference.matches('^hf://[a-z]+/m$')", True),
        ("model.publishers == []", True),
        ("model.publishers.exists(p, p == 'acme')", False),
        ("model.originOverrides.all(o, o != 'HF_ENDPOINT')", True),
        ("workload.labels['team'] == 'a'", True),
        ("has(workload.labels.team) && workload.labels.team == 'a'", True),
        ("!has(workload.labels.owner)", True),
        ("'team' in workload.labels", True),
        ("workload.kind == 'Deployment' && workload.group == 'apps'", True),
        ("size(model.reference) < 100", True),
        ("model.path.contains('spec')", True),
        ("model . known // a remark with model.nothing in it", True),
        ("model.reference != 'model.nothing'", True),
    ],
)
def test_expression_is_evaluated(source: str, holds: bool) -> None:
    assert Expression(source).evaluate(subject()) is holds


def test_every_documented_field_can_be_read_and_every_readable_field_is_documented() -> None:
    assert set(_GETTERS["model"]) == set(MODEL_FIELDS)
    assert set(_GETTERS["workload"]) == set(WORKLOAD_FIELDS)
    assert not set(EVIDENCE_FIELDS) & set(MODEL_FIELDS)
    for variable, fields in (("model", MODEL_FIELDS), ("workload", WORKLOAD_FIELDS)):
        for field in fields:
            assert Expression(f"{variable}.{field} == {variable}.{field}").evaluate(subject())


@pytest.mark.parametrize("field", EVIDENCE_FIELDS)
def test_evidence_that_is_missing_is_a_key_error_and_never_false(field: str) -> None:
    with pytest.raises(KeyError):
        Expression(f"model.{field} != model.{field}").evaluate(subject())


@pytest.mark.parametrize(
    "source",
    [
        "",
        " ",
        "model.",
        "model.known &&",
        "model.known = true",
        "model.nothing == 'x'",
        "model.Known",
        "workload.sizeBytes > 1",
        "workload.nothing == ''",
        "true",
        "1 == 1",
        "nobody.known",
        "model.known && cluster()",
        "model.known && max(1, 2) == 2",
        "model.known && timestamp('2026-01-01T00:00:00Z') > timestamp('2025-01-01T00:00:00Z')",
        "'''model''' == 'x' && model.known",
        '"""model""" == "x" && model.known',
        "(" * 500 + "model.known" + ")" * 500,
        "[" * 500 + "]" * 500 + " == [] && model.known",
        "model.known\x00",
    ],
)
def test_expression_that_makes_no_sense_is_refused_when_it_is_compiled(source: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(source)


@pytest.mark.parametrize(
    "source",
    [
        "model.reference",
        "1 / size(model.revision) > 0",
        "9223372036854775807 + size(model.reference) > 0",
        "model.publishers[7] == 'x'",
        "workload.labels['owner'] == 'x'",
        "model.reference > 1",
        "int(model.reference) > 0",
        "model.known ? 1 : 2",
        "model.reference.matches('(')",
        "model.known.nothing == 1",
    ],
)
def test_expression_that_fails_is_an_error_without_its_text(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(subject("hf://acme/hf_secret"))
    assert "hf_secret" not in str(caught.value)
    assert caught.value.__cause__ is None


TOO_COSTLY = {
    "four comprehensions": "model.publishers.all(a, model.publishers.all(b, model.publishers.all("
    "c, model.publishers.all(d, a == b))))",
    "spread over a line": "[1].\n all(a,[1]. all(b,[1].all (c,[1].exists(d,a==d))))&&model.known",
    "a comment before the macro": "[1]. // x\n all(a, [1]. // x\n all(b, [1]. // x\n all(c,"
    " [1]. // x\n all(d, a == d)))) && model.known",
    "the other spelling": "[1].existsOne(a, [1].existsOne(b, [1].existsOne(c, [1].existsOne(d,"
    " a == d)))) && model.known",
    "a long list": f"[{','.join('1' * 60)}].all(x, x == 1) && model.known",
    "a list added to itself": "[[1, 2, 3]].all(l, (l + l + l).all(x, x > 0)) && model.known",
    "a text added to itself": "['a'].all(s, (s + s).contains('b')) && model.known",
    "a heavy body thrice nested": "model.publishers.all(a, model.publishers.all(b,"
    f" model.publishers.all(c, {' || '.join(['a == b'] * 100)})))",
    "a wide class": r"model.path.matches('\\w{500}')",
    "nested repetition": "model.path.matches('((a{100}){100}){100}')",
    "a wide class in a raw string": r"model.path.matches(r'\w{500}')",
    "an escaped class": r"model.path.matches('\u005cw{500}')",
    "an escaped brace": r"model.path.matches('\\w\x7b500}')",
    "many classes": "model.path.matches('" + r"\\w" * 300 + "')",
    "a pattern from the object": "'x'.matches(model.path)",
    "a pattern put together": r"model.path.matches('\\w' + '{500}')",
    "a pattern in three loops": "model.publishers.all(a, model.publishers.all(b,"
    " model.publishers.all(c, c.matches('x'))))",
}


@pytest.mark.parametrize("source", TOO_COSTLY.values(), ids=TOO_COSTLY.keys())
def test_expression_that_could_take_long_is_refused_when_it_is_compiled(source: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(source)


ALLOWED = {
    "three loops over literals": "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b,"
    " [1,2,3,4,5,6,7,8,9,10].all(c, a < 99))) && model.known",
    "three loops beside each other": "model.publishers.all(a, a != 'x') && model.jurisdictions."
    "all(b, b != 'y') && model.originOverrides.all(c, c != 'z')",
    "a digest": "model.reference.matches('^oci://[a-z0-9./-]+@sha256:[0-9a-f]{64}$')",
    "a commit": "model.revision.matches('^[0-9a-f]{40}$') || model.pinned",
    "a few wide classes": r"model.location.matches('^hf://\\w+/\\w+-\\d+b$')",
    "a sum": "size(model.reference) + size(model.path) < 4096",
    "a pattern in a loop": "model.publishers.all(p, p.matches('^[a-z]+$'))",
    "long texts": " && ".join(["model.reference != 'hf://acme/a-model-that-is-not-wanted'"] * 60),
}


@pytest.mark.parametrize("source", ALLOWED.values(), ids=ALLOWED.keys())
def test_expression_that_people_need_is_allowed_and_quick(source: str) -> None:
    assert len(source) <= 4096
    expression = Expression(source)
    many = [publisher(f"p{n}", "hf://acme/**", jurisdiction="FR") for n in range(32)]
    seen = subject("hf://acme/m", *many)
    started = time.process_time()
    expression.evaluate(seen)
    assert time.process_time() - started < 0.2
    assert estimate_cost(source) <= MAX_COST + 10


def test_list_of_too_many_members_is_an_error() -> None:
    many = [publisher(f"p{n}", "hf://acme/**") for n in range(33)]
    with pytest.raises(ExpressionError, match=r"model\.publishers has more than 32 members"):
        Expression("model.publishers.all(p, p != 'x')").evaluate(subject("hf://acme/m", *many))


def test_labels_without_end_are_an_error() -> None:
    labels = {f"k{n}": "v" for n in range(33)}
    seen = Subject(use(), workload(label_sets=(labels,)), snapshot(), NOW)
    with pytest.raises(ExpressionError, match=r"workload\.labels"):
        Expression("'a' in workload.labels").evaluate(seen)


def test_text_without_end_is_an_error() -> None:
    seen = Subject(use(path="x" * (MAX_TEXT + 1)), workload(), snapshot(), NOW)
    with pytest.raises(ExpressionError, match=r"model\.path"):
        Expression("model.path != ''").evaluate(seen)


def test_expression_reads_only_what_it_names() -> None:
    seen = Subject(use(path="x" * (MAX_TEXT + 1)), workload(), snapshot(), NOW)
    assert Expression("model.known").evaluate(seen) is True
    with pytest.raises(ExpressionError):
        Expression("model == model").evaluate(seen)


def test_one_expression_gives_each_subject_its_own_answer() -> None:
    expression = Expression("model.location == 'hf://acme/m'")
    assert expression.evaluate(subject("hf://acme/m")) is True
    assert expression.evaluate(subject("hf://evil/m")) is False


def test_policy_with_too_much_cel_is_unusable() -> None:
    rule = {"expression": {"cel": "model.known" + " && model.known" * 250, "message": "m"}}
    assert snapshot(policy(*[rule] * 4)).policies[0].problem is None
    problem = snapshot(policy(*[rule] * 6, KNOWN)).policies[0].problem
    assert "16384 characters" in str(problem)


def test_reference_with_a_variable_is_not_known() -> None:
    reference = structs.replace(references.parse("hf://$(ORG)/m"))
    assert Expression("!model.known").evaluate(subject(reference)) is True
