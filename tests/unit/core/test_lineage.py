"""Lineage: every ancestor has to satisfy the rule, whatever shape the family has."""

from typing import Any

import pytest

from tests.unit.core.builders import NOW, policy, publisher, snapshot, use, workload
from weighmaster.core.evaluate import evaluate
from weighmaster.core.evaluate.lineage import MAX_ANCESTORS
from weighmaster.core.evaluate.records import new_record
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Outcome

COMMIT = "a" * 40
MODEL = f"hf://acme/m@{COMMIT}"
Json = dict[str, Any]


def rule(**origin: Any) -> Json:
    lists = {"publishers": {"allow": ["acme"]}}
    return {"origin": {**lists, "assurance": "Namespace", "lineage": "Include", **origin}}


def record(reference: str, *bases: str, **status: Any) -> Json:
    resolved = reference if reference == MODEL else f"{reference}@{COMMIT}"
    known = {"state": "Resolved", "resolved": resolved, "lineageKnown": True}
    return {**new_record(reference), "status": {**known, "baseModels": list(bases), **status}}


def judge(*documents: Json, origin: Json | None = None) -> tuple[Outcome, Reason, str]:
    documents = (policy(origin or rule()), publisher("acme", "hf://acme/**"), *documents)
    (finding,) = evaluate(workload(), (use(MODEL),), snapshot(*documents), NOW)
    return finding.outcome, finding.reason, finding.message


def test_model_that_was_made_from_nothing_satisfies_the_rule() -> None:
    assert judge(record(MODEL))[0] is Outcome.PASS


def test_chain_of_own_models_satisfies_the_rule() -> None:
    chain = [record(f"hf://acme/m{n}", f"hf://acme/m{n + 1}") for n in range(10)]
    assert judge(record(MODEL, "hf://acme/m0"), *chain, record("hf://acme/m10"))[0] is Outcome.PASS


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_stranger_is_found_however_far_up(depth: int) -> None:
    chain = [record(f"hf://acme/m{n}", f"hf://acme/m{n + 1}") for n in range(depth)]
    end = record(f"hf://acme/m{depth}", "hf://evil/m")
    outcome, reason, message = judge(record(MODEL, "hf://acme/m0"), *chain, end)
    assert (outcome, reason) == (Outcome.FAIL, Reason.PUBLISHER_UNKNOWN)
    assert "was made from hf://evil/m" in message


@pytest.mark.parametrize("place", range(4))
def test_one_stranger_among_many_parents_is_enough(place: int) -> None:
    bases = [f"hf://acme/m{n}" for n in range(4)]
    parents = [record(base) for base in bases]
    bases[place] = "hf://evil/m"
    assert judge(record(MODEL, *bases), *parents)[0] is Outcome.FAIL


def test_stranger_is_a_failure_though_another_parent_is_an_open_question() -> None:
    for bases in (("hf://acme/unseen", "hf://evil/m"), ("hf://evil/m", "hf://acme/unseen")):
        assert judge(record(MODEL, *bases))[0] in (Outcome.FAIL, Outcome.ERROR)


def test_ancestor_that_nothing_is_known_of_is_an_open_question() -> None:
    outcome, reason, _ = judge(record(MODEL, "hf://acme/unseen"))
    assert (outcome, reason) == (Outcome.ERROR, Reason.EVIDENCE_PENDING)


def test_ancestor_that_cannot_be_looked_at_is_an_open_question_with_its_cause() -> None:
    failure = {"reason": "Unauthorized", "message": "it is gated"}
    gated = record("hf://acme/gated", state="Failed", failures=[failure])
    outcome, reason, message = judge(record(MODEL, "hf://acme/gated"), gated)
    assert (outcome, reason) == (Outcome.ERROR, Reason.EVIDENCE_NOT_AVAILABLE)
    assert "it is gated" in message


def test_ancestor_whose_evidence_has_expired_is_an_open_question() -> None:
    old = record("hf://acme/old", expiresAt="2026-11-24T11:00:00Z")
    assert judge(record(MODEL, "hf://acme/old"), old)[0] is Outcome.ERROR


def test_ancestor_with_an_unknown_lineage_is_a_failure_that_names_its_record() -> None:
    vague = record("hf://acme/vague", lineageKnown=False)
    outcome, reason, message = judge(record(MODEL, "hf://acme/vague"), vague)
    assert (outcome, reason) == (Outcome.FAIL, Reason.LINEAGE_UNKNOWN)
    assert vague["metadata"]["name"] in message


def test_circles_and_shared_ancestors_are_looked_at_once() -> None:
    a = record("hf://acme/a", "hf://acme/b", MODEL)
    b = record("hf://acme/b", "hf://acme/a", "hf://acme/root")
    assert (
        judge(record(MODEL, "hf://acme/a", "hf://acme/b"), a, b, record("hf://acme/root"))[0]
        is Outcome.PASS
    )


def test_lineage_that_is_too_large_is_not_looked_through() -> None:
    bases = [f"hf://acme/m{n}" for n in range(MAX_ANCESTORS - 1)]
    parents = [record(base) for base in bases]
    assert judge(record(MODEL, *bases), *parents)[0] is Outcome.PASS
    bases.append("hf://acme/more")
    outcome, reason, _ = judge(record(MODEL, *bases), *parents, record("hf://acme/more"))
    assert (outcome, reason) == (Outcome.FAIL, Reason.LINEAGE_UNKNOWN)


def test_denied_publisher_is_found_among_ancestors() -> None:
    origin = rule(publishers={"deny": ["evil"]})
    evil = publisher("evil", "hf://evil/**")
    outcome, reason, _ = judge(record(MODEL, "hf://evil/m"), evil, origin=origin)
    assert (outcome, reason) == (Outcome.FAIL, Reason.PUBLISHER_DENIED)


def test_ancestors_may_be_named_without_a_commit() -> None:
    assert judge(record(MODEL, "hf://acme/base"), record("hf://acme/base"))[0] is Outcome.PASS


def test_branch_of_an_ancestor_may_hold_slashes() -> None:
    base = "hf://acme/base@feature/x"
    document = {
        **new_record(base),
        "status": {"state": "Resolved", "resolved": f"hf://acme/base@{COMMIT}",
                   "lineageKnown": True},
    }  # fmt: skip
    assert judge(record(MODEL, base), document)[0] is Outcome.PASS
