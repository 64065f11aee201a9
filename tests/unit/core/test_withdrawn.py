"""What was attested and is found no more: removing an attestation never admits a model."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signing.attesting import SCAN
from tests.signing.bundles import public_pem
from tests.unit.core.builders import policy, snapshot, use, workload
from tests.unit.core.test_assess import KEY, NOW, assert_storable
from weighmaster.api.v1alpha1.authority import Authority
from weighmaster.api.v1alpha1.record import (
    AttestationResult,
    AttestationState,
    AttestedStatement,
    EvidenceState,
    ModelRecordStatus,
    SignatureMethod,
)
from weighmaster.core.attestations import MAX_PREDICATES, MAX_STATEMENTS, Demand
from weighmaster.core.evaluate import evaluate
from weighmaster.core.evaluate.records import authority_id
from weighmaster.core.values import Action
from weighmaster.core.verify.authorities import KnownAuthority, key_authority
from weighmaster.core.withdrawn import with_withdrawn

REFERENCE = f"oci://registry.example/acme/m@sha256:{'a' * 64}"
BY_KEY = {"key": {"pem": public_pem(KEY)}}
ID = authority_id(msgspec.convert(BY_KEY, Authority))
AUTHORITY = key_authority(public_pem(KEY))
DEMANDS = (Demand(SCAN, KnownAuthority(ID, AUTHORITY)),)
POLICY = policy(
    {
        "attestation": {
            "predicateType": SCAN,
            "authorities": [BY_KEY],
            "expression": "predicate.result == 'PASSED'",
        }
    }
)


def statement(
    name: str, result: str = "PASSED", hours: int | None = None, **fields: Any
) -> AttestedStatement:
    """A statement by the key; with ``hours``, one that says when it was made."""
    return AttestedStatement(
        **{
            "digest": f"sha256:{name * 64}",
            "method": SignatureMethod.KEY,
            "identity": AUTHORITY.fingerprint,
            "issued_at": None if hours is None else NOW + timedelta(hours=hours),
            "predicate": f'{{"result":"{result}"}}',
            **fields,
        }
    )


A, B, C = statement("a"), statement("b", "FAILED"), statement("c")


def found(*statements: AttestedStatement) -> ModelRecordStatus:
    """What a gathering finds, as an assessment says it: without what the signer superseded."""
    state = AttestationState.ATTESTED if statements else AttestationState.NOT_ATTESTED
    times = [each.issued_at for each in statements if each.issued_at is not None]
    standing = [each for each in statements if each.issued_at in (None, max(times, default=None))]
    result = AttestationResult(predicate_type=SCAN, authority=ID, state=state, statements=standing)
    return ModelRecordStatus(
        state=EvidenceState.RESOLVED, resolved=REFERENCE, attestations=[result]
    )


def over_time(
    *gatherings: Sequence[AttestedStatement] | ModelRecordStatus,
    demands: Sequence[Demand] = DEMANDS,
) -> ModelRecordStatus:
    """What a record says after several gatherings, an hour between them."""
    status: ModelRecordStatus | None = None
    for n, each in enumerate(gatherings):
        gathered = each if isinstance(each, ModelRecordStatus) else found(*each)
        status = with_withdrawn(gathered, status, demands, NOW + timedelta(hours=n))
    assert status is not None
    return status


def digests(status: ModelRecordStatus) -> dict[str, datetime | None]:
    """Statements by the letter of their digest, and since when they are withdrawn."""
    return {
        each.digest[-1]: each.withdrawn_at
        for result in status.attestations
        for each in result.statements
    }


def decided(status: ModelRecordStatus) -> Action:
    record = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": "m"},
        "spec": {"reference": REFERENCE},
        "status": msgspec.to_builtins(status),
    }
    findings = evaluate(workload(), (use(REFERENCE),), snapshot(POLICY, record), NOW)
    return findings[0].action


def test_what_is_gone_stays_and_since_when() -> None:
    status = over_time([A, B], [A], [A])
    assert_storable(status)
    assert digests(status) == {"a": None, "b": NOW + timedelta(hours=1)}
    assert decided(status) is Action.DENY
    assert status.attestations[0].state is AttestationState.ATTESTED


def test_what_comes_back_is_as_if_it_had_never_been_away() -> None:
    assert over_time([A, B], [A], [A, B]) == over_time([A, B])


def test_attesting_anew_takes_the_place_of_what_is_gone() -> None:
    assert digests(over_time([B], [A])) == {"a": None}
    assert decided(over_time([B], [A])) is Action.ALLOW
    assert digests(over_time([A, B], [A], [A, C])) == {"a": None, "c": None}


def test_what_was_seen_beside_it_is_nothing_new() -> None:
    assert decided(over_time([A, B], [A])) is Action.DENY
    assert decided(over_time([A, B], [], [A])) is Action.DENY


def test_of_what_says_when_it_was_made_only_the_later_renews() -> None:
    old, failed, new = statement("a", hours=1), statement("b", "FAILED", 2), statement("c", hours=3)
    assert decided(over_time([failed], [old])) is Action.DENY  # one that nobody here had seen
    assert decided(over_time([failed], [new])) is Action.ALLOW
    assert digests(over_time([failed], [new])) == {"c": None}


def test_what_was_there_before_and_could_not_be_seen_is_nothing_new() -> None:
    def unknown(*kept: AttestedStatement) -> ModelRecordStatus:
        status = found(*kept)
        (result,) = status.attestations
        doubtful = msgspec.structs.replace(result, state=AttestationState.UNKNOWN)
        return msgspec.structs.replace(status, attestations=[doubtful])

    assert decided(over_time(unknown(B), [A])) is Action.DENY
    assert decided(over_time([B], unknown(B), [A])) is Action.DENY


def test_what_was_made_at_the_same_time_or_says_no_time_renews_nothing() -> None:
    failed = statement("b", "FAILED", 2)
    for other in (statement("a", hours=2), A):
        assert decided(over_time([failed], [other])) is Action.DENY
    assert decided(over_time([B], [statement("c", hours=9)])) is Action.DENY


def test_another_signer_renews_nothing() -> None:
    other = statement("c", identity="somebody else")
    assert set(digests(over_time([B], [other], demands=()))) == {"b", "c"}


def test_a_signer_with_whom_the_authority_has_parted_is_forgotten() -> None:
    exchanged = key_authority(public_pem(ec.generate_private_key(ec.SECP256R1())))
    demand = Demand(SCAN, KnownAuthority(ID, exchanged))
    assert digests(over_time([B], [], demands=[demand])) == {}
    broken = Demand(SCAN, KnownAuthority(ID, problem="it cannot be read"))
    assert set(digests(over_time([B], [], demands=[broken]))) == {"b"}


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    nothing = ModelRecordStatus(state=EvidenceState.RESOLVED, resolved=REFERENCE)
    assert over_time([A, B], nothing, [A]) == found(A)


@pytest.mark.parametrize("state", [EvidenceState.UNAVAILABLE, EvidenceState.FAILED])
def test_an_outage_makes_a_record_forget_nothing(state: EvidenceState) -> None:
    outage = ModelRecordStatus(state=state)
    assert decided(over_time([A, B], outage, outage, [A])) is Action.DENY
    assert decided(over_time([A], outage, [A])) is Action.ALLOW


def test_a_record_stays_bounded() -> None:
    large = f'{{"x":"{"y" * 16_000}"}}'
    many = [statement(f"{n:x}", predicate=large) for n in range(MAX_STATEMENTS)]
    fits = MAX_PREDICATES // len(large)
    status = over_time(many[:fits], many[fits : 2 * fits - 1], demands=())
    renamed = [msgspec.structs.replace(each, identity="x") for each in many[:fits]]
    status = over_time(many[:fits], renamed, demands=())
    assert_storable(status)
    (result,) = status.attestations
    assert sum(len(each.predicate or "") for each in result.statements) <= MAX_PREDICATES
    left = [each for each in result.statements if each.predicate is None]
    assert {each.reason for each in left} == {"PredicateTooLarge"}
    assert len(result.statements) == 2 * fits
    more = [msgspec.structs.replace(each, identity="z") for each in many]
    status = over_time(many, more, demands=())
    assert_storable(status)
    (full,) = status.attestations
    assert (full.state, len(full.statements)) == (AttestationState.UNKNOWN, MAX_STATEMENTS)
    assert full.reason == "TooManyAttestations"


NAMES = st.sampled_from("abcdef")


def statements(timed: bool) -> st.SearchStrategy[list[AttestedStatement]]:
    """By a key, or keyless: a signer says when it signed, or never does."""
    one = st.builds(statement, NAMES, st.sampled_from(["PASSED", "FAILED"]))
    if timed:
        # One statement has one time and says one thing: its digest is of both.
        words = {name: "PASSED" if number % 2 else "FAILED" for number, name in enumerate("abcdef")}
        one = NAMES.map(lambda name: statement(name, words[name], "abcdef".index(name) // 2))
    return st.lists(one, max_size=4, unique_by=lambda each: each.digest)


@settings(deadline=None)
@given(st.booleans(), st.data())
def test_removing_attestations_never_admits_what_was_refused(
    timed: bool, data: st.DataObject
) -> None:
    history = data.draw(st.lists(statements(timed), max_size=4))
    present = data.draw(statements(timed))
    left = [each for each in present if data.draw(st.booleans())]
    before = over_time(*history, present)
    if decided(before) is Action.DENY:
        assert decided(over_time(*history, present, left)) is Action.DENY
