"""What records say of attestations: of artifacts and of files, bounded, and never in silence."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.signing.attesting import (
    FAILED,
    PASSED,
    SCAN,
    about,
    about_files,
    attestation,
    bundled,
    enveloped,
)
from tests.signing.bundles import MODEL, Json, key_bundle, model_statement, raw
from tests.signing.cosign import DIGEST, OTHER
from tests.unit.core.test_assess import (
    KEY,
    NOW,
    REFERENCE,
    assert_storable,
    bundle_of,
    file_facts,
    known,
)
from weighmaster.api.v1alpha1.record import (
    MAX_PREDICATE,
    AttestationResult,
    AttestationState,
    DetachedBundle,
    ModelRecordSpec,
    ModelRecordStatus,
)
from weighmaster.core.assess import Supplied, assess
from weighmaster.core.attestations import (
    MAX_DEMANDS,
    MAX_PREDICATES,
    MAX_STATEMENTS,
    Demand,
)
from weighmaster.core.evidence import (
    Evidence,
    Gap,
    GapReason,
    SignatureBundle,
    content_digest,
)
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import KnownAuthority

STRANGER = ec.generate_private_key(ec.SECP256R1())
ARTIFACT = f"oci://registry.example/acme/m@{DIGEST}"
BY_KEY = Demand(SCAN, known(KEY))
ATTESTED, NOT_ATTESTED, UNKNOWN = (
    AttestationState.ATTESTED,
    AttestationState.NOT_ATTESTED,
    AttestationState.UNKNOWN,
)


def gathered(
    *material: SignatureBundle,
    reference: str = REFERENCE,
    files: Mapping[str, bytes] = MODEL,
    **fields: Any,
) -> Evidence:
    return Evidence(
        **{
            "reference": reference,
            "resolved": reference,
            "files": file_facts(files),
            "signatures": material,
            "fetched_at": NOW.timestamp(),
            **fields,
        }
    )


def status_of(evidence: Evidence, *demands: Demand, **spec: Any) -> ModelRecordStatus:
    status = assess(
        evidence,
        Supplied(ModelRecordSpec(reference=evidence.reference, **spec)),
        (),
        Belonging("acme"),
        NOW,
        demands or (BY_KEY,),
    )
    assert_storable(status)
    return status


def result_of(*material: SignatureBundle, **fields: Any) -> AttestationResult:
    """What is said of the key, for a repository of files."""
    (found,) = status_of(gathered(*material, **fields)).attestations
    return found


def result_of_artifact(*material: SignatureBundle, **fields: Any) -> AttestationResult:
    return result_of(*material, reference=ARTIFACT, **{"files": {}, **fields})


def outcome(found: AttestationResult) -> tuple[AttestationState, str | None]:
    return found.state, found.reason


def predicates(found: AttestationResult) -> list[Any]:
    return [json.loads(each.predicate) for each in found.statements if each.predicate]


# Artifacts.


@pytest.mark.parametrize("make", [bundled, enveloped])
def test_an_artifact_that_was_attested(make: Any) -> None:
    found = result_of_artifact(make(attestation(about(DIGEST)), KEY, DIGEST))
    assert outcome(found) == (ATTESTED, None)
    assert (found.predicate_type, found.authority) == (SCAN, "1" * 16)
    (statement,) = found.statements
    assert statement.predicate == '{"result":"PASSED"}'
    assert statement.identity.startswith("sha256:")
    assert (statement.issued_at, statement.reason) == (None, None)


def test_an_artifact_is_attested_by_its_manifest_alone_whatever_its_files_are() -> None:
    by_files = bundled(attestation(about_files()), KEY, DIGEST)
    assert outcome(result_of_artifact(by_files, files=MODEL)) == (NOT_ATTESTED, "OtherArtifact")
    archive = Gap(GapReason.ARCHIVE_NOT_OPENED, "layer.tar")
    by_manifest = bundled(attestation(about(DIGEST)), KEY, DIGEST)
    assert outcome(result_of_artifact(by_manifest, files=MODEL, gaps=(archive,))) == (
        ATTESTED,
        None,
    )


def test_what_hangs_on_another_manifest_is_not_looked_at() -> None:
    elsewhere = bundled(attestation(about(DIGEST)), KEY, OTHER)
    assert outcome(result_of_artifact(elsewhere)) == (NOT_ATTESTED, "NotAttested")


def test_a_copied_attestation_says_of_what_it_is() -> None:
    found = result_of_artifact(bundled(attestation(about(OTHER)), KEY, DIGEST))
    assert outcome(found) == (NOT_ATTESTED, "OtherArtifact")
    assert OTHER in str(found.message)


# Files.


def test_a_model_whose_files_were_attested() -> None:
    found = result_of(bundled(attestation(about_files()), KEY))
    assert outcome(found) == (ATTESTED, None)
    assert predicates(found) == [PASSED]


def test_documentation_signatures_and_attestations_need_not_be_attested() -> None:
    files = {
        **MODEL,
        "README.md": b"# Later\n",
        "LICENSE": b"x",
        "model.sig": b"x",
        "scan.sigstore.json": b"x",
        "attestations/scan.sigstore.json": b"{}",
        "attestations/bom.intoto.jsonl": b"{}",
        "all.intoto.jsonl": b"{}",
        ".gitattributes": b"x",
    }
    assert outcome(result_of(bundled(attestation(about_files()), KEY), files=files)) == (
        ATTESTED,
        None,
    )


def test_a_file_that_a_signature_lies_in_need_not_be_attested_whatever_it_is_called() -> None:
    signature = bundle_of(b"{}", "model.oms.json")
    files = {**MODEL, signature.source: signature.content}
    scan = bundled(attestation(about_files()), KEY)
    assert outcome(result_of(scan, signature, files=files)) == (ATTESTED, None)
    assert outcome(result_of(scan, files=files)) == (NOT_ATTESTED, "IncompleteCoverage")


@pytest.mark.parametrize(
    "name",
    [
        "more.safetensors",
        "modeling.py",
        "tokenizer/merges.txt",
        "unknown",
        "attestations/evil.json",
        "attestations/evil.py",
        "attestations/x/scan.sigstore.json",
        "x/attestations/scan.sigstore.json",
    ],
)
def test_a_file_that_may_be_loaded_and_was_not_attested(name: str) -> None:
    found = result_of(bundled(attestation(about_files()), KEY), files={**MODEL, name: b"more"})
    assert outcome(found) == (NOT_ATTESTED, "IncompleteCoverage")
    assert name in str(found.message)
    assert predicates(found) == [PASSED]  # what it says of the rest counts all the same


def test_a_file_that_differs_from_what_was_attested() -> None:
    changed = {**MODEL, "config.json": b"{}"}
    found = result_of(bundled(attestation(about_files()), KEY), files=changed)
    assert outcome(found) == (NOT_ATTESTED, "IncompleteCoverage")
    other = {**MODEL, "model.safetensors": b"other weights"}
    found = result_of(bundled(attestation(about_files()), KEY), files=other)
    assert outcome(found) == (NOT_ATTESTED, "OtherArtifact")


def test_an_attestation_of_another_model_with_the_same_tokenizer_is_not_of_this_one() -> None:
    other = {**MODEL, "model.safetensors": b"other weights"}
    found = result_of(bundled(attestation(about_files(other), FAILED), KEY))
    assert outcome(found) == (NOT_ATTESTED, "OtherArtifact")
    assert found.statements == []


def test_attestations_of_single_files_add_up() -> None:
    files = {"a.safetensors": b"a", "b.safetensors": b"b"}
    one, two = (
        bundled(attestation(about_files({name: files[name]}), {"of": name}), KEY) for name in files
    )
    assert outcome(result_of(one, files=files)) == (NOT_ATTESTED, "IncompleteCoverage")
    both = result_of(one, two, files=files)
    assert outcome(both) == (ATTESTED, None)
    assert predicates(both) == [{"of": name} for name in files]


def test_the_manifest_digest_of_a_record_stands_for_all_files() -> None:
    evidence = gathered()
    digest = content_digest(evidence.files)
    assert digest is not None
    bundle = bundled(attestation(about(digest)), KEY)
    stated = DetachedBundle(inline=bundle.content.decode())
    (found,) = status_of(evidence, signature=stated).attestations
    assert outcome(found) == (ATTESTED, None)
    moved = gathered(files={**MODEL, "moved.json": MODEL["config.json"]})
    (found,) = status_of(moved, signature=stated).attestations
    assert outcome(found) == (NOT_ATTESTED, "OtherArtifact")


def test_the_digest_of_what_may_be_loaded_stands_for_it_beside_the_files() -> None:
    """An attestation beside the files does not change it, nor does documentation."""
    digest = status_of(gathered()).loadable_digest
    assert digest is not None
    bundle = bundled(attestation(about(digest)), KEY)
    files = {**MODEL, bundle.source: bundle.content, "README.md": b"# Later\n"}
    assert outcome(result_of(bundle, files=files)) == (ATTESTED, None)
    moved = {**MODEL, "moved.json": MODEL["config.json"]}
    assert outcome(result_of(bundle, files=moved)) == (NOT_ATTESTED, "OtherArtifact")


def test_names_that_are_none_are_no_failure() -> None:
    odd = {**MODEL, "\ud800.bin": b"x"}
    found = result_of(bundled(attestation(about_files(MODEL)), KEY), files=odd)
    assert outcome(found) == (NOT_ATTESTED, "IncompleteCoverage")


def test_the_root_digest_of_a_signature_stands_for_nothing() -> None:
    """It does not bind names, and the signer chooses what it leaves out."""
    root = model_statement()["subject"]
    assert outcome(result_of(bundled(attestation(root), KEY))) == (NOT_ATTESTED, "OtherArtifact")


def test_digests_that_are_not_known_cannot_be_compared() -> None:
    bundle = bundled(attestation(about_files()), KEY)
    unknown = tuple(structs.replace(file, sha256=None) for file in file_facts(MODEL))
    missing = Gap(GapReason.LISTING_INCOMPLETE, "more")
    for fields in ({"files": unknown}, {"gaps": (missing,)}):
        evidence = structs.replace(gathered(bundle), **fields)
        (found,) = status_of(evidence).attestations
        assert outcome(found) == (UNKNOWN, "ListingIncomplete")
    (found,) = status_of(structs.replace(gathered(), files=unknown)).attestations
    assert outcome(found) == (NOT_ATTESTED, "NotAttested")


def test_a_model_without_files_is_attested_by_nothing() -> None:
    found = result_of(bundled(attestation(about_files()), KEY), files={"README.md": b"x"})
    assert found.state is NOT_ATTESTED


def test_a_signature_of_the_files_attests_nothing_and_stays_one() -> None:
    signature = bundle_of(raw(key_bundle(model_statement(), KEY)))
    scan = bundled(attestation(about_files()), KEY)
    files = {**MODEL, "model.sig": signature.content, scan.source: scan.content}
    evidence = gathered(signature, scan, files=files)
    supplied = Supplied(ModelRecordSpec(reference=REFERENCE))
    status = assess(evidence, supplied, (known(KEY),), Belonging(), NOW, (BY_KEY,))
    assert status.authorities[0].verified, status.authorities
    assert outcome(status.attestations[0]) == (ATTESTED, None)
    (alone,) = status_of(gathered(signature, files=files)).attestations
    assert outcome(alone) == (NOT_ATTESTED, "NotAttested")


# Who, and what of.


def test_each_demand_is_answered_by_itself() -> None:
    mine = bundled(attestation(about(DIGEST), PASSED), KEY, DIGEST)
    theirs = bundled(attestation(about(DIGEST), FAILED, "bom"), STRANGER, DIGEST)
    stranger = known(STRANGER, "2" * 16)
    evidence = gathered(mine, theirs, reference=ARTIFACT, files={})
    found = status_of(
        evidence, BY_KEY, Demand("bom", known(KEY)), Demand(SCAN, stranger), Demand("bom", stranger)
    ).attestations
    assert [each.state for each in found] == [ATTESTED, NOT_ATTESTED, NOT_ATTESTED, ATTESTED]
    assert predicates(found[3]) == [FAILED]


def test_an_authority_that_cannot_be_used_may_have_attested_anything() -> None:
    broken = KnownAuthority("3" * 16, problem="it is no key")
    (found,) = status_of(gathered(), Demand(SCAN, broken)).attestations
    assert outcome(found) == (UNKNOWN, "AuthorityUnusable")
    assert found.message == "it is no key"


def test_types_that_are_there_instead_are_told() -> None:
    found = result_of_artifact(bundled(attestation(about(DIGEST), kind="bom/v9"), KEY, DIGEST))
    assert outcome(found) == (NOT_ATTESTED, "NotAttested")
    assert '"bom/v9"' in str(found.message)


def test_what_could_not_be_read_may_be_the_scan_that_failed() -> None:
    good = bundled(attestation(about(DIGEST)), KEY, DIGEST)
    for reason in (GapReason.SIGNATURE_NOT_READ, GapReason.SIGNATURES_UNKNOWN):
        found = result_of_artifact(good, gaps=(Gap(reason, "one too many"),))
        assert outcome(found) == (UNKNOWN, "AttestationsUnknown")
        assert predicates(found) == [PASSED]


def test_what_people_supply_and_cannot_be_read_may_be_it_too() -> None:
    good = gathered(bundled(attestation(about_files()), KEY))
    supplied = Supplied(ModelRecordSpec(reference=REFERENCE), unread="the Secret is gone")
    (found,) = assess(good, supplied, (), Belonging(), NOW, (BY_KEY,)).attestations
    assert outcome(found) == (UNKNOWN, "AttestationsUnknown")
    assert found.message == "the Secret is gone"


def test_what_the_authority_signed_and_nobody_can_read_is_said() -> None:
    good = bundled(attestation(about(DIGEST)), KEY, DIGEST)
    torn = attestation(about(DIGEST), predicate=["FAILED"])
    found = result_of_artifact(good, enveloped(torn, KEY, DIGEST))
    assert outcome(found) == (UNKNOWN, "AttestationUnreadable")
    assert outcome(result_of_artifact(good, enveloped(torn, STRANGER, DIGEST))) == (ATTESTED, None)


# Bounds.


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
