"""Small model repositories, as a hub would hold them."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Stored:
    """A large file, which stays on the disk. Its size is that of the file."""

    path: Path
    sha256: str


@dataclass
class Repository:
    """One repository: files by name, which of them are LFS, and revisions besides ``main``."""

    name: str
    files: dict[str, bytes]
    lfs: set[str] = field(default_factory=set)
    gated: bool = False
    revisions: dict[str, str] = field(default_factory=dict)
    """Branches and tags (and ``refs/pr/N``), to commits."""
    history: list[str] = field(default_factory=list)
    """Older commits of ``main``, newest first. Any of them resolves."""
    orphans: set[str] = field(default_factory=set)
    """Commits that resolve although they are on no branch."""
    stored: dict[str, Stored] = field(default_factory=dict)
    """Further files, all of them LFS."""

    @property
    def commit(self) -> str:
        contents = hashlib.sha1(self.name.encode())
        for name in sorted(self.files):
            contents.update(name.encode() + self.files[name])
        for name, stored in sorted(self.stored.items()):
            contents.update(f"{name}{stored.sha256}".encode())
        return contents.hexdigest()

    def resolve(self, revision: str) -> str | None:
        if revision in self.revisions:
            return self.revisions[revision]
        if revision in {*self.history, *self.revisions.values(), *self.orphans}:
            return revision
        return self.commit if revision in ("main", self.commit) else None

    def entry(self, name: str) -> dict[str, Any]:
        if (stored := self.stored.get(name)) is not None:
            size = stored.path.stat().st_size
            lfs = {"oid": stored.sha256, "size": size, "pointerSize": 134}
            return {"type": "file", "path": name, "size": size, "oid": "0" * 40, "lfs": lfs}
        content = self.files[name]
        entry: dict[str, Any] = {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": hashlib.sha1(b"blob %d\x00" % len(content) + content).hexdigest(),
        }
        if name in self.lfs:
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
        return entry


def safetensors(tensors: dict[str, list[int]] | None = None, dtype: str = "F32") -> bytes:
    """A safetensors file whose tensors have these shapes and are all zero."""
    at = 0
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name, shape in (tensors or {"weight": [4, 2]}).items():
        size = 4
        for extent in shape:
            size *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def gguf(pairs: dict[str, str | int], tensors: int = 0, padding: int = 0) -> bytes:
    """A GGUF file, version 3, with these keys and no tensor information."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, tensors, len(pairs))]
    for key, value in pairs.items():
        parts.append(struct.pack("<Q", len(key)) + key.encode())
        if isinstance(value, str):
            parts.append(struct.pack("<IQ", 8, len(value.encode())) + value.encode())
        else:
            parts.append(struct.pack("<II", 4, value))
    return b"".join(parts) + bytes(padding)


CARD = b"""---
license: apache-2.0
base_model: acme/base
base_model_relation: finetune
tags: [a, b]
---
# A model
"""


def model(name: str = "acme/model", changes: Mapping[str, bytes] | None = None) -> Repository:
    """A well-made repository: card, configuration, two shards of weights, a tokenizer."""
    files = {
        "README.md": CARD,
        "config.json": b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}',
        "tokenizer.json": b"{}",
        "model-00001-of-00002.safetensors": safetensors({"a": [8, 4]}),
        "model-00002-of-00002.safetensors": safetensors({"b": [16]}),
    }
    files.update(changes or {})
    weights = {file for file in files if file.endswith((".safetensors", ".gguf", ".bin"))}
    return Repository(name, files, lfs=weights)
