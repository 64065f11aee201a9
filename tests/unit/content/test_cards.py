"""Model cards: front matter, licences, base models."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighmaster.core.content.card import base_reference, read_card
from weighmaster.core.content.frontmatter import block_of, read_block
from weighmaster.core.content.licenses import from_text, normalise
from weighmaster.core.evidence import CardFacts, GapReason
from weighmaster.errors import HeaderError


def card(text: str) -> tuple[CardFacts, list[GapReason]]:
    facts, gaps = read_card("README.md", f"---\n{text}\n---\n# Title\n".encode())
    return facts, [gap.reason for gap in gaps]


def test_a_card_gives_licence_and_base_models() -> None:
    facts, gaps = card(
        "license: mit\nbase_model:\n- acme/a\n- acme/b@main\nbase_model_relation: merge"
    )
    assert facts.license == "MIT"
    assert facts.base_models == ("hf://acme/a",)
    assert facts.relation == "merge"
    assert gaps == [GapReason.LINEAGE_INCOMPLETE]


def test_a_single_base_model_is_a_list_of_one() -> None:
    assert card("base_model: acme/a")[0].base_models == ("hf://acme/a",)


def test_another_licence_goes_by_the_name_the_card_gives_it() -> None:
    facts, _ = card("license: other\nlicense_name: NVIDIA Open Model\nlicense_link: LICENSE")
    assert facts.license == "LicenseRef-NVIDIA-Open-Model"
    assert facts.license_link == "LICENSE"


@pytest.mark.parametrize("text", ["# no front matter", "", "---", "text\n---\nlicense: mit\n---\n"])
def test_a_card_without_front_matter_says_nothing(text: str) -> None:
    facts, gaps = read_card("README.md", text.encode())
    assert facts.license is None
    assert not gaps


@pytest.mark.parametrize(
    "text",
    [
        "license: mit\nlicense: apache-2.0",
        "<<: {license: mit}",
        "a: &a mit\nlicense: *a",
        "? [license]\n: mit",
        "license: [unclosed",
        "- a\n- b",
        "license: !!binary \"\x00\"",
        "base_model: [" + "a/b, " * 300 + "]",
        "license: mit\n\t- x",
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_or_not_at_all_is_a_gap(text: str) -> None:
    facts, gaps = card(text)
    assert facts.license is None
    assert gaps == [GapReason.CARD_MALFORMED]


def test_front_matter_that_does_not_end_is_a_gap() -> None:
    _, gaps = read_card("README.md", b"---\nlicense: mit\n" + b"x: y\n" * 10)
    assert [gap.reason for gap in gaps] == [GapReason.CARD_MALFORMED]


def test_results_of_hundreds_of_kilobytes_are_passed_over_quickly() -> None:
    results = "".join(f"  - type: map_at_{n}\n    value: {n}.5\n" for n in range(8000))
    started = time.perf_counter()
    facts, gaps = card(f"model-index:\n- results:\n{results}license: mit")
    assert facts.license == "MIT"
    assert not gaps
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize("text", ["x: " + "[" * 20_000, "x: " + "{a: " * 5_000])
def test_depth_costs_nothing_and_breaks_nothing(text: str) -> None:
    _, gaps = card(text)
    assert gaps == [GapReason.CARD_MALFORMED]


def test_aliases_that_multiply_are_never_expanded() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)
    )
    assert card(bomb + "license: mit")[0].license == "MIT"


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=200)
def test_no_bytes_make_the_card_reader_raise(content: bytes) -> None:
    read_card("README.md", content)
    read_card("README.md", b"---\n" + content + b"\n---\n")
    with contextlib.suppress(HeaderError):
        read_block(block_of(content) or b"", {"license"})


LICENSES = {
    "apache-2.0": "Apache-2.0",
    "MIT": "MIT",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "gpl-3.0": "GPL-3.0-only",
    "bsl-1.0": "BSL-1.0",
    "odc-by": "ODC-By-1.0",
    "llama3.1": "LicenseRef-llama3.1",
    "gemma": "LicenseRef-gemma",
    "bigscience-bloom-rail-1.0": "LicenseRef-bigscience-bloom-rail-1.0",
    "cc": "LicenseRef-cc",
    "unknown": "LicenseRef-unknown",
    "other": "LicenseRef-other",
    "mit or apache-2.0": "MIT OR Apache-2.0",
    "GPL-2.0-only WITH Classpath-exception-2.0": "GPL-2.0-only WITH Classpath-exception-2.0",
    "mit and something odd": "LicenseRef-mit-and-something-odd",
    "Classpath-exception-2.0": "LicenseRef-Classpath-exception-2.0",
    "LicenseRef-acme": "LicenseRef-acme",
    "M\u0406T": "LicenseRef-M-T",
    "(" * 200 + "mit" + ")" * 200: "LicenseRef-mit",
}


@pytest.mark.parametrize(("text", "spdx"), LICENSES.items())
def test_a_licence_becomes_an_spdx_expression(text: str, spdx: str) -> None:
    assert normalise([text]) == spdx


def test_several_licences_are_all_required() -> None:
    assert normalise(["mit", "apache-2.0", "mit"]) == "MIT AND Apache-2.0"
    assert normalise(["mit or isc", "apache-2.0"]) == "(MIT OR ISC) AND Apache-2.0"
    assert normalise([]) is None


@given(st.text(max_size=80))
@settings(deadline=None, max_examples=200)
def test_no_text_makes_an_expression_that_is_too_long_or_not_ascii(text: str) -> None:
    found = normalise([text])
    assert found is None or (found.isascii() and 0 < len(found) <= 256)


def test_a_licence_text_is_recognised_by_how_it_begins() -> None:
    assert from_text("\n   Apache License\n   Version 2.0, January 2004") == "Apache-2.0"
    assert from_text("MIT License\n\nCopyright") == "MIT"
    assert from_text("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT") == "LicenseRef-llama3.1"
    assert from_text("All rights reserved") is None


BASES = {
    "acme/base": "hf://acme/base",
    "gpt2": "hf://gpt2",
    "https://huggingface.co/acme/base": "hf://acme/base",
    "https://huggingface.co/acme/base/tree/main": "hf://acme/base",
    "hf://acme/base@main": "hf://acme/base@main",
    "oci://ghcr.io/acme/base:1": "oci://ghcr.io/acme/base:1",
    "/workspace/model": None,
    "../model": None,
    "./model": None,
    "a/b/c": None,
    "": None,
    "acme/base@main": None,
    "hf://acme/../x": None,
}


@pytest.mark.parametrize(("text", "reference"), BASES.items())
def test_a_base_model_becomes_a_canonical_reference(text: str, reference: str | None) -> None:
    assert base_reference(text) == reference
