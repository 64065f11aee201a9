"""``weighmaster explain``: the whole trace of a decision, for one object after another."""

from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from weighmaster.api.v1alpha1.record import (
    AttestationResult,
    Basis,
    EvidenceState,
    ModelRecordStatus,
)
from weighmaster.cli.changes import change
from weighmaster.cli.deciding import Checked, check_files, decision_options
from weighmaster.cli.table import COLOURS
from weighmaster.core.evaluate.records import record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import ModelUse, Outcome, Setting

_OUTCOMES = {
    Outcome.PASS: "[green]pass[/green]",
    Outcome.FAIL: "[red]fail[/red]",
    Outcome.ERROR: "[yellow]error[/yellow]",
    Outcome.SKIP: "[cyan]skip[/cyan]",
    Outcome.WARN: "[yellow]warn[/yellow]",
}


@click.command()
@decision_options
def explain(
    files: tuple[str, ...], policies: tuple[Path, ...], namespace: str, more_files: tuple[str, ...]
) -> None:
    """Show how a decision comes about, rule by rule.

    For every object: which models it uses and which field says so, what is known about each, and
    every rule of every policy that matches, with its outcome and why. Evidence comes from
    ModelRecords among the files, such as `kubectl get modelrecords -o yaml` writes them. What
    admission would change in the object (revisions that are pinned, the container that verifies,
    the confinement of a sandbox) follows as a diff.
    """
    console = Console()
    result = check_files([*files, *more_files], policies, namespace)
    shown = 0
    for checked in result.checked:
        if checked.answer.decision is not None:
            shown += 1
            console.print(_tree(checked, result.snapshot))
            console.print(_rules(checked))
            if (made := _change(checked)) is not None:
                console.print(made, soft_wrap=True)
    if not shown:
        console.print("No object in these files serves or fetches a model.")
    result.raise_for_broken()


def _tree(checked: Checked, snapshot: Snapshot) -> Tree:
    decision = checked.answer.decision
    where = f"{checked.kind} {checked.namespace}/{checked.name}"
    colour = COLOURS[checked.action]
    tree = Tree(f"[bold]{escape(where)}[/bold]: [{colour}]{checked.action.label}[/{colour}]")
    for use in decision.uses if decision else ():
        branch = tree.add(f"{escape(use.reference.canonical)} ({use.role})")
        branch.add(escape(f"named by {use.path}: {use.reason}"))
        for line in (*_process(use), *_evidence(use, checked.namespace, snapshot)):
            branch.add(escape(line))
    return tree


def _process(use: ModelUse) -> list[str]:
    process = use.process
    lines = [f"loaded by {process.runtime}, {'pinned' if use.reference.pinned else 'not pinned'}"]
    if process.remote_code is not Setting.OFF:
        lines.append(f"remote code: {process.remote_code}")
    if process.runtime_adapters is not Setting.OFF:
        lines.append(f"adapters at run time: {process.runtime_adapters}")
    if process.unseen_settings:
        lines.append(f"settings not seen: {', '.join(process.unseen_settings)}")
    if process.origin_overrides:
        lines.append(f"origin overridden by {', '.join(process.origin_overrides)}")
    return lines


def _evidence(use: ModelUse, namespace: str, snapshot: Snapshot) -> list[str]:
    record = snapshot.records.get(record_key(use.reference, namespace))
    if record is None:
        return ["evidence: no ModelRecord"]
    status = record.status
    if record.problem:
        return [f"evidence: {record.problem} (ModelRecord {record.name})"]
    signed = [r for r in record.authorities.values() if r.verified]
    return [
        f"evidence: ModelRecord {record.name}, {_source(status)}",
        f"licence: {status.license or 'none stated'}{_asserted(status.license_basis)}",
        "formats: " + (", ".join(f"{f.format} ({f.basis})" for f in status.formats) or "unknown"),
        "signed by: "
        + (", ".join(str(r.identity) for r in signed) or "nobody that was looked for"),
        "made from: "
        + (", ".join(status.base_models) or "nothing that it says")
        + _asserted(status.lineage_basis),
        *(_attested(result) for result in record.attestations.values()),
    ]


def _attested(result: AttestationResult) -> str:
    """Who attested something and when, or why nobody did."""
    by = [
        each.identity
        + (f", {each.issued_at:%Y-%m-%d %H:%M}Z" if each.issued_at else "")
        + (f", withdrawn {each.withdrawn_at:%Y-%m-%d}" if each.withdrawn_at else "")
        for each in result.statements
    ]
    said = "; ".join(filter(None, (", ".join(by), result.message)))
    return f"{result.predicate_type}: {result.state}" + (f" ({said})" if said else "")


def _source(status: ModelRecordStatus) -> str:
    if status.state is EvidenceState.ASSERTED:
        return "which holds what people assert; nothing can be fetched"
    return f"resolved to {status.resolved}"


def _asserted(basis: Basis | None) -> str:
    return " (asserted)" if basis is Basis.ASSERTED else ""


def _change(checked: Checked) -> Text | None:
    """The change that the mutating webhook makes; None if there is none."""
    lines = change(checked.document, checked.form)
    if not lines:
        return None
    refused = "" if checked.answer.response.allowed else ", and refuses it all the same"
    made = Text(f"Admission changes the object{refused}:\n", style="bold")
    for line in lines:
        made.append(f"{line}\n", style=_COLOURS.get(line[0], "not bold"))
    return made


_COLOURS = {"+": "not bold green", "-": "not bold red", "@": "not bold cyan"}


def _rules(checked: Checked) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, ratio in (("policy", 3), ("rule", 2), ("model", 4), ("outcome", 1), ("why", 6)):
        table.add_column(column, overflow="fold", ratio=ratio)
    decision = checked.answer.decision
    for finding in decision.findings if decision else ():
        table.add_row(
            escape(str(finding.policy)),
            escape(finding.rule),
            escape(finding.use.reference.canonical),
            _OUTCOMES[finding.outcome],
            escape(f"{finding.message} [{finding.reason}]".strip()),
        )
    if not table.rows:
        table.add_row("(no policy matches)", "", "", "", "")
    return table
