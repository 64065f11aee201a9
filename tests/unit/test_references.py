"""References: one canonical form for every spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighmaster.core import references
from weighmaster.core.values import ModelReference

COMMIT = "0123456789abcdef" * 2 + "01234567"
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "location", "revision", "file"),
    [
        ("hf://a/b", "hf://a/b", "hf://a/b", None, None),
        ("huggingface://a/b/", "hf://a/b", "hf://a/b", None, None),
        (f"hf://a/b@{COMMIT}", f"hf://a/b@{COMMIT}", "hf://a/b", COMMIT, None),
        ("hf://a/b:main", "hf://a/b@main", "hf://a/b", "main", None),
        ("hf://a/b/x/y.gguf", "hf://a/b#x/y.gguf", "hf://a/b", None, "x/y.gguf"),
        ("hf://a/b@v1#x.gguf", "hf://a/b@v1#x.gguf", "hf://a/b", "v1", "x.gguf"),
        ("modelscope://a/b", "modelscope://a/b", "modelscope://a/b", None, None),
        ("gcs://b/k", "gs://b/k", "gs://b/k", None, None),
        ("s3://B/k", "s3://B/k", "s3://B/k", None, None),
        ("HTTPS://Example.ORG/Path", "https://example.org/Path", "https://example.org/Path", None,
        None),
        ("oci+native://r/x:1", "oci://r/x:1", "oci://r/x", "1", None),
        (f"oci://r:443/x@{DIGEST}", f"oci://r:443/x@{DIGEST}", "oci://r:443/x", DIGEST, None),
        ("oci://r:443/x", "oci://r:443/x", "oci://r:443/x", None, None),
        ("pvc://c", "pvc://c", "pvc://c", None, None),
        ("pvc://c//x/../y", "pvc://c/y", "pvc://c/y", None, None),
        ("host:///x/y/", "hostpath:///x/y", "hostpath:///x/y", None, None),
        ("ollama://x:7b", "ollama://x:7b", "ollama://x", "7b", None),
        ("ollama://hf.co/a/b", "ollama://hf.co/a/b", "ollama://hf.co/a/b", None, None),
    ],
)  # fmt: skip
def test_a_spelling_has_one_canonical_form(
    text: str, canonical: str, location: str, revision: str | None, file: str | None
) -> None:
    reference = references.parse(text)
    assert reference.canonical == canonical
    assert reference.location == location
    assert reference.revision == revision
    assert reference.file == file
    assert reference.known


@pytest.mark.parametrize(
    "text",
    [
        "hf://a/../b",
        "hf://a/b\u200b",
        "hf://a\\b/c",
        "s3://b/%2e%2e/k",
        "https://h/a/../b",
        "oci://r/../x",
        "hf://a/b c",
        "no scheme",
        "s3://" + "x" * 3000,
    ],
)
def test_what_could_be_read_in_two_ways_is_unresolved(text: str) -> None:
    reference = references.parse(text)
    assert reference.scheme == "unresolved"
    assert not reference.known


@pytest.mark.parametrize(
    ("reference", "pinned"),
    [
        (references.hugging_face("a/b", COMMIT), True),
        (references.hugging_face("a/b", COMMIT[:12]), False),
        (references.hugging_face("a/b", COMMIT.upper()), False),
        (references.hugging_face("a/b", "main"), False),
        (references.image(f"r/x@{DIGEST}"), True),
        (references.image("r/x:1"), False),
        (references.image(f"r/x@{DIGEST[:-1]}"), False),
        (references.image_embedded(f"r/x@{DIGEST}"), True),
        (references.volume_claim("c", "x"), False),
        (references.parse("s3://b/k"), False),
    ],
)
def test_only_immutable_content_is_pinned(reference: ModelReference, pinned: bool) -> None:
    assert reference.pinned is pinned


def test_a_reference_with_a_variable_is_named_but_not_known() -> None:
    for text in ("gs://$(BUCKET)/m", "s3://<BUCKET>/m", "hf://${ORG}/x"):
        reference = references.parse(text)
        assert reference.canonical == text
        assert not reference.known


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://user:secret@h/x", "https://h/x"),
        ("https://good.example@evil.example/x", "https://evil.example/x"),
        ("https://h/x?sig=abc&se=1", "https://h/x"),
        ("https://h/x?X-Amz-Signature=abc", "https://h/x"),
        ("https://h/x?raw=true", "https://h/x?raw=true"),
    ],
)
def test_secrets_do_not_stay_in_a_url(text: str, canonical: str) -> None:
    assert references.parse(text).canonical == canonical


@pytest.mark.parametrize(
    ("path", "canonical"),
    [("/x/../y", "hostpath:///y"), ("<path>/x", "hostpath://<path>/x"), ("/", "hostpath:///")],
)
def test_host_paths_are_normal(path: str, canonical: str) -> None:
    assert references.host_path(path).canonical == canonical


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    for read in (references.parse, references.hugging_face, references.image, references.host_path):
        assert isinstance(read(text), ModelReference)
    assert isinstance(references.unresolved(text).canonical, str)


@given(st.text(max_size=80))
def test_a_canonical_form_is_stable(text: str) -> None:
    once = references.parse(text)
    if once.known and once.scheme in ("hf", "s3", "gs", "https", "oci", "pvc"):
        assert references.parse(once.canonical).canonical == once.canonical


@given(st.text(max_size=300))
def test_what_is_shown_holds_no_control_characters(text: str) -> None:
    shown = references.unresolved(text).canonical
    assert shown.isprintable() or not any(ord(character) < 32 for character in shown)


@pytest.mark.parametrize(
    "text", [f"hf://a/b:main@{COMMIT}", f"hf://a/b@main@{COMMIT}", f"hf://a/b@main:{COMMIT}"]
)
def test_two_versions_are_none(text: str) -> None:
    reference = references.parse(text)
    assert reference.canonical.startswith("unresolved:two versions in ")
    assert not reference.pinned


@pytest.mark.parametrize(
    "reference",
    [
        references.parse("hf://m\u0435ta-llama/x"),
        references.hugging_face("m\u0435ta-llama/x"),
        references.image("registry.example/m\u0435ta/x:1"),
        references.unresolved("m\u0435ta-llama/x"),
    ],
)
def test_a_letter_that_looks_like_another_is_spelt_out(reference: ModelReference) -> None:
    assert reference.scheme == "unresolved"
    assert "m<U+0435>ta" in reference.canonical


def test_an_over_long_name_is_not_kept() -> None:
    for reference in (
        references.parse("s3://" + "x" * 100_000),
        references.image("r/" + "x" * 100_000),
        references.hugging_face("a/" + "x" * 100_000),
    ):
        assert reference.scheme == "unresolved"
        assert len(reference.canonical) < 600


def test_pull_request_of_a_hub_is_a_revision_not_a_file() -> None:
    found = references.parse("hf://acme/model@refs/pr/7")
    assert (found.canonical, found.revision, found.file) == (
        "hf://acme/model@refs/pr/7",
        "refs/pr/7",
        None,
    )
    assert references.parse("hf://acme/model@refs/convert/parquet/a.bin").file == "a.bin"


@pytest.mark.parametrize(
    ("text", "location", "revision", "file", "pinned"),
    [
        ("r.io/a/b", "r.io/a/b", None, None, False),
        ("r.io/a/b:1", "r.io/a/b", "1", None, False),
        ("r.io:443/a/b", "r.io:443/a/b", None, None, False),
        (f"r.io/a/b:1@{DIGEST}", "r.io/a/b", DIGEST, None, True),
        ("r.io/a/b:1#/m/x.gguf", "r.io/a/b", "1", "/m/x.gguf", False),
        (f"r.io/a/b@{DIGEST}#/m/x", "r.io/a/b", DIGEST, "/m/x", True),
        (f"r.io/a/b@{DIGEST}x#/m", "r.io/a/b", f"{DIGEST}x", "/m", False),
        (f"r.io/a/b#@{DIGEST}", "r.io/a/b", None, f"@{DIGEST}", False),
    ],
)
def test_image_with_weights_in_it_is_pinned_by_the_images_digest(
    text: str, location: str, revision: str | None, file: str | None, pinned: bool
) -> None:
    reference = references.image_embedded(text)
    assert reference.canonical == f"image-embedded:{text}"
    assert reference.location == f"image-embedded:{location}"
    assert (reference.revision, reference.file) == (revision, file)
    assert reference.pinned is pinned
    assert not reference.known
    assert references.names_image(reference)


@pytest.mark.parametrize(
    "text",
    ["$(IMAGE)", f"$(X)@{DIGEST}", "a/../b", "a b", "", "Ð°cme/b", "-x", f"{'x' * 2000}@{DIGEST}"],
)
def test_what_is_no_images_name_is_never_pinned(text: str) -> None:
    reference = references.image_embedded(text)
    assert reference.scheme == "image-embedded"
    assert not reference.pinned
    assert not references.names_image(reference)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://evil.example#@huggingface.co/a/b", "https://evil.example#@huggingface.co/a/b"),
        ("https://huggingface.co@evil.example/a/b", "https://evil.example/a/b"),
        ("https://Hub.example:443/a", "https://hub.example/a"),
        ("https://hub.example:/a", "https://hub.example/a"),
        ("http://hub.example:80/a", "http://hub.example/a"),
        ("http://hub.example:443/a", "http://hub.example:443/a"),
    ],
)
def test_every_spelling_of_a_url_has_the_host_that_it_is_sent_to(url: str, canonical: str) -> None:
    assert references.parse(url).canonical == canonical


@pytest.mark.parametrize("host", ["huggingface\u3002co", "\uff48uggingface.co", "hugging%66ace.co"])
def test_a_host_that_programs_read_differently_is_unresolved(host: str) -> None:
    assert references.parse(f"https://{host}/a/b").scheme == "unresolved"


@pytest.mark.parametrize(
    "said",
    [
        "curl -H 'Authorization: Bearer 53cr3t53cr3t' https://x.example",
        "curl https://me:53cr3t53cr3t@x.example | sh",
        "login --token 53cr3t53cr3t",
        "login --password=53cr3t53cr3t",
        "login hf_53cr3t53cr3tQQQQQQQQ",
    ],
)
def test_what_cannot_be_read_is_shown_without_its_secrets(said: str) -> None:
    shown = references.unresolved(said).canonical
    assert "53cr3t" not in shown
    assert shown.startswith(f"unresolved:{said.split(maxsplit=1)[0]}")
