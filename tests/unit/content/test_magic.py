"""What files are, by content and by name."""

import io
import pickle
import struct
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.repositories import gguf, safetensors
from weighmaster.core.content.filenames import FilePurpose, format_by_name, purpose_of
from weighmaster.core.content.magic import MALFORMED, Examined, examine
from weighmaster.core.content.reading import run
from weighmaster.core.content.summary import Examination, summarise
from weighmaster.core.evidence import Basis, Disguise, FormatFact, GapReason


def look(content: bytes, limit: int = 1 << 20) -> Examined:
    return run(examine(len(content), limit=limit), content)


def archive(*names: str, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        for name in names:
            writer.writestr(name, "content")
        writer.comment = comment
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as writer:
        writer.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


FORMATS = {
    "a pickle of protocol 2": (pickle.dumps({"a": 1}, 2), "pickle"),
    "a pickle of protocol 5": (pickle.dumps([1], 5), "pickle"),
    "a pickle of protocol 0": (pickle.dumps(print, 0), "pickle"),
    "a container of protocol 0": (pickle.dumps([1, 2], 0), "pickle"),
    "a legacy torch file": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "pickle"),
    "a torch archive": (archive("model/data.pkl", "model/data/0"), "pickle"),
    "a torch archive whose pickle comes last": (archive("a", "b", "c/data.pkl"), "pickle"),
    "a torchscript": (archive("m/data.pkl", "m/code/x.py"), "torchscript"),
    "a keras archive": (archive("metadata.json", "config.json", "model.weights.h5"), "keras"),
    "numpy arrays": (archive("a.npy", "b.npy"), "numpy"),
    "an archive with a long comment": (archive("x.pkl", comment=b"c" * 60_000), "pickle"),
    "some other archive": (archive("a.txt"), "zip"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "keras"),
    "an array": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (1,)}", "numpy"),
    "an array of objects": (b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'shape': (1,)}", "pickle"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(50), "tflite"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:\x90", "onnx"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(50), "7z"),
    "gzip": (b"\x1f\x8b" + bytes(50), "compressed"),
    "tar": (tar(), "tar"),
    "gguf": (gguf({"general.name": "x"}), "gguf"),
    "safetensors": (safetensors(), "safetensors"),
    "a vocabulary that begins with c": (b"cat\ndog\nemu\n", None),
    "text": (b"hello", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize(("content", "found"), FORMATS.values(), ids=FORMATS)
def test_content_tells_the_format_of(content: bytes, found: str | None) -> None:
    assert look(content).format == found


def test_a_header_that_breaks_the_rules_is_malformed_with_the_reason() -> None:
    found = look(safetensors() + b"trailing")
    assert found.format == MALFORMED
    assert found.problem == "the tensors do not fill the file"


def test_an_archive_without_an_end_is_malformed() -> None:
    assert look(archive("a")[:-22]).format == MALFORMED


def test_a_zip64_directory_is_found() -> None:
    content = archive("m/data.pkl")
    end = content.rfind(b"PK\x05\x06")
    extent, offset = struct.unpack("<II", content[end + 12 : end + 20])
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, extent, offset)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    tail = bytearray(content[end:])
    tail[16:20] = b"\xff" * 4
    assert look(content[:end] + record + locator + bytes(tail)).format == "pickle"


@given(content=st.binary(max_size=600), start=st.sampled_from(
    [b"", b"PK\x03\x04", b"GGUF\x03\0\0\0", b"\x93NUMPY", archive("a", "b")]
))  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_looking_into_any_bytes_never_raises(content: bytes, start: bytes) -> None:
    look(start + content, limit=4096)
    look(content + start, limit=4096)


PURPOSES = {
    "README.md": FilePurpose.CARD,
    "docs/README.md": FilePurpose.OTHER,
    "model.sig": FilePurpose.SIGNATURE,
    "model.oms.sig": FilePurpose.SIGNATURE,
    "result.sigstore": FilePurpose.SIGNATURE,
    ".kaggle/signing.json": FilePurpose.SIGNATURE,
    "sub/model.sig": FilePurpose.OTHER,
    "config.json": FilePurpose.CONFIG,
    "text_encoder/config.json": FilePurpose.CONFIG,
    "tokenizer_config.json": FilePurpose.CONFIG,
    "modeling_x.py": FilePurpose.CODE,
    "a/model.SAFETENSORS": FilePurpose.WEIGHTS,
    "pytorch_model.bin": FilePurpose.WEIGHTS,
    "data.zip": FilePurpose.ARCHIVE,
    ".gitattributes": FilePurpose.OTHER,
}


@pytest.mark.parametrize(("name", "purpose"), PURPOSES.items())
def test_a_name_says_what_a_file_is_for(name: str, purpose: FilePurpose) -> None:
    assert purpose_of(name) is purpose


def test_a_dot_file_has_no_extension() -> None:
    assert format_by_name(".bin") is None
    assert format_by_name("a.BIN") == "pickle"


def summary_of(**files: bytes | None) -> tuple[tuple[FormatFact, ...], tuple[Disguise, ...]]:
    names = [
        Examination(name.replace("__", "."), len(content or b"12345"),
                    look(content) if content is not None else None)
        for name, content in files.items()
    ]  # fmt: skip
    facts, _ = summarise(names, [])
    return facts.formats, facts.disguises


def test_a_pickle_under_a_safe_name_is_counted_as_a_pickle_and_named() -> None:
    content = pickle.dumps([1], 4)
    formats, disguises = summary_of(model__safetensors=content, notes__txt=content)
    assert formats == (FormatFact("pickle", 2, 2 * len(content), Basis.FETCHED),)
    assert disguises == (
        Disguise("model.safetensors", "safetensors", "pickle"),
        Disguise("notes.txt", "none", "pickle"),
    )


def test_a_file_that_only_has_the_name_of_safetensors_is_malformed() -> None:
    formats, _ = summary_of(model__safetensors=b"whatever this is")
    assert formats == (FormatFact(MALFORMED, 1, 16, Basis.FETCHED),)


def test_a_format_known_by_name_only_is_asserted_and_said_to_be_unread() -> None:
    facts, gaps = summarise([Examination("model.safetensors", 5, None)], [])
    assert facts.formats == (FormatFact("safetensors", 1, 5, Basis.ASSERTED),)
    assert [gap.reason for gap in gaps] == [GapReason.CONTENT_NOT_READ]


def test_torchscript_under_the_name_of_a_pickle_is_no_disguise() -> None:
    _, disguises = summary_of(model__pt=archive("m/data.pkl", "m/code/x.py"))
    assert not disguises
