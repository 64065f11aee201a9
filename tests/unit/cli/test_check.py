"""``weighmaster check``: exit codes, both outputs, and nothing but one line for bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.unit.core.builders import KNOWN, exception, namespace, pod, policy, publisher
from weighmaster.cli.main import cli

Check = Callable[..., Result]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes documents (or text) to a file and gives its path."""

    def to_file(*documents: Any, name: str = "file.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(documents[0], str):
            path.write_text(documents[0])
        elif isinstance(documents[0], bytes):
            path.write_bytes(documents[0])
        else:
            path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    return to_file


@pytest.fixture
def check(write: Callable[..., str]) -> Check:
    """Checks manifests by the policy that weights must be named."""
    policies = write(policy(), name="policies.yaml")

    def run(*arguments: str, by: str = policies, **options: Any) -> Result:
        return CliRunner().invoke(cli, ["check", "-p", by, *arguments], **options)

    return run


def one_line(result: Result) -> str:
    """What an error says; asserts that it is one line without a traceback."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("weighmaster: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_clean_manifests_give_0(check: Check, write: Callable[..., str]) -> None:
    result = check("-f", write(pod("acme/m")))
    assert result.exit_code == 0
    assert "hf://acme/m" in result.output
    assert "1 objects with models, 0 refused." in result.output


def test_manifests_without_models_give_0(check: Check, write: Callable[..., str]) -> None:
    result = check("-f", write({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}))
    assert result.exit_code == 0
    assert "No object in these files" in result.output


def test_violation_gives_1(check: Check, write: Callable[..., str]) -> None:
    result = check("-f", write(pod("acme/m"), pod("$MODEL", name="bad")))
    assert result.exit_code == 1
    assert "Deny" in result.output


@pytest.mark.parametrize(
    ("action", "fail_on", "code"),
    [
        ("Audit", "sandbox", 0),
        ("Audit", "audit", 1),
        ("Warn", "sandbox", 0),
        ("Warn", "warn", 1),
        ("Deny", "deny", 1),
    ],
)
def test_fail_on_sets_the_bar(
    check: Check, write: Callable[..., str], action: str, fail_on: str, code: int
) -> None:
    by = write(policy(action=action), name="other.yaml")
    assert check("-f", write(pod("$M")), "--fail-on", fail_on, by=by).exit_code == code


def test_json_has_all_that_admission_would_say(check: Check, write: Callable[..., str]) -> None:
    result = check("-o", "json", "-f", write(pod("$MODEL")))
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)
    assert (row["decision"], row["allowed"], row["kind"]) == ("Deny", False, "Pod")
    assert row["decisionId"] in row["message"]
    assert row["models"][0]["path"] == "spec.containers[0].args[1]"
    assert row["findings"][0]["reason"] == "WeightsNotNamed"
    assert row["findings"][0]["policy"] == "strict"


def test_json_has_the_patch_that_leads_to_what_admission_would_leave(
    check: Check, write: Callable[..., str]
) -> None:
    profile = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "SandboxProfile",
        "metadata": {"name": "isolated"},
        "spec": {},
    }
    confining = policy(enforcement={"action": "Sandbox", "sandboxProfile": "isolated"})
    by = write(confining, profile, name="confining.yaml")
    (row,) = json.loads(check("-o", "json", "-f", write(pod("$MODEL")), by=by).stdout)
    assert row["decision"] == "Sandbox"
    made = jsonpatch.apply_patch(pod("$MODEL"), row["patch"])
    assert made["metadata"]["labels"] == {"weighmaster.dev/sandbox": "isolated"}
    assert made["metadata"]["annotations"] == {"weighmaster.dev/decision-id": row["decisionId"]}
    assert made["spec"]["securityContext"]["runAsNonRoot"] is True
    (again,) = json.loads(check("-o", "json", "-f", write(made), by=by).stdout)
    assert again["patch"] == []
    assert again["decisionId"] == row["decisionId"]


def test_json_of_nothing_is_a_list(check: Check, write: Callable[..., str]) -> None:
    assert json.loads(check("-o", "json", "-f", write("")).stdout) == []


def test_broken_document_gives_2_and_the_others_are_still_judged(
    check: Check, write: Callable[..., str]
) -> None:
    text = f"{yaml.safe_dump(pod('$MODEL'))}\n---\na: [\n---\n{yaml.safe_dump(pod('acme/m'))}"
    result = check("-o", "json", "-f", write(text))
    assert result.exit_code == 2
    assert len(json.loads(result.stdout)) == 2
    assert "document 1: not valid YAML" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00\xd8",
        b"\x80abc",
        b"\x00",
        "a: &a [*a]",
        "{" * 2000,
        "[" * 2000 + "]" * 2000,
        "a: !!python/object/apply:os.system [id]",
        "<<: 1",
        "- " * 3000,
        '{"a": "\\ud800"}',
        '{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "\\ud800"}}',
    ],
)
def test_strange_file_is_no_crash(
    check: Check, write: Callable[..., str], content: str | bytes
) -> None:
    for output in ("table", "json"):
        result = check("-o", output, "-f", write(content))
        assert result.exit_code in (0, 2), result.output
        assert isinstance(result.exception, SystemExit | None)


def test_strange_text_in_a_workload_is_no_crash(check: Check, write: Callable[..., str]) -> None:
    strange = json.dumps(pod("acme/m", name="\ud800[red]")).replace("server", "\\udfff")
    for output in ("table", "json"):
        result = check("-o", output, "-f", write(strange))
        assert isinstance(result.exception, SystemExit | None), result.exception


def test_markup_in_names_is_shown_as_it_is(check: Check, write: Callable[..., str]) -> None:
    result = check("-f", write(pod("acme/m", name="[bold]x[/bold]")))
    assert "[bold]x[/bold]" in result.output


def test_missing_file_gives_2(check: Check, tmp_path: Path) -> None:
    result = check("-f", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_missing_policies_give_2_on_one_line(
    check: Check, write: Callable[..., str], tmp_path: Path
) -> None:
    assert "No such file" in one_line(check("-f", write(pod("a/b")), by=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("documents", "text"),
    [
        ([publisher("acme", "hf://acme/**")], "there is no policy"),
        ([policy({"watermark": {}})], 'ClusterModelPolicy "strict": '),
        ([policy(), publisher("acme", "hf://**/x")], 'ModelPublisher "acme": '),
        ([policy(), exception(references=["**"])], 'ModelException "granted": '),
        ([{**policy(), "apiVersion": "weighmaster.dev/v1"}], "only in weighmaster.dev/v1alpha1"),
        ([{**policy(), "kind": "ModelPolice"}], "there is no ModelPolice"),
        ([{**policy(), "kind": ["x"]}], "there is no ['x']"),
        ([{**policy(), "kind": None}], "there is no None"),
        ([policy(exclude={"namespaceSelector": {}})], "would exclude every namespace"),
        (["a: ["], "not valid YAML"),
        (["- a"], "not a Kubernetes object"),
        (["text"], "not a Kubernetes object"),
        ([yaml.safe_dump(policy()) + "spec: {}\n"], "occurs twice"),
    ],
)
def test_policy_that_cannot_be_used_gives_2_on_one_line(
    check: Check, write: Callable[..., str], documents: list[Any], text: str
) -> None:
    by = write(*documents, name="broken.yaml")
    assert text in one_line(check("-f", write(pod("acme/m")), by=by))


def test_policy_with_metadata_of_a_wrong_type_is_no_crash(
    check: Check, write: Callable[..., str]
) -> None:
    values: tuple[Any, ...] = ("x", [], 7, None)
    for metadata in values:
        by = write({**policy(), "metadata": metadata}, name="odd.yaml")
        result = check("-f", write(pod("$MODEL")), by=by)
        assert result.exit_code in (1, 2)
        assert isinstance(result.exception, SystemExit)


def test_namespaces_among_the_files_make_their_labels_known(
    check: Check, write: Callable[..., str]
) -> None:
    selected = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    by = write(policy(KNOWN, match=selected), name="selected.yaml")
    manifests = write(pod("$MODEL"), name="pod.yaml")
    assert check("-f", manifests, by=by).exit_code == 1
    known = write(namespace("default", env="dev"), name="namespace.yaml")
    assert check("-f", manifests, "-f", known, by=by).exit_code == 0


def test_members_of_a_list_are_checked_each(check: Check, write: Callable[..., str]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod("acme/m"), pod("$MODEL"), 7]}
    result = check("-o", "json", "-f", write(listed))
    assert [row["allowed"] for row in json.loads(result.stdout)] == [True, False]


def test_standard_input_is_read(check: Check) -> None:
    assert check("-f", "-", input=yaml.safe_dump(pod("$MODEL"))).exit_code == 1


def test_policies_are_required(write: Callable[..., str]) -> None:
    result = CliRunner().invoke(cli, ["check", "-f", write(pod("acme/m"))])
    assert result.exit_code == 2
    assert "--policies" in result.output


SANDBOXING: dict[str, Any] = {"enforcement": {"action": "Sandbox", "sandboxProfile": "isolated"}}
ISOLATED = {
    "apiVersion": "weighmaster.dev/v1alpha1",
    "kind": "SandboxProfile",
    "metadata": {"name": "isolated"},
    "spec": {},
}
PINNED = {"reference": {"require": ["Pinned"]}}


def test_what_may_run_in_a_sandbox_passes_as_the_cluster_would_confine_it(
    check: Check, write: Callable[..., str]
) -> None:
    by = write(policy(PINNED, **SANDBOXING), ISOLATED, name="sandbox.yaml")
    result = check("-f", write(pod("acme/m")), by=by)
    assert result.exit_code == 0, result.output
    assert "Sandbox" in result.output
    unfit = pod("acme/m")
    unfit["spec"]["nodeName"] = "gpu-1"
    assert "SandboxImpossible" in check("-f", write(unfit), "-o", "json", by=by).output


def test_network_policy_among_the_files_that_opens_the_sandbox_is_told(
    check: Check, write: Callable[..., str]
) -> None:
    by = write(policy(PINNED, **SANDBOXING), ISOLATED, name="sandbox.yaml")
    opening = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-all"},
        "spec": {"podSelector": {}, "egress": [{}]},
    }
    result = check("-f", write(pod("acme/m"), opening), "-o", "json", by=by)
    assert result.exit_code == 1
    assert "SandboxNetworkOpen" in result.output
