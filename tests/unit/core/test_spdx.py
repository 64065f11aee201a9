"""Licence expressions, compared with the library that SPDX tools use."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from license_expression import get_spdx_licensing  # type: ignore[import-untyped]

from weighmaster.core.evaluate.spdx import MAX_DEPTH, AllowList

LICENSES = ["MIT", "Apache-2.0", "GPL-3.0-only", "BSD-3-Clause", "ISC", "CC-BY-NC-4.0"]
LIBRARY = get_spdx_licensing()

expressions = st.recursive(
    st.sampled_from(LICENSES),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" AND ", " OR ", " and ", "  oR "]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=8,
)


def holds(parsed: object, allowed: set[str]) -> bool:
    """The library's tree, evaluated."""
    kind = type(parsed).__name__
    if kind == "AND":
        return all(holds(part, allowed) for part in parsed.args)  # type: ignore[attr-defined]
    if kind == "OR":
        return any(holds(part, allowed) for part in parsed.args)  # type: ignore[attr-defined]
    return str(parsed) in allowed


@settings(max_examples=300, deadline=None)
@given(expressions, st.sets(st.sampled_from(LICENSES)))
def test_expression_means_what_the_library_says(expression: str, allowed: set[str]) -> None:
    expected = holds(LIBRARY.parse(expression), allowed)
    assert AllowList(allowed).permits(expression) is expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*LICENSES, "AND", "OR", "WITH", "(", ")"]), max_size=9))
def test_what_the_library_does_not_take_is_not_permitted(tokens: list[str]) -> None:
    text = " ".join(tokens)
    permitted = AllowList(LICENSES).permits(text)
    try:
        parsed = LIBRARY.parse(text)
    except Exception:  # noqa: BLE001 - the library raises many kinds
        parsed = None
    if permitted:
        assert parsed is not None


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "MIT OR", "OR MIT", "MIT MIT", "(MIT", "MIT)", "()", "MIT AND", "NOT MIT",
        "MIT WITH", "MIT OR MIT WITH AND", "WITH x", "MIT WITH AND", "MIT, ISC",
        "MIT/ISC", "MIT\x00", "M\u0130T",
        "MIT OR (ISC", "MIT WITH (x)", "MIT & ISC", "🙂",
    ],
)  # fmt: skip
def test_junk_is_not_permitted(text: str) -> None:
    assert not AllowList(["MIT", "ISC", "x", "OR", "AND", ""]).permits(text)


def test_identifiers_compare_without_regard_to_case_and_space() -> None:
    allowed = AllowList(["apache-2.0", "GPL-2.0-only   WITH  Classpath-exception-2.0"])
    assert allowed.permits("APACHE-2.0")
    assert allowed.permits(" Apache-2.0\n")
    assert allowed.permits("gpl-2.0-only with classpath-exception-2.0")


def test_exception_is_part_of_the_licence() -> None:
    assert not AllowList(["GPL-2.0-only"]).permits("GPL-2.0-only WITH Classpath-exception-2.0")
    with_exception = AllowList(["GPL-2.0-only WITH Classpath-exception-2.0"])
    assert not with_exception.permits("GPL-2.0-only")


def test_later_versions_are_licences_of_their_own() -> None:
    assert not AllowList(["GPL-2.0"]).permits("GPL-2.0+")
    assert AllowList(["GPL-2.0+"]).permits("GPL-2.0+")


def test_references_to_other_licences_are_taken_literally() -> None:
    assert AllowList(["LicenseRef-llama3.1"]).permits("LicenseRef-llama3.1 OR GPL-3.0-only")
    assert AllowList(["DocumentRef-x:LicenseRef-y"]).permits("DocumentRef-x:LicenseRef-y")


def test_and_binds_more_closely_than_or() -> None:
    assert AllowList(["MIT"]).permits("MIT OR ISC AND GPL-3.0-only")
    assert not AllowList(["MIT", "ISC"]).permits("(MIT OR ISC) AND GPL-3.0-only")


def test_empty_list_permits_nothing() -> None:
    assert not AllowList([]).permits("MIT")


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 100_000])
def test_nesting_ends_somewhere(depth: int) -> None:
    text = "(" * depth + "MIT" + ")" * depth
    assert AllowList(["MIT"]).permits(text) is (depth <= MAX_DEPTH)


def test_long_text_takes_no_long_time() -> None:
    started = time.process_time()
    for text in (" OR ".join(["MIT"] * 20_000), " " * 100_000, "(" * 100_000, "MIT " * 50_000):
        AllowList(["MIT"]).permits(text)
    assert time.process_time() - started < 2
