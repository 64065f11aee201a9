"""The two texts that pass through a pod: expectations and verdicts."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weighmaster.core.mounted import (
    MAX_EXPECTATIONS,
    MAX_EXPECTATIONS_BYTES,
    MAX_VERDICT_BYTES,
    Expectation,
    Proof,
    Result,
    Signatures,
    Signer,
    Verdict,
    Weighed,
    decode_expectations,
    decode_verdict,
    encode_expectations,
    encode_verdict,
)

ONE = Expectation(
    reference="hf://acme/m@1",
    mount="0",
    path="llama",
    digest=f"sha256:{'a' * 64}",
    signatures=(
        Signatures(authorities=((Signer(key="PEM"),), (Signer(issuer="i"),)), threshold=2),
    ),
)
MINIMAL: dict[str, Any] = {"reference": "hf://a/b", "mount": "0"}


def test_expectations_are_read_as_they_were_written() -> None:
    assert decode_expectations(encode_expectations((ONE,))) == (ONE,)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        [],
        [{}],
        [{**MINIMAL, "unknown": 1}],
        [{**MINIMAL, "mount": "../etc"}],
        [{**MINIMAL, "mount": ""}],
        [{**MINIMAL, "digest": "sha256:abc"}],
        [{**MINIMAL, "digest": f"md5:{'a' * 64}"}],
        [{**MINIMAL, "signatures": [{"authorities": []}]}],
        [{**MINIMAL, "signatures": [{"authorities": [[]]}]}],
        [{**MINIMAL, "signatures": [{"authorities": [[{}]], "threshold": 0}]}],
        [{**MINIMAL, "signatures": [{"authorities": [[{}]], "coverage": "None"}]}],
        [MINIMAL] * (MAX_EXPECTATIONS + 1),
    ],
)
def test_what_are_no_expectations_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_expectations(json.dumps(document))


@pytest.mark.parametrize(
    "text", ["", "{", "\ud800", '[{"x":' + "[" * 9000, " " * MAX_EXPECTATIONS_BYTES]
)
def test_what_is_no_text_of_expectations_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_expectations(text)


_TEXT = st.text(st.characters(exclude_categories=()), max_size=3000)


@given(message=_TEXT, names=st.lists(_TEXT, max_size=4), places=st.integers(0, 16))
@example(message="\ud800", names=[], places=1)
def test_a_verdict_is_always_whole_and_never_too_long(
    message: str, names: list[str], places: int
) -> None:
    proofs = ((Proof(by=(0, 1), identity=message, issuer=message),) * 2,)
    each = Weighed(reference=message, store=message, signed_by=(message,) * 4, proofs=proofs)
    verdict = Verdict(
        result=Result.REFUSED,
        reason="Mismatch",
        message=message,
        reference=message,
        files=tuple(names),
        verified=(each,) * places,
    )
    encoded = encode_verdict(verdict)
    assert len(encoded) <= MAX_VERDICT_BYTES
    read = decode_verdict(encoded.decode())
    assert read is not None
    assert (read.result, read.reason) == (Result.REFUSED, "Mismatch")
    for weighed in read.verified:
        assert weighed.proofs in ((), proofs, ((Proof(by=(0, 1)),) * 2,))


def test_a_short_verdict_loses_nothing() -> None:
    verdict = Verdict(
        result=Result.REFUSED,
        reason="Mismatch",
        message="one file differs",
        files=("model.safetensors",),
        verified=(
            Weighed(
                reference="hf://a/b",
                files=3,
                bytes=9,
                seconds=0.5,
                proofs=((Proof(by=(1,), identity="a@example.com", issuer="https://i"),), ()),
            ),
        ),
        seconds=1.25,
    )
    assert decode_verdict(encode_verdict(verdict).decode()) == verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "Killed",
        '{"result": "pass"}',
        '{"x":' + "[" * 4000,
        '{"result": "verified"}' + " " * 5000,
        "\ud800",
    ],
)
def test_what_is_no_verdict_is_none(text: str) -> None:
    assert decode_verdict(text) is None


def test_a_verdict_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    text = msgspec.json.encode({"result": "verified", "more": 1}).decode()
    assert decode_verdict(text) == Verdict(result=Result.VERIFIED)
