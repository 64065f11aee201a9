"""What a file is, by its name: one table for coverage and for what may be left unsigned.

A name proves nothing about content, so a name that the table does not know counts as something
that must be signed.
"""

from enum import StrEnum

from weighmaster.core.content.filenames import is_attestation
from weighmaster.core.formats import BY_EXTENSION


class FileClass(StrEnum):
    """What a file is to whoever loads the model."""

    WEIGHTS = "weights"
    CODE = "code"
    CONFIGURATION = "configuration"
    UNKNOWN = "unknown"
    DOCUMENTATION = "documentation"
    SIGNATURE = "signature"


_SIGNATURES = (".sig", ".oms.sig")
"""Bundles lie at the top of a model (OMS section 9); elsewhere the name means nothing."""

_TABLE = {
    FileClass.WEIGHTS: (
        ".ggml .mlmodel .mlpackage .dat .data .7z .zip .tar .gz .tgz .zst .llamafile .pdparams"
        " .pdmodel .params .caffemodel .weights .orbax .distcp .index .ot"
    ),
    FileClass.CODE: (
        ".py .pyc .pyi .pyd .so .dll .dylib .sh .bash .js .mjs .wasm .jar .class .exe .ipynb .cu"
        " .ptx .cubin .whl .egg .lua .pl .rb .c .cc .cpp .h"
    ),
    FileClass.CONFIGURATION: (
        ".json .jsonl .yaml .yml .toml .ini .cfg .conf .jinja .jinja2 .j2 .model .tiktoken .spm"
        " .vocab .bpe .pbtxt .prototxt .proto .txt .tsv .csv .template .env .properties"
    ),
    FileClass.DOCUMENTATION: (
        ".md .rst .pdf .png .jpg .jpeg .gif .svg .webp .bib .html .css .mp4 .webm .wav .mp3"
    ),
}
_BY_EXTENSION = {ending: kind for kind, endings in _TABLE.items() for ending in endings.split()}
_BY_EXTENSION |= dict.fromkeys(BY_EXTENSION, FileClass.WEIGHTS)

_BY_NAME = {
    "requirements.txt": FileClass.CODE,
    "dockerfile": FileClass.CODE,
    "makefile": FileClass.CODE,
    "modelfile": FileClass.CONFIGURATION,
    "license": FileClass.DOCUMENTATION,
    "license.txt": FileClass.DOCUMENTATION,
    "licence": FileClass.DOCUMENTATION,
    "licence.txt": FileClass.DOCUMENTATION,
    "notice": FileClass.DOCUMENTATION,
    "notice.txt": FileClass.DOCUMENTATION,
    "readme": FileClass.DOCUMENTATION,
    "readme.txt": FileClass.DOCUMENTATION,
    "use_policy.txt": FileClass.DOCUMENTATION,
    "copying": FileClass.DOCUMENTATION,
}


def classify(name: str) -> FileClass:
    """The class of a file in a model, by its path."""
    lower = name.lower()
    if ("/" not in lower and lower.endswith(_SIGNATURES)) or is_attestation(name):
        return FileClass.SIGNATURE
    last = lower.rpartition("/")[2]
    if found := _BY_NAME.get(last):
        return found
    stem, dot, extension = last.rpartition(".")
    if not dot or not stem:
        return FileClass.UNKNOWN
    return _BY_EXTENSION.get(f".{extension}", FileClass.UNKNOWN)


_REPOSITORY = frozenset(
    {FileClass.CONFIGURATION, FileClass.UNKNOWN, FileClass.DOCUMENTATION, FileClass.SIGNATURE}
)
_BOOKKEEPING = frozenset({FileClass.UNKNOWN, FileClass.DOCUMENTATION})

UNSIGNED_DIRECTORIES = {
    ".git": _REPOSITORY,
    ".github": _REPOSITORY,
    ".cache/huggingface": _BOOKKEEPING,
    ".cache/huggingface/trees": frozenset({FileClass.CONFIGURATION}),
}
"""Folders that may be left unsigned, and which classes of file in them.

The first two are the defaults of OMS section 6.2; workflows in them are YAML, which no model server
reads from there. The others are what ``hf download --local-dir`` leaves behind: locks and metadata
of each file, and since 2.0 listings of commits in JSON, which only the hub's client reads.
"""

UNSIGNED_FILES = frozenset({".git", ".gitattributes", ".gitignore", ".gitmodules"})
"""Files at the top that may be left unsigned, as OMS section 6.2 has it."""


def may_be_unsigned(name: str) -> bool:
    """Whether a file may go unsigned in any model: hub bookkeeping and signatures, nothing else.

    What signers say they left out (``ignore_paths``) is not consulted: it is theirs to choose.
    """
    if name in UNSIGNED_FILES or classify(name) is FileClass.SIGNATURE:
        return True
    return any(
        name.startswith(f"{directory}/") and classify(name) in classes
        for directory, classes in UNSIGNED_DIRECTORIES.items()
    )
