"""What records say of attestations is bounded, and never left out in silence."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signing.attesting import (
    SCAN,
    about,
    about_files,
    attestation,
    bundled,
)
from tests.signing.bundles import Json
from tests.signing.cosign import DIGEST
from tests.unit.core.attested import (
    ARTIFACT,
    ATTESTED,
    NOT_ATTESTED,
    STRANGER,
    UNKNOWN,
    gathered,
    outcome,
    predicates,
    result_of,
    result_of_artifact,
    status_of,
)
from tests.unit.core.test_assess import (
    KEY,
    bundle_of,
    known,
)
from weighmaster.api.v1alpha1.record import (
    MAX_PREDICATE,
)
from weighmaster.core.attestations import (
    MAX_DEMANDS,
    MAX_PREDICATES,
    MAX_STATEMENTS,
    Demand,
)
from weighmaster.core.evidence import (
    SignatureBundle,
)


def statements(*values: Any) -> list[SignatureBundle]:
    return [bundled(attestation(about(DIGEST), value), KEY, DIGEST) for value in values]


def test_more_statements_than_a_record_holds_are_in_doubt() -> None:
    many = statements(*({"n": n} for n in range(MAX_STATEMENTS + 1)))
    assert outcome(result_of_artifact(*many[1:])) == (ATTESTED, None)
    found = result_of_artifact(*many)
    assert outcome(found) == (UNKNOWN, "TooManyAttestations")
    assert len(found.statements) == MAX_STATEMENTS


def padded(size: int) -> Json:
    """A predicate of so many bytes as a record has it."""
    return {"x": "y" * (size - len('{"x":""}'))}


def test_a_predicate_that_is_too_large_is_left_out_and_said() -> None:
    (fits,) = result_of_artifact(*statements(padded(MAX_PREDICATE))).statements
    assert fits.predicate is not None
    assert len(fits.predicate) == MAX_PREDICATE
    for value in (padded(MAX_PREDICATE + 1), {"x": "ä" * (MAX_PREDICATE // 2)}):
        found = result_of_artifact(*statements(value))
        assert found.state is ATTESTED
        (left,) = found.statements
        assert (left.predicate, left.reason) == (None, "PredicateTooLarge")
        assert f"{MAX_PREDICATE} is the limit" in str(left.message)


def test_all_predicates_of_a_record_together_are_bounded() -> None:
    each = MAX_PREDICATE - 10
    material = statements(*({"n": n, **padded(each - 20)} for n in range(MAX_STATEMENTS)))
    demands = [Demand(SCAN, known(KEY, f"{n}" * 16)) for n in range(3)]
    evidence = gathered(*material, reference=ARTIFACT, files={})
    found = status_of(evidence, *demands).attestations
    kept = [s.predicate for result in found for s in result.statements if s.predicate]
    assert MAX_PREDICATES - MAX_PREDICATE < sum(map(len, kept)) <= MAX_PREDICATES
    left = [s.reason for result in found for s in result.statements if not s.predicate]
    assert set(left) == {"PredicateTooLarge"}
    assert len(left) + len(kept) == 3 * MAX_STATEMENTS


@pytest.mark.parametrize("text", ['{"x": 1e400}', '{"x": "\\ud800"}', '{"x": 1' + "0" * 400 + "}"])
def test_a_predicate_that_readers_take_differently_is_left_out_and_said(text: str) -> None:
    payload = json.dumps(attestation(about(DIGEST))).replace('{"result": "PASSED"}', text)
    found = result_of_artifact(bundled(payload.encode(), KEY, DIGEST))
    (left,) = found.statements
    assert (left.predicate, left.reason) == (None, "PredicateUnreadable")


def test_numbers_are_kept_as_everybody_reads_them() -> None:
    text = '{"a": 9223372036854775807, "b": 12345678901234567000, "c": 1.0, "d": true, "e": -0.5}'
    payload = json.dumps(attestation(about(DIGEST))).replace('{"result": "PASSED"}', text)
    (kept,) = result_of_artifact(bundled(payload.encode(), KEY, DIGEST)).statements
    assert kept.predicate == (
        '{"a":9223372036854775807,"b":1.2345678901234567e+19,"c":1.0,"d":true,"e":-0.5}'
    )


def test_more_demands_than_a_record_holds_are_left_out() -> None:
    demands = [Demand(f"type-{n}", known(KEY)) for n in range(MAX_DEMANDS + 5)]
    assert len(status_of(gathered(), *demands).attestations) == MAX_DEMANDS


def test_messages_are_short_and_printable() -> None:
    kind = "\x1b[31m\n" + "x" * 5000
    found = result_of_artifact(
        *(bundled(attestation(about(DIGEST), kind=kind + str(n)), KEY, DIGEST) for n in range(9))
    )
    assert found.message is not None
    assert len(found.message) <= 512
    assert found.message.isprintable()


# Properties.

WORDS = st.sampled_from(["PASSED", "FAILED"])
GARBAGE = st.one_of(
    st.binary(max_size=64).map(lambda content: bundle_of(content, "x.sigstore.json")),
    WORDS.map(lambda word: bundled(attestation(about_files(), {"result": word}), STRANGER)),
    WORDS.map(lambda word: bundled(attestation(about("c" * 64), {"result": word}), KEY)),
    WORDS.map(lambda word: bundled(attestation(about_files(), {"result": word}, "other"), KEY)),
)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=3), st.lists(GARBAGE, max_size=5), st.randoms())
def test_only_what_the_authority_attested_of_this_model_makes_a_difference(
    words: list[str], garbage: list[SignatureBundle], shuffle: Any
) -> None:
    mine = [bundled(attestation(about_files(), {"result": word}), KEY) for word in words]
    material = [*mine, *garbage]
    shuffle.shuffle(material)
    found = result_of(*material)
    assert found.state is (ATTESTED if words else NOT_ATTESTED)
    assert sorted(each["result"] for each in predicates(found)) == sorted(set(words))
