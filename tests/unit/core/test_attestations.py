"""What records say of attestations: of artifacts and of files, of whom and of what."""

from typing import Any

import pytest
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
from tests.signing.bundles import MODEL, key_bundle, model_statement, raw
from tests.signing.cosign import DIGEST, OTHER
from tests.unit.core.attested import (
    ARTIFACT,
    ATTESTED,
    BY_KEY,
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
    NOW,
    REFERENCE,
    bundle_of,
    file_facts,
    known,
)
from weighmaster.api.v1alpha1.record import (
    DetachedBundle,
    ModelRecordSpec,
)
from weighmaster.core.assess import Supplied, assess
from weighmaster.core.attestations import (
    Demand,
)
from weighmaster.core.evidence import (
    Gap,
    GapReason,
    content_digest,
)
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import KnownAuthority

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
