"""Readers of safetensors and GGUF headers, against well-made and hostile files."""

import json
import struct
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.repositories import gguf, safetensors
from weighmaster.core.content.gguf import GgufFacts, read_gguf
from weighmaster.core.content.reading import Reader, Span, run
from weighmaster.core.content.safetensors import SafetensorsFacts, read_safetensors
from weighmaster.errors import HeaderError

LIMIT = 1024 * 1024


def read_st(content: bytes, limit: int = LIMIT) -> SafetensorsFacts:
    return run(read_safetensors(len(content), limit=limit), content)


def read_gg(content: bytes, limit: int = LIMIT) -> GgufFacts:
    return run(read_gguf(len(content), limit=limit), content)


def file_with(header: Any, data: int = 0, raw: bytes | None = None) -> bytes:
    text = json.dumps(header).encode() if raw is None else raw
    return struct.pack("<Q", len(text)) + text + bytes(data)


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def spend(reader: Reader[Any], content: bytes) -> tuple[int, int]:
    """Run a reader; the bytes that it asked for, and the number of times."""
    asked = times = 0
    try:
        span = next(reader)
        while True:
            assert span.offset >= 0
            assert span.length >= 0
            asked, times = asked + span.length, times + 1
            span = reader.send(content[span.offset : span.offset + span.length])
    except (StopIteration, HeaderError):
        return asked, times


def test_a_safetensors_header_gives_parameters_by_dtype_and_metadata() -> None:
    facts = read_st(safetensors({"a": [3, 4], "b": []}))
    assert facts == SafetensorsFacts(2, (("F32", 13),), (("format", "pt"),))


def test_a_header_at_the_end_of_a_large_file_is_read_without_the_file() -> None:
    content = safetensors({"a": [1000, 1000]})
    asked, times = spend(read_safetensors(len(content), limit=LIMIT), content)
    assert asked <= 64 * 1024
    assert times == 1


def test_a_header_longer_than_the_first_look_is_read_to_its_end() -> None:
    shapes = {f"layer.{index}.weight": [2] for index in range(5000)}
    assert read_st(safetensors(shapes)).tensors == 5000


def test_bits_smaller_than_a_byte_are_counted() -> None:
    content = file_with({"q": tensor(0, 4, [8], "F4")}, 4)
    assert read_st(content).dtypes == (("F4", 8),)


MALFORMED = {
    "no bytes": b"",
    "seven bytes": b"\0" * 7,
    "a length over the format's limit": struct.pack("<Q", 100_000_001) + b"{}",
    "a length beyond the file": struct.pack("<Q", 100) + b"{}",
    "a header that is no JSON": file_with(None, raw=b"{not json}"),
    "leading white space": file_with(None, raw=b"  {}"),
    "a list": file_with([]),
    "a name twice": file_with(
        None,
        4,
        raw=b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":'
        b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ),
    "an unknown dtype": file_with({"a": tensor(0, 4, [1], "F31")}, 4),
    "a negative extent": file_with({"a": tensor(0, 4, [-1])}, 4),
    "an extent that is no number": file_with({"a": tensor(0, 4, [True])}, 4),
    "a shape that overflows": file_with({"a": tensor(0, 4, [2**40, 2**40])}, 4),
    "offsets in the wrong order": file_with({"a": tensor(4, 0, [1])}, 4),
    "a hole": file_with({"a": tensor(0, 4, [1]), "b": tensor(8, 12, [1])}, 12),
    "an overlap": file_with({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, 12),
    "trailing bytes": file_with({"a": tensor(0, 4, [1])}, 5),
    "missing bytes": file_with({"a": tensor(0, 4, [1])}, 3),
    "a size that the shape denies": file_with({"a": tensor(0, 4, [2])}, 4),
    "metadata that is no text": file_with({"__metadata__": {"a": 1}}),
    "not a number": file_with(None, raw=b'{"a": NaN}'),
    "nesting without end": file_with(None, raw=b'{"a":' + b"[" * 100_000),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_safetensors_header_is_refused_with(content: bytes) -> None:
    with pytest.raises(HeaderError) as caught:
        read_st(content)
    assert not caught.value.incomplete


def test_a_header_over_our_limit_is_incomplete_not_malformed() -> None:
    content = safetensors({f"{index:0200}": [1] for index in range(1000)})
    with pytest.raises(HeaderError) as caught:
        read_st(content, limit=70_000)
    assert caught.value.incomplete


def test_a_gguf_header_gives_the_general_keys() -> None:
    facts = read_gg(gguf({"general.architecture": "llama", "general.license": "mit", "x.n": 7}))
    assert facts.version == 3
    assert facts.complete
    assert facts.general == (("architecture", "llama"), ("license", "mit"))


def array(kind: int, count: int, content: bytes = b"") -> bytes:
    """A GGUF file with one array that claims ``count`` elements."""
    key = b"tokenizer.ggml.tokens"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key
    return head + struct.pack("<IIQ", 9, kind, count) + content


@pytest.mark.parametrize("kind", [0, 4, 8, 10, 12])
def test_an_array_of_2_to_the_40_elements_neither_hangs_nor_allocates(kind: int) -> None:
    """The reference reader hangs on this file of some 50 bytes."""
    started = time.perf_counter()
    with pytest.raises(HeaderError):
        read_gg(array(kind, 2**40))
    assert time.perf_counter() - started < 1


def test_a_vocabulary_is_not_walked_through() -> None:
    words = b"".join(struct.pack("<Q", 4) + b"word" for _ in range(100_000))
    content = array(8, 100_000, words)
    asked, _ = spend(read_gguf(len(content), limit=LIMIT), content)
    assert asked <= 64 * 1024
    assert not read_gg(content).complete


def test_arrays_in_arrays_end_the_reading() -> None:
    nested = struct.pack("<IQ", 9, 1) * 1000
    assert not read_gg(array(9, 1, nested)).complete


def test_a_short_array_of_strings_is_passed_over() -> None:
    content = array(8, 2, struct.pack("<Q", 1) + b"a" + struct.pack("<Q", 0))
    assert read_gg(content).complete


BAD_GGUF = {
    "another magic": b"GGUX" + bytes(40),
    "version 1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "the other byte order": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "more tensors than the file can hold": b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
    "more pairs than the file can hold": b"GGUF" + struct.pack("<IQQ", 3, 0, 60_000),
    "a key longer than the file": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1000) + bytes(20),
    "an unknown type": gguf({"k": 1}).replace(struct.pack("<I", 4), struct.pack("<I", 99)),
    "a key twice": gguf({"general.name": "a"})[:-0 or None].replace(
        struct.pack("<IQQ", 3, 0, 1), struct.pack("<IQQ", 3, 0, 2)
    ) + gguf({"general.name": "b"})[24:],
    "the end in the middle": gguf({"general.name": "abc"})[:-2],
}  # fmt: skip


@pytest.mark.parametrize("content", BAD_GGUF.values(), ids=BAD_GGUF)
def test_a_gguf_header_is_refused_with(content: bytes) -> None:
    with pytest.raises(HeaderError):
        read_gg(content)


mutations = st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=9)), max_size=6)
VALID = st.sampled_from([
    safetensors({"a": [2, 3], "b": [1]}),
    gguf({"general.name": "x", "general.license": "mit", "n": 5}, padding=200),
    array(8, 3, struct.pack("<Q", 1) + b"abcdef" * 10),
])  # fmt: skip


@given(content=st.binary(max_size=400) | VALID, changes=mutations, limit=st.integers(0, 300))
@settings(deadline=None, max_examples=300)
def test_no_bytes_make_a_reader_raise_anything_else_or_read_more_than_its_limit(
    content: bytes, changes: list[tuple[int, bytes]], limit: int
) -> None:
    hostile = bytearray(content)
    for at, replacement in changes:
        hostile[at : at + len(replacement)] = replacement
    data = bytes(hostile)
    for reader in (
        read_safetensors(len(data), limit=limit),
        read_gguf(len(data), limit=limit),
        read_gguf(2**40, limit=limit),
    ):
        asked, times = spend(reader, data)
        assert asked <= limit
        assert times <= 20


@given(lengths=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3))
@settings(deadline=None)
def test_no_counts_make_the_gguf_reader_ask_past_the_file(lengths: list[int]) -> None:
    data = b"GGUF" + struct.pack("<IQQQ", 3, *lengths) + bytes(100)
    reader = read_gguf(len(data), limit=LIMIT)
    try:
        span: Span = next(reader)
        while True:
            assert span.offset + span.length <= len(data)
            span = reader.send(data[span.offset : span.offset + span.length])
    except (StopIteration, HeaderError):
        pass
