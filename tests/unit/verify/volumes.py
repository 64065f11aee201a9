"""A volume with a model on it, as the verifying container sees it."""

import hashlib
from pathlib import Path

from tests.signing.chains import NOW
from weighmaster.core.mounted import Expectation, Result, Verdict
from weighmaster.core.verify.loadable import fingerprints, loadable_digest
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.verifying.hashing import Hashing
from weighmaster.verifying.mounted import Work, verify_expectations

REFERENCE = "hf://acme/m@0123456789abcdef0123456789abcdef01234567"
SHARDS = {
    "config.json": b"{}",
    "model-00001-of-00002.safetensors": b"one" * 100,
    "model-00002-of-00002.safetensors": b"two" * 100,
    "README.md": b"# A model",
    ".gitattributes": b"*.safetensors filter=lfs",
}


def digests(model: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in model.items()}


def expected(model: dict[str, bytes], **fields: object) -> Expectation:
    """The expectation that a hub's list of files gives."""
    whole: dict[str, object] = {
        "digest": loadable_digest(digests(model)),
        "fingerprints": fingerprints(digests(model)),
        **fields,
    }
    return Expectation(reference=REFERENCE, mount="0", **whole)  # type: ignore[arg-type]


class Volume:
    """A volume with a model in it, as the container sees it."""

    def __init__(self, mounts: Path) -> None:
        self.mounts = mounts
        self.top = mounts / "0"
        self.model = self.top / "llama"

    def verify(self, *expectations: Expectation, **work: object) -> Verdict:
        settings = {"mounts": self.mounts, "now": NOW, "hashing": Hashing(2), **work}
        return verify_expectations(expectations, Work(**settings))  # type: ignore[arg-type]

    def reason(self, expectation: Expectation, **work: object) -> R:
        verdict = self.verify(expectation, **work)
        assert verdict.result is Result.REFUSED, verdict
        assert verdict.message
        assert verdict.reference == expectation.reference
        return R(verdict.reason)


WHOLE = expected(SHARDS, path="llama")
