"""Verdicts: what a check gives for one model use."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from weighmaster.core.evaluate.demands import Demand
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Outcome


class Verdict(Struct, frozen=True):
    """Result of one check. The message says what was found and what to do, and nothing else.

    ``awaits`` is the reference whose evidence is on its way, or can be, and may change it;
    ``rewrite`` says that the rule asks for the reference to be written in a form that cannot move;
    ``demand`` is what has to be verified before start for a pass to be one.
    """

    outcome: Outcome
    reason: Reason
    message: str
    awaits: str | None = None
    rewrite: bool = False
    demand: Demand | None = None


Check = Callable[[Subject], Verdict]

PASS = Verdict(Outcome.PASS, Reason.SATISFIED, "holds")
NAMED_ELSEWHERE = Verdict(
    Outcome.SKIP, Reason.NAMED_ELSEWHERE, "is named by another object, which is checked itself"
)


def skip(reason: Reason, message: str) -> Verdict:
    """The rule is not about this use."""
    return Verdict(Outcome.SKIP, reason, message)


def fail(reason: Reason, message: str) -> Verdict:
    """The rule does not hold."""
    return Verdict(Outcome.FAIL, reason, message)


def error(reason: Reason, message: str, awaits: str | None = None) -> Verdict:
    """The rule cannot be decided; ``awaits`` as in Verdict."""
    return Verdict(Outcome.ERROR, reason, message, awaits)


def few(names: Sequence[str], limit: int = 6) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
