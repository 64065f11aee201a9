"""The table of decisions that people see: workload, models, decision, why."""

from collections.abc import Iterable

from msgspec import Struct
from rich import box
from rich.markup import escape
from rich.table import Table

from weighmaster.core.values import Action
from weighmaster.pipeline import Review

COLOURS = {
    Action.ALLOW: "green",
    Action.AUDIT: "cyan",
    Action.WARN: "yellow",
    Action.SANDBOX: "magenta",
    Action.DENY: "red",
}


class Row(Struct, frozen=True):
    """One workload and the answer to it."""

    workload: str
    answer: Review
    action: Action


def decisions_table(rows: Iterable[Row]) -> Table:
    """The decisions on some workloads, one line each and one for every finding against it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("workload", "models", "decision", "why"):
        table.add_column(column, overflow="fold")
    for row in rows:
        colour = COLOURS[row.action]
        table.add_row(
            escape(row.workload),
            escape("\n".join(models(row.answer))),
            f"[{colour}]{row.action.label}[/{colour}]",
            escape("\n".join(why(row.answer))),
        )
    return table


def models(answer: Review) -> list[str]:
    """The references of a workload, each once, with the role where it is not the base model."""
    if answer.decision is None:
        return ["(none)"]
    found = dict.fromkeys(
        use.reference.canonical + ("" if use.role == "base" else f" ({use.role})")
        for use in answer.decision.uses
    )
    return list(found)


def why(answer: Review, limit: int = 4) -> list[str]:
    """The findings against a workload, the strictest first."""
    if answer.decision is None:
        return [answer.response.message] if answer.response.message else ["serves no model"]
    against = answer.decision.against
    lines = [f"{f.policy}/{f.rule}: {f.message}" for f in against[:limit]]
    if len(against) > limit:
        lines.append(f"and {len(against) - limit} more")
    if not lines:
        return ["every rule holds" if answer.decision.findings else "no policy matches"]
    return lines
