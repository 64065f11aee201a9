"""Manifest files: many documents, broken ones among them."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from weighmaster.cli.detect import detect
from weighmaster.manifests import context_of, read_files, read_text

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - name: c
    command: [vllm, serve, a/b]
"""
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: s}
data: {m: a/b}
"""


def test_documents_are_counted_from_zero_and_know_their_lines() -> None:
    documents = list(read_text(f"# note\n---\n{CONFIG_MAP}---\n{POD}", "f"))
    assert [(document.index, document.line) for document in documents] == [(0, 2), (1, 7)]
    assert [document.value["kind"] for document in documents] == ["ConfigMap", "Pod"]


def test_a_broken_document_takes_no_other_along() -> None:
    documents = list(read_text(f"{POD}---\na: [1\n---\n{POD}", "f"))
    assert [document.error is None for document in documents] == [True, False, True]
    error = documents[1].error
    assert error is not None
    assert (error.file, error.document) == ("f", 1)
    assert error.line >= 9
    assert "not valid YAML" in error.message


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems_are_read(newline: str) -> None:
    text = f"{POD}---\n{POD}".replace("\n", newline)
    assert [document.value["kind"] for document in read_text(text, "f")] == ["Pod", "Pod"]


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        path = tmp_path / "x.yaml"
        path.write_text(POD, encoding=encoding)
        assert [document.value["kind"] for document in read_files([str(path)])] == ["Pod"]


def test_a_tab_at_the_end_of_a_line_is_forgiven_with_a_warning() -> None:
    (document,) = read_text(POD.replace("name: c", "name: c\t"), "f")
    assert document.value["kind"] == "Pod"
    assert document.error is None


def test_a_tab_as_indentation_is_an_error() -> None:
    (document,) = read_text("a:\n\tb: 1\n", "f")
    assert document.error is not None


def test_duplicate_keys_are_reported_and_lose_nothing() -> None:
    text = POD + "  containers:\n  - name: d\n    command: [vllm, serve, c/d]\n"
    (document,) = read_text(text, "f")
    assert document.warnings == ["f:8: key 'containers' occurs twice"]
    assert [each["name"] for each in document.value["spec"]["containers"]] == ["d", "c"]


def test_an_unquoted_placeholder_stays_readable() -> None:
    (document,) = read_text("a: {MODEL}\n", "f")
    assert document.value == {"a": {"MODEL": None}}


def test_anchors_and_merge_keys_are_read() -> None:
    (document,) = read_text("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n", "f")
    assert document.value == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_a_billion_laughs_are_an_error() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    start = time.process_time()
    (document,) = read_text("\n".join(lines), "f")
    assert time.process_time() - start < 2
    assert document.error is not None
    assert "aliases" in document.error.message


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "? " * 50_000])
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    documents = list(read_text(text, "f"))
    assert documents[0].error is not None or documents[0].value is not None


def test_json_is_read() -> None:
    (document,) = read_text(json.dumps({"kind": "Pod"}), "f")
    assert document.value == {"kind": "Pod"}


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True), ("yes", "yes"), ("on", "on"), ("~", None), ("1", 1), ("1.5", 1.5),
        ("0x10", 16), ("'1'", "1"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), (".inf",
        ".inf"),
        ("!!str 1", "1"), ("010", 10),
    ],
)  # fmt: skip
def test_scalars_are_json_values(scalar: str, value: object) -> None:
    (document,) = read_text(f"a: {scalar}\n", "f")
    assert document.value == {"a": value}


def test_a_document_that_is_too_long_is_an_error() -> None:
    (document,) = read_text("a: " + "x" * 4_000_000, "f")
    assert document.error is not None
    assert "MiB" in document.error.message


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    (document,) = read_files([str(tmp_path / "none.yaml")])
    assert document.error is not None


def test_directories_are_searched(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.yml").write_text(POD)
    (tmp_path / "a" / "notes.txt").write_text("no")
    assert len(list(read_files([str(tmp_path)]))) == 1


def test_config_maps_of_the_same_apply_are_known() -> None:
    context = context_of(read_text(f"{CONFIG_MAP}---\n{POD}", "f"))
    assert context.config_map("", "s") == {"m": "a/b"}
    assert context.config_map("elsewhere", "s") == {"m": "a/b"}
    assert context.config_map("", "t") is None


@given(st.text(max_size=300))
@settings(deadline=None)
def test_no_text_raises(text: str) -> None:
    assert all(document.error or document.index >= 0 for document in read_text(text, "f"))


def test_the_command_prints_a_line_a_document(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"{CONFIG_MAP}---\n{POD}")
    result = CliRunner().invoke(detect, ["--output", "jsonl", str(path)])
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [row["serving"] for row in rows] == [False, True]
    assert rows[1]["document"] == 1
    assert rows[1]["remoteCode"] is False
    (model,) = rows[1]["models"]
    assert (model["reference"], model["role"]) == ("hf://a/b", "base")
    assert model["path"] == "spec.containers[0].command[2]"
    assert (model["runtime"], model["container"]) == ("vllm", "c")


def test_the_command_ends_with_2_when_a_document_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"a: [\n---\n{POD}")
    result = CliRunner().invoke(detect, ["--output", "jsonl", str(path)])
    assert result.exit_code == 2
    assert "hf://a/b" in result.stdout
    assert "not valid YAML" in result.stderr


def test_the_command_reads_standard_input_and_prints_a_table() -> None:
    result = CliRunner().invoke(detect, ["-"], input=POD)
    assert result.exit_code == 0
    assert "hf://a/b" in result.stdout
    assert "1 of 1 documents load models" in result.stdout


def test_a_name_with_brackets_is_printed_as_it_is() -> None:
    result = CliRunner().invoke(detect, ["-"], input=POD.replace("name: p", "name: '[red]p'"))
    assert "[red]p" in result.stdout


def test_a_volume_that_keeps_a_download_is_listed_apart() -> None:
    text = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  volumes: [{name: m, persistentVolumeClaim: {claimName: c}}]
  initContainers:
  - name: i
    command: [hf, download, a/b, --local-dir, /m]
    volumeMounts: [{name: m, mountPath: /m}]
  containers:
  - name: c
    command: [vllm, serve, /m]
    volumeMounts: [{name: m, mountPath: /m}]
"""
    row = json.loads(CliRunner().invoke(detect, ["-o", "jsonl", "-"], input=text).stdout)
    assert {model["reference"] for model in row["models"]} == {"hf://a/b"}
    assert {model["reference"] for model in row["stores"]} == {"pvc://c"}


def test_a_placeholder_that_is_not_quoted_is_read_with_a_warning() -> None:
    text = "kind: Pod\nspec:\n  containers:\n  - image: {user}/server:latest\n    name: a\n"
    (document,) = read_text(text, "a.yaml")
    assert document.error is None
    assert document.value["spec"]["containers"][0]["image"] == "{user}/server:latest"
    assert any("placeholder" in warning for warning in document.warnings)
