"""What files are for, by name: which hold weights, code, configuration, a card, a signature.

Formats by extension are those of `weighmaster.core.formats`; nothing is listed twice.
"""

from enum import StrEnum

from weighmaster.core.formats import BY_EXTENSION

ARCHIVES = {
    ".zip": "zip", ".7z": "7z", ".tar": "tar", ".tgz": "compressed", ".gz": "compressed",
    ".bz2": "compressed", ".xz": "compressed", ".zst": "compressed",
}  # fmt: skip
"""Extensions that say nothing of what is inside."""

CARD = "README.md"

_CODE = frozenset({".py", ".pyc", ".pyd", ".so", ".sh", ".dll", ".js", ".wasm", ".ipynb"})
_SIGNATURES = (".sig", ".sigstore", ".sigstore.json", ".oms.json", ".intoto.jsonl", ".asc")
ATTESTATIONS = (".sigstore.json", ".sigstore", ".intoto.jsonl")
"""How names end under which attestations lie: a Sigstore bundle, or an in-toto bundle of several
(https://github.com/in-toto/attestation/blob/main/spec/v1/bundle.md)."""

ATTESTATION_FOLDER = "attestations"
_CONFIGS = frozenset(
    {"model_index.json", "modules.json", "params.json", "config_sentence_transformers.json"}
)


class FilePurpose(StrEnum):
    """What a file is for."""

    WEIGHTS = "weights"
    ARCHIVE = "archive"
    CODE = "code"
    CONFIG = "config"
    CARD = "card"
    SIGNATURE = "signature"
    OTHER = "other"


def purpose_of(name: str) -> FilePurpose:
    """What the file of this name, relative to the model's root, is for."""
    base = name.rpartition("/")[2].lower()
    extension = extension_of(name)
    if name == CARD:
        return FilePurpose.CARD
    if is_signature(name):
        return FilePurpose.SIGNATURE
    if extension in _CODE:
        return FilePurpose.CODE
    if base.endswith("config.json") or base in _CONFIGS:
        return FilePurpose.CONFIG
    if extension in BY_EXTENSION:
        return FilePurpose.WEIGHTS
    return FilePurpose.ARCHIVE if extension in ARCHIVES else FilePurpose.OTHER


def is_signature(name: str) -> bool:
    """Whether signatures of a whole model are kept under this name.

    At the root (``model.sig``, ``*.sigstore``, ``*.oms.sig``), where Kaggle puts them, or where
    attestations lie.
    """
    return (
        ("/" not in name and name.lower().endswith(_SIGNATURES))
        or name == ".kaggle/signing.json"
        or is_attestation(name)
    )


def is_attestation(name: str) -> bool:
    """Whether attestations of a whole model are kept under this name: at its root or in a folder.

    Nothing loads such a file, so it need not be signed.
    """
    folder, _, base = name.rpartition("/")
    return folder in ("", ATTESTATION_FOLDER) and base.lower().endswith(ATTESTATIONS)


def is_python(name: str) -> bool:
    """Whether a loader could run this file as Python, or from Python."""
    return extension_of(name) in (".py", ".pyc", ".pyd", ".so")


def extension_of(name: str) -> str:
    """The last extension in lower case, with its dot; empty for none and for dot files."""
    stem, dot, extension = name.rpartition("/")[2].lower().rpartition(".")
    return f".{extension}" if dot and stem else ""


def format_by_name(name: str) -> str | None:
    """The weight or archive format that a name claims, None when it claims none."""
    extension = extension_of(name)
    return BY_EXTENSION.get(extension) or ARCHIVES.get(extension)
