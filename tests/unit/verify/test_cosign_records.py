"""What records say of artifacts that cosign signed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

from tests.signing.bundles import key_bundle, model_statement, public_pem
from tests.signing.cosign import attached, legacy, payload_of, statement
from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.api.v1alpha1.record import AuthorityResult, ModelRecordSpec
from weighmaster.core.assess import Supplied, assess
from weighmaster.core.evidence import (
    Basis,
    Evidence,
    FileFact,
    Gap,
    GapReason,
    SignatureBundle,
)
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import KnownAuthority, key_authority

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
REFERENCE = f"oci://registry.example/acme/model@{DIGEST}"
FILE = FileFact("model.safetensors", 8, "c" * 64, Basis.FETCHED)
ARCHIVE = Gap(GapReason.ARCHIVE_NOT_OPENED, "layer.tar")

Key = ec.EllipticCurvePrivateKey


def result_of(key: Key, *signatures: SignatureBundle, **fields: Any) -> AuthorityResult:
    evidence = Evidence(
        **{
            "reference": REFERENCE,
            "resolved": REFERENCE,
            "files": (FILE,),
            "signatures": signatures,
            "fetched_at": NOW.timestamp(),
            **fields,
        }
    )
    known = KnownAuthority("1" * 16, key_authority(public_pem(key)))
    supplied = Supplied(ModelRecordSpec(reference=REFERENCE))
    return assess(evidence, supplied, [known], Belonging("acme"), NOW).authorities[0]


def signed(key: Key, digest: str = DIGEST) -> SignatureBundle:
    return structs.replace(legacy(payload_of(digest), key), subject=DIGEST)


def bundled(key: Key, digest: str = DIGEST) -> SignatureBundle:
    return attached(key_bundle(statement(digest), key), DIGEST)


@pytest.mark.parametrize("sign", [signed, bundled])
def test_a_signed_manifest_covers_everything_in_an_artifact(key: Key, sign: Any) -> None:
    result = result_of(key, sign(key))
    assert (result.verified, result.coverage) == (True, Coverage.ALL)


def test_a_signed_manifest_counts_where_files_in_layers_are_not_known(key: Key) -> None:
    assert result_of(key, signed(key), files=(), gaps=(ARCHIVE,)).verified


def test_a_good_signature_counts_whatever_else_was_not_read(key: Key) -> None:
    gaps = (Gap(GapReason.SIGNATURE_NOT_READ, "too many"),)
    assert result_of(key, signed(key), gaps=gaps).verified
    assert result_of(key, signed(key, OTHER), gaps=gaps).reason == "SignaturesUnknown"


@pytest.mark.parametrize("sign", [signed, bundled])
def test_a_signature_of_another_artifact_is_said_to_be_one(key: Key, sign: Any) -> None:
    result = result_of(key, sign(key, OTHER))
    assert (result.verified, result.reason) == (False, "OtherArtifact")
    assert OTHER in (result.message or "")


def test_material_that_hangs_on_another_manifest_is_not_looked_at(key: Key) -> None:
    elsewhere = structs.replace(signed(key), subject=OTHER)
    assert result_of(key, elsewhere).reason == "NotSigned"


def test_a_reference_without_a_digest_has_no_signed_manifest(key: Key) -> None:
    assert not result_of(key, signed(key), resolved="oci://registry.example/acme/model:v1").verified


def test_signatures_of_files_in_a_registry_are_still_compared_with_the_files(key: Key) -> None:
    files = attached(key_bundle(model_statement(), key), DIGEST)
    assert result_of(key, files).reason in ("MissingFiles", "Mismatch", "ExtraFiles")
    assert result_of(key, files, files=(), gaps=(ARCHIVE,)).reason == "ListingIncomplete"
    assert result_of(key, files, signed(key)).verified
