"""``weighmaster check``: the decisions that admission would make, offline."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from weighmaster.cli.deciding import Checked, check_files, decision_options
from weighmaster.cli.table import Row, decisions_table
from weighmaster.core.values import Action

VIOLATIONS = 1
"""Exit code when something would be refused."""

_ACTIONS = {action.label.lower(): action for action in Action if action is not Action.ALLOW}


@click.command()
@decision_options
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.option(
    "--fail-on",
    type=click.Choice(list(_ACTIONS)),
    default="deny",
    show_default=True,
    help="Exit with 1 from this decision upwards; deny is what admission refuses.",
)
def check(
    files: tuple[str, ...],
    policies: tuple[Path, ...],
    namespace: str,
    output: str,
    fail_on: str,
    more_files: tuple[str, ...],
) -> None:
    """Decide on manifests by policies, offline.

    The decisions are those of admission for newly created objects. As there, a value that comes
    from a ConfigMap counts as unknown, since it can change later; and a namespace whose labels are
    not given (as a Namespace object among the files) matches every namespaceSelector. Objects are
    judged as the mutating webhook would leave them: pinned, verified, confined. JSON output has
    its JSON Patch (RFC 6902) as `patch`; `weighmaster explain` shows it as a diff.

    Exit codes: 0 clean, 1 violations, 2 bad input.
    """
    result = check_files([*files, *more_files], policies, namespace)
    if output == "json":
        click.echo(
            msgspec.json.format(msgspec.json.encode([_row(each) for each in result.checked]))
        )
    else:
        _print_table(result.checked)
    result.raise_for_broken()
    if any(each.action >= _ACTIONS[fail_on] for each in result.checked):
        raise SystemExit(VIOLATIONS)


def _row(checked: Checked) -> dict[str, Any]:
    decision, response = checked.answer.decision, checked.answer.response
    return {
        "file": checked.file,
        "kind": checked.kind,
        "namespace": checked.namespace,
        "name": checked.name,
        "decision": checked.action.label,
        "allowed": response.allowed,
        "decisionId": decision.id if decision else None,
        "message": response.message,
        "warnings": response.warnings,
        "patch": checked.patch,
        "models": [
            {"reference": use.reference.canonical, "role": use.role, "path": use.path}
            for use in (decision.uses if decision else ())
        ],
        "findings": [
            {
                "policy": str(finding.policy),
                "rule": finding.rule,
                "reference": finding.use.reference.canonical,
                "outcome": finding.outcome,
                "reason": finding.reason,
                "message": finding.message,
            }
            for finding in (decision.findings if decision else ())
        ],
    }


def _print_table(checked: Iterable[Checked]) -> None:
    console = Console()
    serving = [each for each in checked if each.answer.decision or not each.answer.response.allowed]
    if not serving:
        console.print("No object in these files serves or fetches a model.")
        return
    console.print(
        decisions_table(
            Row(f"{each.kind}/{each.name}", each.answer, each.action) for each in serving
        )
    )
    refused = sum(not each.answer.response.allowed for each in serving)
    console.print(f"{len(serving)} objects with models, {refused} refused.")
