"""Models in memory and on disk, and verification of them in one line."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from tests.signing.bundles import MODEL, Json, raw
from tests.signing.chains import NOW
from weighmaster.core.verify.authorities import Authority
from weighmaster.core.verify.compare import File, Scope
from weighmaster.core.verify.model import Requirement, Verified, verify_model
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.statement import Terms
from weighmaster.errors import VerificationError

DEFAULT_SCOPE = Scope()
DEFAULT_TERMS = Terms()


def files_of(model: Mapping[str, bytes] = MODEL, algorithm: str = "sha256") -> dict[str, File]:
    return {
        name: File(hashlib.new(algorithm, content).hexdigest(), len(content), algorithm)
        for name, content in model.items()
    }


def write_model(folder: Path, model: Mapping[str, bytes] = MODEL) -> Path:
    for name, content in model.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def verify(
    bundle: Json | bytes,
    authority: Authority | Sequence[Authority],
    files: Mapping[str, File] | None = None,
    *,
    scope: Scope = DEFAULT_SCOPE,
    terms: Terms = DEFAULT_TERMS,
    now: datetime = NOW,
) -> Verified:
    """Verify one bundle for the small model, or for the files given."""
    authorities = tuple(authority) if isinstance(authority, Sequence) else (authority,)
    document = bundle if isinstance(bundle, bytes) else raw(bundle)
    requirement = Requirement(authorities=authorities, terms=terms)
    return verify_model([document], requirement, files_of() if files is None else files, scope, now)


def accepted(
    bundle: Json | bytes,
    authority: Authority | Sequence[Authority],
    files: Mapping[str, File] | None = None,
    *,
    scope: Scope = DEFAULT_SCOPE,
    terms: Terms = DEFAULT_TERMS,
    now: datetime = NOW,
) -> bool:
    """Whether it is verified; an error otherwise, which says why."""
    return bool(verify(bundle, authority, files, scope=scope, terms=terms, now=now).signers)


def refusal(
    bundle: Json | bytes,
    authority: Authority,
    files: Mapping[str, File] | None = None,
    *,
    scope: Scope = DEFAULT_SCOPE,
    terms: Terms = DEFAULT_TERMS,
    now: datetime = NOW,
) -> VerificationReason:
    """The reason for which it is not verified; fails the test when it is."""
    with pytest.raises(VerificationError) as caught:
        verify(bundle, authority, files, scope=scope, terms=terms, now=now)
    assert caught.value.message
    return VerificationReason(caught.value.reason)
