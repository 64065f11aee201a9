"""Statements: what people assert of references that nothing can be fetched of.

Nothing is verified here, so that a command line that only decides need not load the verifier.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.jurisdictions import Code
from weighmaster.api.v1alpha1.record import (
    Basis,
    EvidenceState,
    Failure,
    ModelRecordSpec,
    ModelRecordStatus,
)
from weighmaster.core.evaluate.records import is_gathered, read_reference, supplied_digest
from weighmaster.core.evidence import UnavailableReason
from weighmaster.core.values import ModelReference


class Belonging(Struct, frozen=True):
    """Whose namespace a reference lies in, for people."""

    publisher: str | None = None
    jurisdiction: Code | None = None


def stated(
    reference: ModelReference, spec: ModelRecordSpec, belonging: Belonging, now: datetime
) -> ModelRecordStatus:
    """The status of a record of whose reference nothing can be fetched: what people assert."""
    asserted = spec.asserted
    if asserted is None or (asserted.license is None and asserted.base_models is None):
        message = (
            f"nothing can be fetched for {reference.scheme}: references; state the licence or the"
            " base models in spec.asserted, and have files verified before start by a content rule"
        )
        failure = Failure(reason=UnavailableReason.UNSUPPORTED_SCHEME, message=message)
        return ModelRecordStatus(
            state=EvidenceState.FAILED,
            publisher=belonging.publisher,
            jurisdiction=belonging.jurisdiction,
            failures=[failure],
            fetched_at=now.replace(microsecond=0),
        )
    named = asserted.base_models
    return ModelRecordStatus(
        state=EvidenceState.ASSERTED,
        publisher=belonging.publisher,
        jurisdiction=belonging.jurisdiction,
        license=asserted.license,
        license_basis=Basis.ASSERTED if asserted.license else None,
        base_models=list(named or ()),
        lineage_known=named is not None,
        lineage_basis=Basis.ASSERTED if named is not None else None,
        supplied=supplied_digest(spec),
        fetched_at=now.replace(microsecond=0),
    )


def with_statement(stored: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """A ModelRecord with the status that the controller would give it from what people assert.

    One that something can be fetched of, or that cannot be read, stays as it is.
    """
    try:
        spec = msgspec.convert(stored.get("spec"), ModelRecordSpec)
    except msgspec.ValidationError:
        return stored
    reference = read_reference(spec.reference)
    if is_gathered(reference):
        return stored
    return {**stored, "status": msgspec.to_builtins(stated(reference, spec, Belonging(), now))}
