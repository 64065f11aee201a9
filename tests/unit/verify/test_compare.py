"""Signed files against those that are there: names, digests, coverage, what may go unsigned."""

import pytest

from tests.signing.bundles import DEFAULT_IGNORES, MODEL
from tests.signing.models import files_of
from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.core.verify.classes import FileClass, classify, may_be_unsigned
from weighmaster.core.verify.compare import Comparison, File, Scope, compare
from weighmaster.core.verify.manifest import Manifest, manifest_digest
from weighmaster.core.verify.reasons import EXPLANATIONS
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.errors import VerificationError

DIGESTS = {name: str(file.digest) for name, file in files_of().items()}
MANIFEST = Manifest(DIGESTS, left_out=tuple(DEFAULT_IGNORES))
EVERYTHING = Scope()
WEIGHTS = Scope(coverage=Coverage.WEIGHTS)


def reason(
    files: dict[str, File],
    scope: Scope = EVERYTHING,
    manifest: Manifest = MANIFEST,
) -> R:
    with pytest.raises(VerificationError) as caught:
        compare(manifest, files, scope)
    return R(caught.value.reason)


def with_extra(*names: str) -> dict[str, File]:
    return {**files_of(), **files_of(dict.fromkeys(names, b"extra"))}


def test_the_same_files_are_the_same() -> None:
    size = sum(map(len, MODEL.values()))
    assert compare(MANIFEST, files_of(), Scope()) == Comparison(4, 0, size)


@pytest.mark.parametrize("name", MODEL)
@pytest.mark.parametrize("scope", [Scope(), WEIGHTS])
def test_each_signed_file_must_be_there_and_be_the_same_whatever_the_coverage(
    name: str, scope: Scope
) -> None:
    files = files_of()
    del files[name]
    assert reason(files, scope) is R.MISSING_FILES
    assert reason({**files_of(), name: File("0" * 64, 1)}, scope) is R.MISMATCH


@pytest.mark.parametrize(
    "name",
    [
        "extra.safetensors",
        "sub/extra.bin",
        "__init__.py",
        "modeling.PY",
        "generation_config.json",
        "chat_template.jinja",
        "requirements.txt",
        "noextension",
        ".hidden",
        "unknown.xyz",
        "sub/model.sig",
    ],
)
@pytest.mark.parametrize("scope", [Scope(), WEIGHTS])
def test_weights_code_configuration_and_the_unknown_must_be_signed(name: str, scope: Scope) -> None:
    assert reason(with_extra(name), scope) is R.INCOMPLETE_COVERAGE


@pytest.mark.parametrize("name", ["NOTES.md", "LICENSE", "images/plot.png"])
def test_documentation_may_go_unsigned_where_only_weights_must_be(name: str) -> None:
    assert reason(with_extra(name)) is R.EXTRA_FILES
    assert compare(MANIFEST, with_extra(name), WEIGHTS).unsigned == 1


@pytest.mark.parametrize(
    "name",
    [
        "model.sig",
        "other.sigstore.json",
        ".git/HEAD",
        ".git/config",
        ".gitattributes",
        ".gitignore",
        ".github/workflows/ci.yml",
        ".cache/huggingface/download/x.metadata",
    ],
)
def test_bookkeeping_of_hubs_and_signatures_may_go_unsigned(name: str) -> None:
    assert compare(MANIFEST, with_extra(name), Scope()).unsigned == 1


@pytest.mark.parametrize(
    "name",
    [
        ".git/evil.py",
        ".git/model.safetensors",
        ".github/run.sh",
        ".github/pytorch_model.bin",
        ".cache/huggingface/config.json",
        ".cache/weights.bin",
        "sub/.git/HEAD",
        ".gitignore/x.txt",
        ".github.py",
    ],
)
def test_weights_and_code_cannot_hide_in_what_may_go_unsigned(name: str) -> None:
    assert reason(with_extra(name)) is R.INCOMPLETE_COVERAGE


@pytest.mark.parametrize("left_out", [".", "hidden", "hidden/evil.py", "", "/", "..", "*"])
def test_what_the_signer_chose_to_leave_out_is_not_excused(left_out: str) -> None:
    manifest = Manifest(DIGESTS, left_out=(left_out, *DEFAULT_IGNORES))
    assert reason(with_extra("hidden/evil.py"), Scope(), manifest) is R.INCOMPLETE_COVERAGE
    assert reason(with_extra("hidden/a.md"), Scope(), manifest) is R.EXTRA_FILES


def test_a_file_added_under_a_folder_that_the_signer_left_out_is_named_as_such() -> None:
    manifest = Manifest(DIGESTS, left_out=("hidden",))
    with pytest.raises(VerificationError, match="signer chose"):
        compare(manifest, with_extra("hidden/evil.py"), Scope())


def test_a_signed_file_is_compared_though_its_kind_may_go_unsigned() -> None:
    files = with_extra(".gitattributes", "model.sig")
    manifest = Manifest({**DIGESTS, ".gitattributes": "0" * 64})
    assert reason(files, Scope(), manifest) is R.MISMATCH
    del files[".gitattributes"]
    assert reason(files, Scope(), manifest) is R.MISSING_FILES


def test_the_caller_may_leave_out_files_and_folders_by_exact_path() -> None:
    scope = Scope(ignore=frozenset({"cache", "a/b.bin"}))
    assert compare(MANIFEST, with_extra("cache/x/y.bin", "a/b.bin"), scope).signed
    for name in ("cache2/x.bin", "sub/cache/x.bin", "a/b.bin2", "a/c.bin"):
        assert reason(with_extra(name), scope) is R.INCOMPLETE_COVERAGE


def test_the_caller_cannot_leave_out_what_was_signed() -> None:
    files = {**files_of(), "config.json": File("0" * 64)}
    assert reason(files, Scope(ignore=frozenset({"config.json"}))) is R.MISMATCH


def test_names_are_compared_byte_by_byte() -> None:
    for other in ("Config.json", "config.json ", "\uff43onfig.json"):
        files = files_of()
        files[other] = files.pop("config.json")
        assert reason(files) is R.MISSING_FILES


def test_a_digest_that_is_not_known_is_not_taken_for_equal() -> None:
    for unknown in (File(None, 3), File(DIGESTS["config.json"], 3, "blake3")):
        assert reason({**files_of(), "config.json": unknown}) is R.UNKNOWN_DIGEST


def test_links_are_refused_unless_the_signer_or_the_caller_allows_them() -> None:
    link = File(DIGESTS["config.json"], 3, symlink=True)
    files = {**files_of(), "config.json": link}
    assert reason(files) is R.SYMLINK
    assert compare(MANIFEST, files, Scope(allow_symlinks=True)).signed
    assert compare(Manifest(DIGESTS, allow_symlinks=True), files, Scope()).signed


def test_nothing_is_not_everything() -> None:
    assert reason({}) is R.MISSING_FILES


def test_a_size_that_is_not_known_makes_the_sum_unknown() -> None:
    files = {**files_of(), "config.json": File(DIGESTS["config.json"])}
    assert compare(MANIFEST, files, Scope()).size is None


def test_the_manifest_digest_binds_names_and_algorithm_and_not_the_order() -> None:
    one, two = ("a", "0" * 64), ("b", "1" * 64)
    digest = manifest_digest("sha256", [one, two])
    assert digest == manifest_digest("sha256", [two, one])
    assert digest != manifest_digest("sha256", [("a", "1" * 64), ("b", "0" * 64)])
    assert digest != manifest_digest("blake3", [one, two])
    assert digest == "sha256:4c18bedbe18784bdca56aebf7540ef587937df86ab56ea9456b3b3160c425da7"


def test_messages_name_a_few_files_and_count_the_rest() -> None:
    with pytest.raises(VerificationError) as caught:
        compare(MANIFEST, with_extra(*(f"x{index:03}.bin" for index in range(500))), Scope())
    assert '"x000.bin"' in caught.value.message
    assert "497 more" in caught.value.message
    assert len(caught.value.message) < 300


def test_every_reason_is_explained() -> None:
    assert EXPLANATIONS.keys() == set(R)
    assert all(text.endswith(".") for text in EXPLANATIONS.values())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model-00001-of-00002.safetensors", FileClass.WEIGHTS),
        ("pytorch_model.bin", FileClass.WEIGHTS),
        ("a/b.GGUF", FileClass.WEIGHTS),
        ("x.pth", FileClass.WEIGHTS),
        ("configuration_x.py", FileClass.CODE),
        ("model.safetensors.index.json", FileClass.CONFIGURATION),
        ("merges.txt", FileClass.CONFIGURATION),
        ("license.txt", FileClass.DOCUMENTATION),
        ("README.md", FileClass.DOCUMENTATION),
        ("model.sig", FileClass.SIGNATURE),
        ("a/model.sig", FileClass.UNKNOWN),
        ("Makefile", FileClass.CODE),
        (".bashrc", FileClass.UNKNOWN),
    ],
)
def test_files_are_classified_by_name(name: str, kind: FileClass) -> None:
    assert classify(name) is kind


def test_no_weights_code_or_unlisted_configuration_may_go_unsigned_at_the_top() -> None:
    for name in ("x.safetensors", "x.py", "x.json", "x", "git", ".gitx", ".github2/x.md"):
        assert not may_be_unsigned(name)
