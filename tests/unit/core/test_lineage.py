"""Lineage: every ancestor has to satisfy the rule, whatever shape the family has."""

from typing import Any

import pytest

from tests.unit.core.builders import NOW, policy, publisher, snapshot, use, workload
from weighmaster.api.v1alpha1.authority import Identity, PemSource
from weighmaster.core.evaluate import evaluate
from weighmaster.core.evaluate.lineage import MAX_ANCESTORS
from weighmaster.core.evaluate.records import authority_id, new_record
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


@pytest.mark.parametrize("status", [{}, {"state": "Pending"}, {"lineageKnown": False}])
def test_stranger_is_a_failure_though_another_parent_is_an_open_question(status: Json) -> None:
    """Otherwise a parent that can never be looked at would hide the others from ``onUnknown``."""
    parents = [record("hf://acme/unseen", **status)] if status else []
    for bases in (("hf://acme/unseen", "hf://evil/m"), ("hf://evil/m", "hf://acme/unseen")):
        assert judge(record(MODEL, *bases), *parents)[0] is Outcome.FAIL


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
    outcome, reason, _ = judge(record(MODEL, "hf://acme/old"), old)
    assert (outcome, reason) == (Outcome.ERROR, Reason.EVIDENCE_PENDING)


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


@pytest.mark.parametrize("reason", ["Proposed", "CommitNotOnBranch", "HistoryUnknown"])
def test_ancestor_at_a_commit_of_a_pull_request_is_nobodys(reason: str) -> None:
    base = f"hf://acme/base@{COMMIT}"
    document = {
        **new_record(base),
        "status": {"state": "Resolved", "resolved": base, "lineageKnown": True,
                   "failures": [{"reason": reason, "message": "x"}]},
    }  # fmt: skip
    expected = Outcome.ERROR if reason == "HistoryUnknown" else Outcome.FAIL
    assert judge(record(MODEL, base), document)[0] is expected


# Ancestors whose origin must be signed.

PEM = "-----BEGIN PUBLIC KEY-----\nacme\n-----END PUBLIC KEY-----"
ACME = authority_id(Identity(key=PemSource(pem=PEM)))
SIGNED = {"id": ACME, "verified": True, "identity": "acme", "coverage": "All"}
UNSIGNED = {"id": ACME, "verified": False, "reason": "NotSigned", "message": "no signature of it"}


def judge_signed(*documents: Json) -> tuple[Outcome, Reason, str]:
    acme = publisher("acme", "hf://acme/**", identities=[{"key": {"pem": PEM}}])
    return judge(acme, *documents, origin=rule(assurance="Signature"))


def test_signed_model_of_a_signed_base_satisfies_the_rule() -> None:
    base = record("hf://acme/base", authorities=[SIGNED])
    assert judge_signed(record(MODEL, "hf://acme/base", authorities=[SIGNED]), base)[0] is (
        Outcome.PASS
    )


@pytest.mark.parametrize("depth", [1, 3])
def test_base_that_only_the_name_claims_is_a_failure_where_a_signature_is_asked_for(
    depth: int,
) -> None:
    chain = [
        record(f"hf://acme/m{n}", f"hf://acme/m{n + 1}", authorities=[SIGNED])
        for n in range(1, depth)
    ]
    end = record(f"hf://acme/m{depth}", authorities=[UNSIGNED])
    model = record(MODEL, "hf://acme/m1", authorities=[SIGNED])
    outcome, reason, message = judge_signed(model, *chain, end)
    assert (outcome, reason) == (Outcome.FAIL, Reason.NOT_SIGNED)
    assert f"was made from hf://acme/m{depth}, which is not signed" in message
    assert "no signature of it" in message


def test_base_whose_signatures_were_not_looked_for_yet_is_an_open_question() -> None:
    model = record(MODEL, "hf://acme/base", authorities=[SIGNED])
    outcome, reason, _ = judge_signed(model, record("hf://acme/base"))
    assert (outcome, reason) == (Outcome.ERROR, Reason.EVIDENCE_PENDING)


def test_base_of_a_publisher_without_identities_is_signed_by_nobody() -> None:
    other = publisher("other", "hf://other/**")
    model = record(MODEL, "hf://other/base", authorities=[SIGNED])
    origin = rule(assurance="Signature", publishers={"allow": ["acme", "other"]})
    acme = publisher("acme", "hf://acme/**", identities=[{"key": {"pem": PEM}}])
    base = record("hf://other/base", authorities=[SIGNED])
    outcome, reason, _ = judge(acme, other, model, base, origin=origin)
    assert (outcome, reason) == (Outcome.FAIL, Reason.NOT_SIGNED)


def test_what_a_proposal_says_it_was_made_from_is_not_its_publishers_word() -> None:
    proposed = [{"reason": "Proposed", "message": "x"}]
    model = record(MODEL, authorities=[SIGNED], failures=proposed)
    outcome, reason, _ = judge_signed(model)
    assert (outcome, reason) == (Outcome.ERROR, Reason.EVIDENCE_NOT_AVAILABLE)
