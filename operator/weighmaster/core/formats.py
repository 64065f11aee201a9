"""Weight formats by name: what a file name, or the runtime's loader setting, says will be loaded.

A name proves nothing about content; it is what there is before evidence has been gathered.
"""

import re

from weighmaster.core.values import ModelUse, Role

BY_EXTENSION = {
    ".safetensors": "safetensors",
    ".gguf": "gguf",
    ".onnx": "onnx",
    ".bin": "pickle",
    ".pt": "pickle",
    ".pth": "pickle",
    ".ckpt": "pickle",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".joblib": "pickle",
    ".dill": "pickle",
    ".torchscript": "torchscript",
    ".ts": "torchscript",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".pb": "saved-model",
    ".savedmodel": "saved-model",
    ".tflite": "tflite",
    ".engine": "tensorrt",
    ".plan": "tensorrt",
    ".npy": "numpy",
    ".npz": "numpy",
    ".msgpack": "msgpack",
    ".nemo": "nemo",
    ".mar": "mar",
    ".xml": "openvino",
}
"""NOTES-signing section 5. What is not listed says nothing, such as an archive."""

BY_LOAD_FORMAT = {
    "safetensors": "safetensors",
    "fastsafetensors": "safetensors",
    "runai_streamer": "safetensors",
    "runai_streamer_sharded": "safetensors",
    "gguf": "gguf",
    "pt": "pickle",
    "npcache": "pickle",
    "tensorizer": None,
    "bitsandbytes": None,
    "mistral": "safetensors",
}
"""Values of ``--load-format`` (vLLM, SGLang) that allow one format only."""

_LOADED_BY_FORMAT = frozenset({Role.BASE, Role.EMBEDDING, Role.RERANKER})
"""Roles that the loader setting is about; adapters and tokenizers have loaders of their own."""

_FILE_SCHEMES = frozenset({"s3", "gs", "tos", "az", "http", "https", "pvc", "hostpath"})


def format_of(use: ModelUse) -> str | None:
    """The format a use will load, or None where neither a file name nor a setting says."""
    reference = use.reference
    name = reference.file or ""
    if not name and reference.scheme in _FILE_SCHEMES:
        name = reference.location
    if name and (found := BY_EXTENSION.get(_extension(name))):
        return found
    load_format = use.process.load_format if use.role in _LOADED_BY_FORMAT else None
    return BY_LOAD_FORMAT.get(load_format.lower()) if load_format else None


def _extension(name: str) -> str:
    last = re.split(r"[?#]", name, maxsplit=1)[0].rpartition("/")[2].lower()
    stem, dot, extension = last.rpartition(".")
    return f".{extension}" if dot and stem else ""
