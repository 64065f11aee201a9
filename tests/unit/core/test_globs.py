"""Globs match what they say and nothing that merely begins or looks like it."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.core.builders import use
from weighmaster.core import references
from weighmaster.core.globs import Glob, NamespaceIndex, aliases, fold, spellings, wide_spellings

SEGMENT = st.text("ab.", max_size=3)
PATTERN_SEGMENT = st.one_of(
    st.just("**"), st.text("ab.*", max_size=4).filter(lambda t: "**" not in t)
)
texts = st.lists(SEGMENT, min_size=1, max_size=6).map("/".join)
patterns = st.lists(PATTERN_SEGMENT, min_size=1, max_size=6).map("/".join)


def oracle(pattern: str, text: str) -> bool:
    """The meaning of a glob, as slowly and plainly as it can be written."""
    return _segments(pattern.split("/"), text.split("/"))


def _segments(pattern: list[str], text: list[str]) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "**":
        return _segments(pattern[1:], text) or bool(text and _segments(pattern, text[1:]))
    return bool(text) and _letters(pattern[0], text[0]) and _segments(pattern[1:], text[1:])


def _letters(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return _letters(pattern[1:], text) or bool(text and _letters(pattern, text[1:]))
    return bool(text) and pattern[0] == text[0] and _letters(pattern[1:], text[1:])


@settings(max_examples=600, deadline=None)
@given(patterns, texts)
@example("x://**", "x://")
@example("**", "")
@example("a/**", "a")
@example("a/**/b", "a/b")
def test_glob_means_what_the_oracle_says(pattern: str, text: str) -> None:
    expected = oracle(pattern, text)
    found = Glob(pattern).matches((text,))
    # A final ** takes at least one letter more: a namespace is not one of its own models.
    if found != expected:
        assert pattern.endswith("/**")
        assert text in (pattern.removesuffix("/**"), pattern.removesuffix("**"))


@settings(max_examples=300, deadline=None)
@given(st.text("abC.-/@#:", min_size=1, max_size=12), st.text("abC.-/@#:", min_size=1, max_size=4))
def test_glob_without_a_wildcard_matches_only_itself(text: str, more: str) -> None:
    glob = Glob(f"s3://{text}")
    assert glob.matches((f"s3://{text}",))
    assert not glob.matches((f"s3://{text}{more}",))
    assert not glob.matches((f"x{more}s3://{text}",))


@pytest.mark.parametrize(
    ("pattern", "reference"),
    [
        ("hf://meta", "hf://meta-evil/x"),
        ("hf://meta/**", "hf://meta-evil/x"),
        ("hf://meta/*", "hf://meta-evil/x"),
        ("hf://meta**", "hf://meta-evil/x"),
        ("hf://meta/llama", "hf://meta/llama-evil"),
        ("hf://meta/llama", "hf://evil/meta/llama"),
        ("hf://*/llama", "hf://meta/x/llama"),
        ("hf://meta/llama@main", "hf://meta/llama@main2"),
        ("s3://bucket", "s3://bucket-evil/m"),
        ("s3://bucket/m", "s3://bucket/m#evil"),
        ("s3://bucket/m", "s3://bucket/m@sha256:" + "0" * 64),
        ("pvc://claim/m", "pvc://claim/m#evil"),
        ("hostpath:///models/m", "hostpath:///models/m#evil"),
        ("oci://ghcr.io/acme/m", "oci://ghcr.io.evil/acme/m"),
        ("oci://ghcr.io/acme/m", "oci://ghcr.io:444/acme/m"),
        ("hf://kelvin/**", "hf://\u212aelvin/x"),
        ("s3://bucket/**", "s3://Bucket/x"),
        ("https://a.example/m", "http://a.example/m"),
    ],
)
def test_boundaries_hold(pattern: str, reference: str) -> None:
    parsed = references.parse(reference)
    assert not Glob(pattern).matches(spellings(parsed))
    if "@sha256:" not in reference:
        assert not Glob(pattern).matches(wide_spellings(parsed))


@pytest.mark.parametrize(
    ("pattern", "reference"),
    [
        ("**", "s3://a/b"),
        ("hf://**", "hf://a/b"),
        ("hf://acme/*", "hf://acme/m"),
        ("hf://acme/*", "hf://ACME/M@main"),
        ("hf://Acme/M", "hf://acme/m@" + "0" * 40),
        ("hf://acme/m@main", "hf://acme/m@main#x.gguf"),
        ("hf://acme/m@main#x.gguf", "hf://acme/m@main#x.gguf"),
        ("hf://*/*-instruct", "hf://acme/m-7b-Instruct"),
        ("oci://ghcr.io/**", "oci://ghcr.io:443/acme/m:1"),
        ("oci://**/m", "oci://ghcr.io/a/b/c/m"),
        ("s3://bucket/**", "s3://bucket//m"),
        ("pvc://*", "pvc://claim"),
        ("unresolved:*", "unresolved:x"),
    ],
)
def test_what_is_meant_is_matched(pattern: str, reference: str) -> None:
    assert Glob(pattern).matches(spellings(references.parse(reference)))


def test_hub_by_its_address_is_the_hub() -> None:
    reference = references.parse("https://huggingface.co/Evil/m/resolve/main/x.gguf")
    assert "hf://evil/m" in aliases(reference)
    assert Glob("hf://evil/**").matches(wide_spellings(reference))
    assert not Glob("hf://evil/**").matches(spellings(reference))


def test_only_hubs_that_do_so_take_two_cases_for_one_name() -> None:
    assert fold("hf://Acme/M") == "hf://acme/m"
    assert fold("s3://Acme/M") == "s3://Acme/M"
    assert fold("hf://EVIL/Modèle") == "hf://evil/modèle"
    assert fold("hf://\u212aelvin") == "hf://\u212aelvin"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("x://" + "*a" * 250, "x://" + "a" * 2000 + "b"),
        ("x://**/" + "*a*b/" * 80 + "c", "x://" + "ab/" * 600),
        ("**/" * 170 + "x", "a/" * 1000),
        ("x://**/" + "**/" * 150 + "z", "x://" + "a/" * 1000),
    ],
)
def test_no_glob_is_slow(pattern: str, text: str) -> None:
    assert len(pattern) <= 512
    started = time.process_time()
    Glob(pattern).matches((text,) * 4)
    assert time.process_time() - started < 0.5


def test_backtracking_is_counted_for_the_budget() -> None:
    assert Glob("hf://**").backtracking == 0
    assert Glob("hf://a/*").backtracking == 0
    assert Glob("hf://**/x").backtracking == 1
    assert Glob("x://**/" + "*/" * 250 + "Z").backtracking == 251


INDEX = NamespaceIndex(
    [
        ("hf://acme/**", "below"),
        ("hf://acme/*", "level"),
        ("hf://acme/m", "exact"),
        ("oci://ghcr.io/acme/**", "registry"),
        ("s3://bucket/**", "bucket"),
        ("nim:**", "never"),
    ]
)


@pytest.mark.parametrize(
    ("location", "owners"),
    [
        ("hf://acme/m", {"below", "level", "exact"}),
        ("hf://acme/other", {"below", "level"}),
        ("hf://acme/a/b", {"below"}),
        ("hf://acme", set()),
        ("hf://acme-evil/m", set()),
        ("hf://evil/acme/m", set()),
        ("oci://ghcr.io/acme/a/b/c", {"registry"}),
        ("oci://ghcr.io/acme//x", {"registry"}),
        ("oci://ghcr.io/acme-evil/x", set()),
        ("s3://bucket//m", {"bucket"}),
        ("s3://bucket/a//b///c", {"bucket"}),
        ("s3://bucket-evil//m", set()),
        ("", set()),
        ("/", set()),
        ("//", set()),
    ],
)
def test_namespace_has_an_owner(location: str, owners: set[str]) -> None:
    assert set(INDEX.owners(location)) == owners


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab", max_size=2), min_size=1, max_size=5), st.integers(1, 4))
def test_index_agrees_with_the_glob(parts: list[str], depth: int) -> None:
    location = "s3://" + "/".join(parts)
    prefix = "s3://" + "/".join(parts[:depth])
    if prefix.endswith("/"):
        return
    owned = bool(NamespaceIndex([(f"{prefix}/**", 1)]).owners(location))
    assert owned == (location.startswith(prefix + "/"))


def test_owner_with_several_namespaces_is_found_once() -> None:
    index = NamespaceIndex([("hf://a/**", "x"), ("hf://a/*", "x"), ("hf://a/b", "x")])
    assert index.owners("hf://a/b") == ("x",)


def test_use_of_a_file_has_all_its_spellings() -> None:
    found = spellings(use("hf://Acme/M@Main#X.gguf").reference)
    assert found == ("hf://acme/m", "hf://acme/m@Main", "hf://acme/m@Main#X.gguf")


@pytest.mark.parametrize(
    ("location", "folded"),
    [
        ("oci://evil/m", "oci://docker.io/evil/m"),
        ("oci://evil", "oci://docker.io/library/evil"),
        ("oci://docker.io/evil", "oci://docker.io/library/evil"),
        ("oci://index.docker.io/evil/m", "oci://docker.io/evil/m"),
        ("oci://docker.io/evil/m/x", "oci://docker.io/evil/m/x"),
        ("oci://localhost/m", "oci://localhost/m"),
        ("oci://registry:5000/m", "oci://registry:5000/m"),
        ("oci://registry.example/m", "oci://registry.example/m"),
        ("nim:evil/m", "nim:docker.io/evil/m"),
        ("ollama://registry.ollama.ai/library/m", "ollama://m"),
        ("ollama://library/m", "ollama://m"),
        ("ollama://acme/m", "ollama://acme/m"),
        ("ollama://registry.example/library/m", "ollama://registry.example/library/m"),
    ],
)
def test_what_a_registry_takes_for_granted_need_not_be_written(location: str, folded: str) -> None:
    assert fold(location) == folded
    assert fold(folded) == folded


@pytest.mark.parametrize("pattern", ["oci://**", "oci://*/evil/**", "nim:**", "oci://*.io/evil/**"])
def test_glob_over_registries_stays_one(pattern: str) -> None:
    assert fold(pattern) == pattern


@pytest.mark.parametrize("pattern", ["oci://evil/**", "oci://docker.io/evil/**"])
@pytest.mark.parametrize("image", ["evil/m", "docker.io/evil/m", "registry-1.docker.io/evil/m:1"])
def test_glob_over_docker_hub_means_all_its_spellings(pattern: str, image: str) -> None:
    forms = wide_spellings(references.image(image))
    assert Glob(pattern).matches(forms)
    assert NamespaceIndex([(pattern, "evil")]).owners(aliases(references.image(image))[0])
    assert not Glob(pattern).matches(wide_spellings(references.image("evil.example/m")))


@pytest.mark.parametrize("pattern", ["oci://evil/**", "oci://docker.io/evil/**"])
def test_exclusion_over_docker_hub_means_all_its_spellings_too(pattern: str) -> None:
    assert Glob(pattern).matches(spellings(references.image("evil/m:1")))
