"""Records of models that somebody attests something of."""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.attesting import (
    SCAN,
)
from tests.signing.bundles import MODEL
from tests.signing.cosign import DIGEST
from tests.unit.core.test_assess import (
    KEY,
    NOW,
    REFERENCE,
    assert_storable,
    file_facts,
    known,
)
from weighmaster.api.v1alpha1.record import (
    AttestationResult,
    AttestationState,
    ModelRecordSpec,
    ModelRecordStatus,
)
from weighmaster.core.assess import Supplied, assess
from weighmaster.core.attestations import (
    Demand,
)
from weighmaster.core.evidence import (
    Evidence,
    SignatureBundle,
)
from weighmaster.core.statements import Belonging

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
