"""Records: what has been found out about references, as the controller has stored it."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1.authority import Identity
from weighmaster.api.v1alpha1.record import (
    AuthorityResult,
    Basis,
    EvidenceState,
    ModelRecordSpec,
    ModelRecordStatus,
)
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.values import ModelReference

MANAGED_BY = ("app.kubernetes.io/managed-by", "weighmaster")
"""Label of records that Weighmaster has made; only these does it delete again."""

LINEAGE_DEPTH = "weighmaster.dev/lineage-depth"
"""Annotation of records that are there for what was made from their model."""

LAST_USED = "weighmaster.dev/last-used"
"""Annotation with the day (UTC) on which a record was last used in a decision."""


class Record(Struct, frozen=True):
    """A stored ModelRecord. ``problem`` says why there is no evidence in it that counts.

    ``last_used`` is a day such as ``2026-11-24``, empty if none is noted; ``managed`` says that
    Weighmaster made it.
    """

    name: str
    reference: str
    last_used: str = ""
    managed: bool = False
    status: ModelRecordStatus = ModelRecordStatus()
    authorities: Mapping[str, AuthorityResult] = {}
    problem: str | None = None

    @property
    def pending(self) -> bool:
        """Whether its evidence is being gathered for the first time."""
        return self.status.state in (None, EvidenceState.PENDING)

    def missing(self, now: datetime) -> str | None:
        """Why its evidence does not count at a moment, for a person; None when it does."""
        if self.problem is not None:
            return self.problem
        expires = self.status.expires_at
        if expires is not None and now >= expires:
            return "the evidence has expired and is being gathered again"
        return None


def read_record(stored: Mapping[str, Any]) -> Record:
    """A stored ModelRecord. Never raises; one that cannot be used is evidence of nothing."""
    metadata = read_metadata(stored)
    name = metadata.name
    try:
        spec = msgspec.convert(stored.get("spec"), ModelRecordSpec)
        status = msgspec.convert(stored.get("status") or {}, ModelRecordStatus)
    except msgspec.ValidationError as error:
        return Record(name=name, reference="", problem=f"the record cannot be used: {error}")
    match status.state:
        case EvidenceState.RESOLVED if status.resolved:
            problem = None
        case EvidenceState.FAILED | EvidenceState.UNAVAILABLE:
            problem = (
                status.failures[0].message if status.failures else "nothing could be found out"
            )
        case _:
            problem = "evidence is being gathered"
    return Record(
        name=name,
        reference=spec.reference,
        last_used=metadata.annotations.get(LAST_USED, ""),
        managed=metadata.labels.get(MANAGED_BY[0]) == MANAGED_BY[1],
        status=status,
        authorities={result.id: result for result in status.authorities},
        problem=problem,
    )


GATHERED_SCHEMES = frozenset({"hf", "oci", "ngc", "modelscope", "ollama"})
"""Schemes that evidence can be gathered for; for others people assert it."""


def record_key(reference: ModelReference) -> str:
    """The reference that the record of a use is about: the whole model, whatever file is loaded."""
    return reference.canonical.partition("#")[0]


def record_name(reference: str) -> str:
    """The name of the record of a reference: readable, unique, and the same everywhere."""
    digest = sha256(reference.encode()).hexdigest()[:12]
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in reference.lower())
    slug = "-".join(filter(None, kept.split("-")))[:48].strip("-")
    return f"{slug}-{digest}" if slug else digest


def new_record(reference: str, depth: int = 0) -> dict[str, Any]:
    """A ModelRecord to create for a reference; ``depth`` is how far up a lineage it is."""
    annotations = {LINEAGE_DEPTH: str(depth)} if depth else {}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {
            "name": record_name(reference),
            "labels": dict([MANAGED_BY]),
            "annotations": annotations,
        },
        "spec": {"reference": reference},
    }


def authority_id(identity: Identity) -> str:
    """What an authority is known by in records: a digest of how it is written.

    Whoever edits an authority makes another one of it, whose signatures are looked for afresh.
    """
    parts = {
        "key": identity.key,
        "certificate": identity.certificate,
        "keyless": identity.keyless,
    }
    return sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def content_formats(status: ModelRecordStatus) -> frozenset[str]:
    """Formats of weights that the model's files have by their content."""
    return frozenset(
        entry.format
        for entry in status.formats
        if entry.files and entry.basis is not Basis.ASSERTED
    )


def named_formats(status: ModelRecordStatus) -> frozenset[str]:
    """Formats of weights that are known by file name only."""
    return frozenset(
        entry.format for entry in status.formats if entry.files and entry.basis is Basis.ASSERTED
    )
