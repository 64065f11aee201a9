"""Every golden decision holds, and so do the properties that no policy may break."""

from collections import Counter

import pytest

from tests.golden.suite import Loaded, apply, identity, load_all
from weighmaster.core.reasons import Reason
from weighmaster.core.respond import DECISION_ANNOTATION
from weighmaster.core.values import Action, Outcome
from weighmaster.pipeline import Review, Stage, review

CASES = load_all()

every_case = pytest.mark.parametrize("loaded", CASES, ids=[case.id for case in CASES])


def action_of(answer: Review) -> Action:
    return answer.decision.action if answer.decision else Action.ALLOW


@every_case
def test_decision_is_the_golden_one(loaded: Loaded) -> None:
    answer = loaded.review()
    expect = loaded.case.expect
    response = answer.response
    told = f"{response.message}\n{response.warnings}"
    label = (
        answer.decision.action.label
        if answer.decision
        else ("Allow" if response.allowed else "Deny")
    )
    assert (label, response.allowed) == (expect.decision, expect.allowed), told
    assert Counter(response.reasons) == Counter(Reason(reason) for reason in expect.reasons), told
    for text in expect.message:
        assert text in response.message
    for text in expect.warnings:
        assert any(text in warning for warning in response.warnings), response.warnings
    if expect.form is not None:
        made = apply(loaded.mutate(), loaded.case.object) or {}
        annotations = made["metadata"]["annotations"]
        del annotations[DECISION_ANNOTATION]
        if not annotations:
            del made["metadata"]["annotations"]
        assert made == expect.form
    if expect.becomes is not None:
        made = apply(loaded.mutate(), loaded.case.object) or {}
        assert within(expect.becomes, made) == expect.becomes


def within(expected: object, found: object) -> object:
    """What there is of what is expected: members that are not expected are left out."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: within(value, found[key]) for key, value in expected.items() if key in found}
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [within(one, other) for one, other in zip(expected, found, strict=True)]
    return found


@every_case
def test_order_of_policies_is_irrelevant(loaded: Loaded) -> None:
    assert loaded.review(loaded.snapshot(reverse=True)) == loaded.review()


@every_case
def test_second_evaluation_gives_the_same_decision(loaded: Loaded) -> None:
    snapshot = loaded.snapshot()
    assert loaded.review(snapshot) == loaded.review(snapshot)


@every_case
def test_mutation_is_idempotent_and_changes_no_decision(loaded: Loaded) -> None:
    snapshot = loaded.snapshot()
    first = loaded.mutate(snapshot)
    document = apply(first, loaded.case.object)
    if not first.response.patch:
        return
    assert first.document == document
    again = review(loaded.request(Stage.MUTATE, document), snapshot, loaded.case.now)
    validated = review(loaded.request(document=document), snapshot, loaded.case.now)
    assert again.response.patch == ()
    assert again.decision == first.decision
    if validated.decision is None and first.decision is not None:
        assert not validated.response.allowed  # it would undo what was enforced before
    else:
        assert validated.decision == first.decision


@every_case
def test_removing_an_exception_never_loosens_a_decision(loaded: Loaded) -> None:
    without = Loaded(
        id=loaded.id,
        case=loaded.case,
        resources=tuple(r for r in loaded.resources if r.get("kind") != "ModelException"),
    )
    assert action_of(without.review()) >= action_of(loaded.review())


@every_case
def test_removing_evidence_never_loosens_a_decision(loaded: Loaded) -> None:
    snapshot = loaded.snapshot()
    if any(policy.on_unknown < policy.action for policy in snapshot.policies):
        return  # such a policy says itself that what is unknown weighs less
    records = [r for r in loaded.resources if r.get("kind") == "ModelRecord"]
    for record in records:
        if (record.get("status") or {}).get("content"):
            continue  # what was found on a volume; whoever forgets it verifies it again
        without = Loaded(
            id=loaded.id,
            case=loaded.case,
            resources=tuple(r for r in loaded.resources if identity(r) != identity(record)),
        )
        assert action_of(without.review()) >= action_of(loaded.review(snapshot))


@every_case
def test_forgetting_what_was_looked_for_never_loosens_a_decision(loaded: Loaded) -> None:
    """Neither a signature nor an attestation, whether it was found or not."""
    snapshot = loaded.snapshot()
    if any(policy.on_unknown < policy.action for policy in snapshot.policies):
        return
    decided = action_of(loaded.review(snapshot))
    for record in loaded.resources:
        status = record.get("status") or {}
        for part in ("authorities", "attestations"):
            for entry in status.get(part, ()):
                rest = [each for each in status[part] if each is not entry]
                without = {**record, "status": {**status, part: rest}}
                resources = tuple(without if r is record else r for r in loaded.resources)
                forgetful = Loaded(id=loaded.id, case=loaded.case, resources=resources)
                assert action_of(forgetful.review()) >= decided


@every_case
def test_forgetting_the_labels_of_namespaces_never_loosens_a_decision(loaded: Loaded) -> None:
    without = Loaded(
        id=loaded.id,
        case=loaded.case,
        resources=tuple(r for r in loaded.resources if r.get("kind") != "Namespace"),
    )
    assert action_of(without.review()) >= action_of(loaded.review())


@every_case
def test_removing_a_policy_never_tightens_a_decision(loaded: Loaded) -> None:
    policies = [r for r in loaded.resources if r.get("kind", "").endswith("ModelPolicy")]
    for policy in policies:
        if "Rewrite" in str(policy) or "Stage" in str(policy):
            continue  # it makes of a reference that others object to one that they do not
        without = Loaded(
            id=loaded.id,
            case=loaded.case,
            resources=tuple(r for r in loaded.resources if r is not policy),
        )
        assert action_of(without.review()) <= action_of(loaded.review())


@every_case
def test_every_finding_that_refuses_names_policy_rule_and_reference(loaded: Loaded) -> None:
    answer = loaded.review()
    if answer.response.allowed or answer.decision is None:
        return
    first = answer.decision.against[0]
    assert f'policy "{first.policy}"' in answer.response.message
    assert f'rule "{first.rule}"' in answer.response.message
    assert first.use.reference.canonical in answer.response.message
    assert first.outcome in (Outcome.FAIL, Outcome.ERROR)


def test_there_are_at_least_120_cases_with_names_of_their_own() -> None:
    assert len(CASES) >= 120
    assert len({case.id for case in CASES}) == len(CASES)


def test_every_reason_that_a_policy_can_give_has_a_case() -> None:
    edge = {
        Reason.NOT_READY,
        Reason.OVERLOADED,
        Reason.REQUEST_TOO_LARGE,
        Reason.INTERNAL_ERROR,
        Reason.SATISFIED,
        Reason.EXCEPTED,
        Reason.NAMED_ELSEWHERE,
        Reason.FETCHED_ONLY,
        Reason.DECIDED_ON_PODS,
        Reason.VERIFIED_BEFORE_START,
    }
    seen = {reason for case in CASES for reason in case.review().response.reasons}
    assert set(Reason) - edge - seen == set()
