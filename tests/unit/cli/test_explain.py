"""``weighmaster explain``: the whole trace, and evidence from records among the files."""

from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from weighmaster.cli.main import cli

COMMIT = "a" * 40
REFERENCE = f"hf://acme/m@{COMMIT}"

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "chat"},
    "spec": {
        "containers": [
            {
                "name": "vllm",
                "image": "vllm/vllm-openai:v0.11.0",
                "args": ["--model=acme/m", f"--revision={COMMIT}"],
            }
        ]
    },
}
POLICY: dict[str, Any] = {
    "apiVersion": "weighmaster.dev/v1alpha1",
    "kind": "ClusterModelPolicy",
    "metadata": {"name": "all"},
    "spec": {
        "enforcement": {"action": "Deny"},
        "rules": [
            {"name": "known", "reference": {"require": ["Known"]}},
            {"name": "licensed", "license": {"allow": ["MIT"]}},
        ],
    },
}
RECORD: dict[str, Any] = {
    "apiVersion": "weighmaster.dev/v1alpha1",
    "kind": "ModelRecord",
    "metadata": {"name": "the-record"},
    "spec": {"reference": REFERENCE},
    "status": {"state": "Resolved", "resolved": REFERENCE, "license": "GPL-3.0-only"},
}


def explained(folder: Path, *policies: object, model: str = "") -> str:
    container = POD["spec"]["containers"][0]
    given = {**container, "args": [f"--model={model}"]} if model else container
    made = {**POD, "spec": {"containers": [given]}}
    (folder / "pod.yaml").write_text(yaml.safe_dump(made))
    (folder / "policies.yaml").write_text(yaml.safe_dump_all(policies))
    arguments = ["explain", "-f", str(folder / "pod.yaml"), "-p", str(folder / "policies.yaml")]
    result = CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_every_rule_is_shown_with_its_outcome_passes_included(tmp_path: Path) -> None:
    said = explained(tmp_path, POLICY)
    assert "Pod chat/p: Deny" in said
    assert REFERENCE in said
    assert "named by spec.containers[0].args[0]" in said
    assert "no ModelRecord" in said
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("all ")]
    assert [(row[1], row[3]) for row in rows] == [("licensed", "error"), ("known", "pass")]


def test_evidence_comes_from_a_list_of_records_as_kubectl_writes_it(tmp_path: Path) -> None:
    records = {"apiVersion": "v1", "kind": "List", "items": [RECORD]}
    said = explained(tmp_path, POLICY, records)
    assert "ModelRecord the-record" in said
    assert "licence: GPL-3.0-only" in said
    assert "[LicenseNotAllowed]" in said.replace("\n", "")


def test_what_was_attested_is_shown_with_who_and_when(tmp_path: Path) -> None:
    scanned = {"predicateType": "https://scan.example/v1", "authority": "1" * 16}
    statement = {
        "digest": f"sha256:{'1' * 64}",
        "method": "keyless",
        "identity": "scanner@bank.example",
        "issuedAt": "2026-11-20T03:00:00Z",
        "predicate": "{}",
    }
    attestations = [
        {**scanned, "state": "Attested", "statements": [statement]},
        {**scanned, "authority": "2" * 16, "state": "NotAttested", "message": "there is none"},
    ]
    status = {"state": "Resolved", "resolved": REFERENCE, "attestations": attestations}
    record = {**RECORD, "status": status}
    said = explained(tmp_path, POLICY, record)
    assert "https://scan.example/v1: Attested (scanner@bank.example, 2026-11-20 03:00Z)" in said
    assert "https://scan.example/v1: NotAttested (there is none)" in said


def test_statement_about_a_bucket_counts_as_it_is_written_and_is_said_to_be_one(
    tmp_path: Path,
) -> None:
    rule = {"license": {"allow": ["MIT"], "assertions": "AnyReference"}}
    spec = {**POLICY["spec"], "rules": [{"name": "licensed", **rule}]}
    told = {"reference": "s3://bank/llm", "asserted": {"license": "MIT"}}
    record = {**RECORD, "spec": told, "status": {}}
    said = explained(tmp_path, {**POLICY, "spec": spec}, record, model="s3://bank/llm")
    assert "which holds what people assert; nothing can be fetched" in said
    assert "licence: MIT (asserted)" in said
    assert ": Allow" in said


def test_statement_about_a_hubs_model_is_no_evidence_without_a_cluster(tmp_path: Path) -> None:
    told = {"reference": REFERENCE, "asserted": {"license": "MIT"}}
    said = explained(tmp_path, POLICY, {**RECORD, "spec": told, "status": {}})
    assert "evidence is being gathered" in said


REWRITING: dict[str, Any] = {
    **POLICY,
    "spec": {
        "enforcement": {"action": "Deny"},
        "rules": [{"name": "pinned", "reference": {"require": ["Pinned"], "pin": "Rewrite"}}],
    },
}
MOVING: dict[str, Any] = {
    **RECORD,
    "metadata": {"name": "moving"},
    "spec": {"reference": "hf://acme/m"},
    "status": {**RECORD["status"], "expiresAt": "2999-01-01T00:00:00Z"},
}


def test_what_admission_would_change_is_shown_as_a_diff_and_nothing_else(tmp_path: Path) -> None:
    said = explained(tmp_path, REWRITING, MOVING, RECORD, model="acme/m")
    assert "Admission changes the object:" in said
    shown = said.partition("+++ as admission makes it\n")[2].splitlines()
    changed = [line.split(maxsplit=1)[-1] for line in shown if line.startswith(("+", "-"))]
    assert changed == [
        "annotations:",
        "weighmaster.dev/pinned: spec.containers[0].args[0]=hf://acme/m",
        f"- --revision={COMMIT}",
    ]
    assert "     - --model=acme/m" in shown


def test_an_object_that_stays_as_it_is_has_no_diff(tmp_path: Path) -> None:
    said = explained(tmp_path, REWRITING, RECORD)
    assert ": Allow" in said
    assert "Admission changes" not in said


def test_that_a_change_does_not_suffice_is_said_beside_it(tmp_path: Path) -> None:
    said = explained(tmp_path, REWRITING, {**POLICY, "metadata": {"name": "more"}}, MOVING, RECORD,
                     model="acme/m")  # fmt: skip
    assert "Admission changes the object, and refuses it all the same:" in said


def test_a_script_is_shown_line_by_line_and_what_looks_like_markup_is_left(tmp_path: Path) -> None:
    script = "echo '[bold]'\nvllm serve acme/m\n"
    container = {**POD["spec"]["containers"][0], "command": ["sh", "-c"], "args": [script]}
    pod, policies = tmp_path / "pod.yaml", tmp_path / "policies.yaml"
    pod.write_text(yaml.safe_dump({**POD, "spec": {"containers": [container]}}))
    policies.write_text(yaml.safe_dump_all([REWRITING, MOVING, RECORD]))
    said = CliRunner().invoke(cli, ["explain", "-f", str(pod), "-p", str(policies)]).output
    assert "       echo '[bold]'\n-      vllm serve acme/m\n" in said
    assert f"+      vllm serve acme/m --revision={COMMIT}\n" in said
