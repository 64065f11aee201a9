"""Why a verification failed. One enum, each member documented."""

from enum import StrEnum


class VerificationReason(StrEnum):
    """A reason code; ``EXPLANATIONS`` says what each means and what to do about it."""

    NOT_SIGNED = "NotSigned"
    THRESHOLD_NOT_MET = "ThresholdNotMet"
    WRONG_METHOD = "WrongMethod"
    WRONG_IDENTITY = "WrongIdentity"
    BAD_SIGNATURE = "BadSignature"
    OTHER_ARTIFACT = "OtherArtifact"
    ATTESTATION = "Attestation"
    NOT_ATTESTED = "NotAttested"
    NOT_LOGGED = "NotLogged"
    UNTRUSTED_ROOT = "UntrustedRoot"
    EXPIRED = "Expired"
    NOT_YET_VALID = "NotYetValid"
    UNSUITABLE_CERTIFICATE = "UnsuitableCertificate"

    MALFORMED = "Malformed"
    TOO_LARGE = "TooLarge"
    UNSUPPORTED = "Unsupported"
    LEGACY_FORMAT = "LegacyFormat"
    INCONSISTENT = "Inconsistent"
    UNSAFE_NAME = "UnsafeName"

    MISMATCH = "Mismatch"
    MISSING_FILES = "MissingFiles"
    EXTRA_FILES = "ExtraFiles"
    INCOMPLETE_COVERAGE = "IncompleteCoverage"
    UNKNOWN_DIGEST = "UnknownDigest"
    SYMLINK = "Symlink"

    UNSAFE_TREE = "UnsafeTree"
    CHANGED_WHILE_READING = "ChangedWhileReading"
    UNREADABLE = "Unreadable"


EXPLANATIONS: dict[VerificationReason, str] = {
    VerificationReason.NOT_SIGNED: (
        "There is no signature. Ask the publisher for one (`model_signing sign`), or have the"
        " model approved."
    ),
    VerificationReason.THRESHOLD_NOT_MET: (
        "Fewer authorities than required have signed these files; each counts once."
    ),
    VerificationReason.WRONG_METHOD: (
        "The bundle was signed by another method (key, certificate, keyless) than the authority"
        " names."
    ),
    VerificationReason.WRONG_IDENTITY: (
        "The signature is by somebody else. A valid signature can be copied from another model,"
        " so who signed matters."
    ),
    VerificationReason.BAD_SIGNATURE: (
        "The signature does not fit the signed statement: one of them was changed or damaged."
    ),
    VerificationReason.OTHER_ARTIFACT: (
        "What was signed is about another model or artifact: it was copied, or this one was changed"
        " after it was signed."
    ),
    VerificationReason.ATTESTATION: (
        "What is attached to the artifact says something about it (a scan, a bill of materials)."
        " That is not a signature by which somebody stands for it: sign it (`cosign sign`)."
    ),
    VerificationReason.NOT_ATTESTED: (
        "Nobody who was asked for has attested this of the model. Have it attested (`cosign"
        " attest`), or the model approved."
    ),
    VerificationReason.NOT_LOGGED: (
        "The proofs of a keyless signature (transparency log entry, certificate timestamp, signed"
        " time) are missing or do not verify against the trust root."
    ),
    VerificationReason.UNTRUSTED_ROOT: (
        "The signing certificate does not lead up to any of the roots given."
    ),
    VerificationReason.EXPIRED: "A certificate on the way to the root has expired. Sign again.",
    VerificationReason.NOT_YET_VALID: (
        "A certificate on the way to the root is not valid yet. Check the clock, or wait."
    ),
    VerificationReason.UNSUITABLE_CERTIFICATE: (
        "A certificate may not be used for this: key usage, extended key usage, path length or an"
        " algorithm is not fit for signing models."
    ),
    VerificationReason.MALFORMED: (
        "The bundle or the statement in it is not well-formed. Fetch it again, or sign again."
    ),
    VerificationReason.TOO_LARGE: "The bundle, manifest or tree is larger than what is accepted.",
    VerificationReason.UNSUPPORTED: (
        "The bundle uses something that is not supported, such as shards or an unknown hash."
    ),
    VerificationReason.LEGACY_FORMAT: (
        "The statement has the deprecated format of model-signing 0.2. Sign again with 1.0 or"
        " newer, or allow the legacy format."
    ),
    VerificationReason.INCONSISTENT: (
        "The statement contradicts itself: its root digest is not that of the files it lists."
    ),
    VerificationReason.UNSAFE_NAME: (
        "A signed file name could point elsewhere or is not normalised (`..`, absolute, control"
        " characters, twice in the list)."
    ),
    VerificationReason.MISMATCH: "A file differs from what was signed.",
    VerificationReason.MISSING_FILES: "A signed file is not there.",
    VerificationReason.EXTRA_FILES: "A file that is there was not signed.",
    VerificationReason.INCOMPLETE_COVERAGE: (
        "Weights, code or configuration are there that the signature does not cover."
    ),
    VerificationReason.UNKNOWN_DIGEST: (
        "The digest of a file is not known in the algorithm that was signed, so it cannot be"
        " compared."
    ),
    VerificationReason.SYMLINK: (
        "A file is a symbolic link, but the model was signed without links (`allow_symlinks`)."
    ),
    VerificationReason.UNSAFE_TREE: (
        "The tree has something in it that is no plain file: a link that leaves it, a device, a"
        " named pipe."
    ),
    VerificationReason.CHANGED_WHILE_READING: (
        "A file changed while it was read. Stop whatever writes there and verify again."
    ),
    VerificationReason.UNREADABLE: "A file cannot be read. Check permissions and the disk.",
}
