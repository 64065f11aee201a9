"""What people state about a model: added to what was fetched, or all there is."""

from typing import Any

import msgspec
import pytest

from tests.signing.attesting import SCAN, about, attestation, bundled
from tests.unit.core.builders import NOW
from tests.unit.core.test_assess import KEY, assert_storable, known, signed_evidence, status_of
from weighmaster.api.v1alpha1.record import (
    Assertions,
    AttestationState,
    Basis,
    DetachedBundle,
    EvidenceState,
    ModelRecordSpec,
    ModelRecordStatus,
)
from weighmaster.core.assess import Supplied, assess
from weighmaster.core.attestations import Demand
from weighmaster.core.evaluate.records import (
    read_record,
    read_reference,
    record_key,
    supplied_digest,
)
from weighmaster.core.evidence import CardFacts, Evidence, Gap, GapReason
from weighmaster.core.statements import Belonging, stated

BUCKET = "s3://bank-models/llm"
DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"oci://r.example/acme/m@{DIGEST}"
SILENT = GapReason.CARD_MISSING


def status_for(reference: str = BUCKET, **asserted: Any) -> ModelRecordStatus:
    spec = ModelRecordSpec(reference=reference, asserted=Assertions(**asserted))
    return stated(read_reference(reference), spec, Belonging("bank"), NOW)


# Where nothing can be fetched.


def test_facts_that_people_assert_are_all_there_is_of_a_bucket() -> None:
    status = status_for(license="MIT", base_models=["hf://acme/base"])
    assert status.state is EvidenceState.ASSERTED
    assert (status.license, status.license_basis) == ("MIT", Basis.ASSERTED)
    assert status.base_models == ["hf://acme/base"]
    assert (status.lineage_known, status.lineage_basis) == (True, Basis.ASSERTED)
    assert status.publisher == "bank"
    assert status.authorities == []
    assert status.resolved is None
    assert status.expires_at is None
    assert_storable(status)


def test_licence_alone_says_nothing_of_lineage() -> None:
    status = status_for(license="MIT")
    assert (status.lineage_known, status.lineage_basis) == (False, None)


def test_empty_list_of_base_models_states_that_there_are_none() -> None:
    status = status_for(base_models=[])
    assert status.state is EvidenceState.ASSERTED
    assert status.lineage_known
    assert (status.license, status.license_basis) == (None, None)


@pytest.mark.parametrize("asserted", [None, Assertions()])
def test_where_nothing_is_asserted_people_are_told_what_they_can_do(
    asserted: Assertions | None,
) -> None:
    spec = ModelRecordSpec(reference=BUCKET, asserted=asserted)
    status = stated(read_reference(BUCKET), spec, Belonging(), NOW)
    assert status.state is EvidenceState.FAILED
    assert status.failures[0].reason == "UnsupportedScheme"
    assert "spec.asserted" in status.failures[0].message
    assert "content rule" in status.failures[0].message
    assert_storable(status)


# Beside what was fetched.


def test_how_licence_and_lineage_are_known_is_said() -> None:
    card = CardFacts(license="MIT", source="README.md")
    status = status_of(signed_evidence(KEY, card=card))
    assert (status.license_basis, status.lineage_basis) == (Basis.FETCHED, Basis.FETCHED)
    status = status_of(signed_evidence(KEY))
    assert (status.license_basis, status.lineage_basis) == (None, None)
    told = Assertions(license="MIT", base_models=["hf://acme/base"])
    status = status_of(signed_evidence(KEY), asserted=told)
    assert (status.license_basis, status.lineage_basis) == (Basis.ASSERTED, Basis.ASSERTED)


def test_that_there_is_no_base_model_can_be_asserted_where_nothing_speaks_of_one() -> None:
    none = Assertions(base_models=[])
    silent = signed_evidence(KEY, gaps=(Gap(SILENT, "no card"),))
    assert not status_of(silent).lineage_known
    assert status_of(silent, asserted=none).lineage_known


def test_that_there_is_no_base_model_cannot_be_asserted_against_the_card() -> None:
    none = Assertions(base_models=[])
    unread = Gap(GapReason.LINEAGE_INCOMPLETE, "2 base models cannot be read")
    card = CardFacts(source="README.md")
    status = status_of(signed_evidence(KEY, card=card, gaps=(unread,)), asserted=none)
    assert not status.lineage_known
    card = CardFacts(base_models=("hf://root/a",), source="README.md")
    status = status_of(signed_evidence(KEY, card=card), asserted=none)
    assert status.base_models == ["hf://root/a"]
    assert status.lineage_basis is Basis.FETCHED
    malformed = Gap(GapReason.CARD_MALFORMED, "README.md")
    status = status_of(signed_evidence(KEY, card=card, gaps=(malformed,)), asserted=none)
    assert not status.lineage_known


def test_no_attestation_holds_while_the_bundle_that_is_supplied_could_not_be_read() -> None:
    attested = bundled(attestation(about(DIGEST)), KEY, DIGEST)
    found = Evidence(reference=IMAGE, resolved=IMAGE, signatures=(attested,))
    demand = Demand(SCAN, known(KEY))

    def state(unread: str | None) -> AttestationState:
        supplied = Supplied(ModelRecordSpec(reference=IMAGE), unread=unread)
        return assess(found, supplied, (), Belonging(), NOW, (demand,)).attestations[0].state

    assert state(None) is AttestationState.ATTESTED
    assert state("ConfigMap scans does not exist") is AttestationState.UNKNOWN


# As decisions read it.


def stored(reference: str, **supplied: Any) -> dict[str, Any]:
    spec = {"reference": reference, **supplied}
    digest = supplied_digest(msgspec.convert(spec, ModelRecordSpec))
    status = {"state": "Asserted", "license": "MIT", "supplied": digest}
    return {"metadata": {"name": "m"}, "spec": spec, "status": status}


TOLD = {"license": "MIT"}


def test_asserted_record_counts() -> None:
    record = read_record(stored(BUCKET, asserted=TOLD))
    assert record.missing(NOW) is None
    assert record.asserted
    assert not record.pending


@pytest.mark.parametrize("reference", [f"hf://acme/m@{'a' * 40}", "hf://acme/m", "oci://r.io/m"])
def test_assertions_alone_are_no_evidence_where_something_can_be_fetched(reference: str) -> None:
    assert read_record(stored(reference, asserted=TOLD)).missing(NOW) is not None


def test_statement_that_was_changed_counts_no_more_before_the_controller_has_looked() -> None:
    document = stored(BUCKET, asserted=TOLD)
    document["spec"] = {"reference": BUCKET, "asserted": {"license": "GPL-3.0-only"}}
    record = read_record(document)
    assert record.pending
    assert "changed" in (record.missing(NOW) or "")
    document["spec"] = {"reference": BUCKET}
    assert read_record(document).pending


def test_signature_that_was_taken_back_counts_no_more_before_the_controller_has_looked() -> None:
    reference = f"hf://acme/m@{'a' * 40}"
    signature = {"configMapRef": {"name": "bundle"}}
    document = stored(reference, signature=signature)
    document["status"] |= {"state": "Resolved", "resolved": reference}
    assert read_record(document).missing(NOW) is None
    document["spec"] = {"reference": reference}
    assert read_record(document).pending
    document["spec"] = {"reference": reference, "signature": {"configMapRef": {"name": "other"}}}
    assert read_record(document).pending


def test_other_credentials_make_no_evidence_untrue() -> None:
    reference = f"hf://acme/m@{'a' * 40}"
    document = stored(reference, asserted=TOLD)
    document["status"] |= {"state": "Resolved", "resolved": reference}
    document["spec"]["credentialsSecret"] = "other"
    assert read_record(document).missing(NOW) is None


def test_digest_of_what_is_supplied_tells_everything_apart() -> None:
    bundle = DetachedBundle(inline="{}")
    specs = [
        ModelRecordSpec(reference=BUCKET),
        ModelRecordSpec(reference=BUCKET, asserted=Assertions()),
        ModelRecordSpec(reference=BUCKET, asserted=Assertions(base_models=[])),
        ModelRecordSpec(reference=BUCKET, asserted=Assertions(license="MIT")),
        ModelRecordSpec(reference=BUCKET, signature=bundle),
        ModelRecordSpec(reference=BUCKET, signature=bundle, asserted=Assertions(license="MIT")),
    ]
    assert len({supplied_digest(spec) for spec in specs}) == len(specs)
    assert supplied_digest(specs[0]) is None


# Names that mean something else in every namespace.


def test_claim_of_one_namespace_is_not_that_of_another() -> None:
    claim = "pvc://models/llm"
    record = read_record(stored(claim, namespace="bank", asserted=TOLD))
    reference = read_reference(claim)
    assert record.reference == record_key(reference, "bank")
    assert record.reference != record_key(reference, "evil")
    assert record.reference != record_key(reference)


@pytest.mark.parametrize(
    ("reference", "namespace"),
    [("pvc://models/llm", None), ("kserve-storage://default/m", None), (BUCKET, "bank")],
)
def test_record_of_a_relative_name_without_its_namespace_is_nobodys(
    reference: str, namespace: str | None
) -> None:
    spec = {"namespace": namespace} if namespace else {}
    assert read_record(stored(reference, asserted=TOLD, **spec)).reference == ""
