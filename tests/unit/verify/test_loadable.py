"""Files that a server may load: which they are, and what they are known by."""

import base64
import hashlib

import pytest

from weighmaster.core.verify import loadable
from weighmaster.core.verify.loadable import (
    FINGERPRINT_BYTES,
    fingerprint,
    fingerprints,
    is_loadable,
    loadable_digest,
    read_fingerprints,
)

A, B = "a" * 64, "b" * 64
MODEL = {"config.json": A, "model.safetensors": B}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "images/plot.png",
        "LICENSE",
        "model.sig",
        "result.sigstore",
        ".gitattributes",
        ".gitignore",
        ".git/config",
        ".git/hooks/pre-commit.sample",
        ".cache/huggingface/CACHEDIR.TAG",
        ".cache/huggingface/.gitignore",
        ".cache/huggingface/download/model.safetensors.metadata",
        ".cache/huggingface/download/model.safetensors.lock",
        f".cache/huggingface/trees/{COMMIT}.json",
    ],
)
def test_documentation_signatures_and_bookkeeping_change_nothing(name: str) -> None:
    assert not is_loadable(name)
    assert loadable_digest({**MODEL, name: A}) == loadable_digest(MODEL)
    assert fingerprints({**MODEL, name: A}) == fingerprints(MODEL)


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "modeling.py",
        "tokenizer/vocab.txt",
        "chat_template.jinja",
        "noextension",
        "lost+found/#12345",
        "inner/model.sig",
        ".git/evil.py",
        ".cache/huggingface/evil.py",
        ".cache/huggingface/config.json",
        ".cache/huggingface/trees/evil.py",
        ".cache/huggingface/trees/model.safetensors",
        ".cache/other/listing.metadata",
        "sub/.cache/huggingface/trees/config.json",
    ],
)
def test_everything_else_counts_by_name_and_by_content(name: str) -> None:
    assert is_loadable(name)
    with_a, with_b = ({**MODEL, name: digest} for digest in (A.replace("a", "c"), B))
    digests = {loadable_digest(each) for each in (MODEL, with_a, with_b)}
    assert len(digests) == 3 or name in MODEL


def test_a_file_by_another_name_is_another_file() -> None:
    swapped = {"config.json": B, "model.safetensors": A}
    assert loadable_digest(swapped) != loadable_digest(MODEL)
    assert read_fingerprints(fingerprints(swapped) or "").isdisjoint(
        read_fingerprints(fingerprints(MODEL) or "")
    )


def test_a_fingerprint_is_the_beginning_of_the_digest_of_a_manifest_line() -> None:
    line = b"config.json\0sha256:" + A.encode() + b"\n"
    assert fingerprint("config.json", A) == hashlib.sha256(line).digest()[:24]


def test_fingerprints_are_read_as_they_were_written_in_any_order_of_files() -> None:
    text = fingerprints(MODEL)
    assert text == fingerprints(dict(reversed(MODEL.items())))
    assert read_fingerprints(text or "") == {fingerprint(*each) for each in MODEL.items()}
    assert read_fingerprints("") == frozenset()


def test_a_model_of_too_many_files_has_no_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadable, "MAX_FINGERPRINTS", 2)
    assert fingerprints(MODEL) is not None
    assert fingerprints({**MODEL, "more.bin": A}) is None


@pytest.mark.parametrize(
    "text", ["*", "AAAA", base64.b64encode(bytes(FINGERPRINT_BYTES + 1)).decode(), "é"]
)
def test_what_is_no_list_of_fingerprints_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|fingerprints|ASCII"):
        read_fingerprints(text)
