"""Whose a model is, where the rule asks for a signature, and what an open question waits for."""

from typing import Any

import pytest

from tests.unit.core.builders import NOW, policy, publisher, snapshot, use, workload
from tests.unit.core.test_lineage import ACME, COMMIT, MODEL, PEM, SIGNED, UNSIGNED, record
from weighmaster.core.evaluate import Finding, evaluate
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Outcome

Json = dict[str, Any]

OWN = publisher("acme", "hf://acme/**", identities=[{"key": {"pem": PEM}}])
WEIGHTS = {**SIGNED, "coverage": "Weights"}


def failures(*reasons: str) -> list[Json]:
    return [{"reason": reason, "message": "x"} for reason in reasons]


def judge(assurance: str, *documents: Json, reference: str = MODEL, **origin: Any) -> Finding:
    lists = {"publishers": {"allow": ["acme"]}, **origin}
    rule = {"origin": {**lists, "assurance": assurance}}
    documents = (policy(rule), OWN, *documents)
    (finding,) = evaluate(workload(), (use(reference),), snapshot(*documents), NOW)
    return finding


@pytest.mark.parametrize("reason", ["Proposed", "CommitNotOnBranch", "HistoryUnknown", "Other"])
def test_what_the_publisher_signed_in_full_is_the_publishers_wherever_it_lies(reason: str) -> None:
    signed = record(MODEL, authorities=[SIGNED], failures=failures(reason))
    assert judge("Signature", signed).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("reasons", "outcome"),
    [
        ((), Outcome.PASS),
        (("Proposed",), Outcome.FAIL),
        (("CommitNotOnBranch",), Outcome.FAIL),
        (("HistoryUnknown",), Outcome.ERROR),
    ],
)
def test_files_beside_signed_weights_are_believed_by_their_place(
    reasons: tuple[str, ...], outcome: Outcome
) -> None:
    signed = record(MODEL, authorities=[WEIGHTS], failures=failures(*reasons))
    assert judge("Signature", signed).outcome is outcome


def test_signature_of_a_denied_publisher_does_not_help_it() -> None:
    signed = record(MODEL, authorities=[SIGNED])
    finding = judge("Signature", signed, publishers={"deny": ["acme"]})
    assert finding.reason is Reason.PUBLISHER_DENIED


def test_unsigned_model_of_the_right_name_is_refused() -> None:
    assert judge("Signature", record(MODEL, authorities=[UNSIGNED])).reason is Reason.NOT_SIGNED


def test_result_of_an_authority_that_is_nobodys_counts_for_nothing() -> None:
    assert ACME != "0" * 16
    other = {**SIGNED, "id": "0" * 16}
    finding = judge("Signature", record(MODEL, authorities=[UNSIGNED, other]))
    assert finding.reason is Reason.NOT_SIGNED


# What is waited for.


def test_commit_waits_for_the_record_of_its_repository() -> None:
    assert judge("Namespace").awaits == MODEL
    assert judge("Namespace", reference=f"{MODEL}#m.gguf").awaits == MODEL
    by_url = f"https://huggingface.co/acme/m/resolve/{COMMIT}/m.gguf"
    assert judge("Namespace", reference=by_url).awaits == MODEL


@pytest.mark.parametrize("status", [{"state": "Pending"}, {"expiresAt": "2026-11-24T12:00:00Z"}])
def test_evidence_that_is_on_its_way_is_waited_for(status: Json) -> None:
    finding = judge("Namespace", record(MODEL, **status))
    assert (finding.outcome, finding.reason) == (Outcome.ERROR, Reason.EVIDENCE_PENDING)
    assert finding.awaits == MODEL


@pytest.mark.parametrize("state", ["Failed", "Unavailable"])
def test_evidence_that_cannot_be_had_is_not_waited_for(state: str) -> None:
    expired = {"expiresAt": "2026-11-24T12:00:00Z"}
    finding = judge("Namespace", record(MODEL, state=state, failures=failures("x"), **expired))
    assert (finding.outcome, finding.awaits) == (Outcome.ERROR, None)


def test_failure_waits_for_nothing() -> None:
    assert judge("Namespace", reference=f"hf://evil/m@{COMMIT}").awaits is None


def test_lineage_waits_for_the_ancestor_that_is_on_its_way() -> None:
    model = record(MODEL, "hf://acme/base")
    base = record("hf://acme/base", expiresAt="2026-11-24T11:00:00Z")
    assert judge("Namespace", model, base, lineage="Include").awaits == "hf://acme/base"
    # Whoever keeps records makes that of an ancestor: there is one already to wait for it with.
    assert judge("Namespace", model, lineage="Include").awaits == MODEL
