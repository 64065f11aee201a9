"""Decision: the strictest action over all findings."""

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from weighmaster.core.evaluate import Finding
from weighmaster.core.evaluate.subject import Workload
from weighmaster.core.values import Action, ModelUse, Outcome


class Decision(Struct, frozen=True):
    """What happens to a workload and why.

    ``id`` is worked out from the content: two replicas that see the same object under the same
    policies give the same id, and a retried or reinvoked request keeps it.
    """

    id: str
    action: Action
    workload: Workload
    uses: tuple[ModelUse, ...]
    findings: tuple[Finding, ...]

    @property
    def against(self) -> list[Finding]:
        """The findings that ask for more than Allow, the strictest first."""
        return [finding for finding in self.findings if finding.action > Action.ALLOW]


def decide(workload: Workload, uses: tuple[ModelUse, ...], findings: Sequence[Finding]) -> Decision:
    """The decision on a workload. No findings, no objection: matching is the policies' business.

    Findings arrive in the order of policies, uses and rules, which the stable sort keeps.
    """
    strictest = max((finding.action for finding in findings), default=Action.ALLOW)
    ordered = tuple(findings)
    if strictest > Action.ALLOW:
        ordered = tuple(sorted(findings, key=lambda finding: -finding.action))
    return Decision(
        id=_identify(workload, uses, ordered),
        action=strictest,
        workload=workload,
        uses=uses,
        findings=ordered,
    )


def _identify(workload: Workload, uses: tuple[ModelUse, ...], findings: tuple[Finding, ...]) -> str:
    parts = [workload.group, workload.kind, workload.namespace, workload.name]
    for use in uses:
        parts += (use.reference.canonical, use.role, use.path)
    for finding in findings:
        if finding.outcome is Outcome.PASS:
            continue
        parts += (str(finding.policy), finding.rule, finding.reason, finding.action.name)
    return sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
