"""Evaluation: policy against model uses, giving findings."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from weighmaster.core.evaluate.demands import Demand
from weighmaster.core.evaluate.policies import Policy, PolicyKey
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.evaluate.subject import Subject, Workload
from weighmaster.core.evaluate.verdict import NAMED_ELSEWHERE, PASS, Verdict
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action, ModelUse, Outcome


class Finding(Struct, frozen=True):
    """Result of one rule for one model use.

    ``action`` is what the finding by itself asks for: the policy's action for a failure, its
    ``onUnknown`` for an error, Allow otherwise. ``awaits`` is the reference whose evidence an error
    waits for, ``demand`` what has to be verified before start for a pass to be one. ``rewrite``
    says that the rule asks for the reference to be pinned by rewriting.
    """

    policy: PolicyKey
    rule: str
    use: ModelUse
    outcome: Outcome
    reason: Reason
    message: str
    action: Action
    awaits: str | None = None
    rewrite: bool = False
    demand: Demand | None = None


MAX_COST = 500_000
"""Microseconds, roughly, that the evaluation of one object may take: no other request is answered
meanwhile, and whoever may write a ModelPolicy could make it long."""


def too_costly(workload: Workload, uses: Sequence[ModelUse], snapshot: Snapshot) -> bool:
    """Whether an evaluation could take longer than it may. Cheap, and exact only where it must."""
    segments = max((use.reference.canonical.count("/") for use in uses), default=0) + 1
    if len(uses) * snapshot.cost_per_use(workload.namespace, segments) <= MAX_COST:
        return False
    cost = sum(
        policy.cost_per_use(segments)
        for policy, _ in snapshot.applicable(workload.namespace)
        if policy.scope.covers_workload(workload)
    )
    return len(uses) * cost > MAX_COST


def evaluate(
    workload: Workload, uses: tuple[ModelUse, ...], snapshot: Snapshot, now: datetime
) -> Sequence[Finding]:
    """Every rule of every policy that matches, for every model use it matches.

    ``now`` decides which exceptions and which evidence have expired; it must be aware of its time
    zone.
    """
    about = (
        *(workload.group, workload.kind, workload.namespace, workload.name, uses),
        *(frozenset(labels.items()) for labels in workload.label_sets),
    )
    findings: Sequence[Finding] | None = snapshot.memory.recall(about, now)
    if findings is None:
        findings = _evaluate(workload, uses, snapshot, now)
        snapshot.memory.keep(about, findings, now)
    return findings


def _evaluate(
    workload: Workload, uses: tuple[ModelUse, ...], snapshot: Snapshot, now: datetime
) -> list[Finding]:
    subjects = [Subject(use, workload, snapshot, now) for use in uses]
    findings: list[Finding] = []
    for policy, namespace_excluded in snapshot.applicable(workload.namespace):
        scope = policy.scope
        if scope.any_workload or scope.covers_workload(workload):
            for subject in subjects:
                if scope.covers_use(subject, namespace_excluded=namespace_excluded):
                    key, use = policy.key, subject.use
                    elsewhere = subject.named_elsewhere
                    for name, check, about_weights in policy.rules:
                        verdict = NAMED_ELSEWHERE if elsewhere and about_weights else check(subject)
                        if verdict is PASS:  # nearly all are, and this is the hot path
                            findings.append(
                                Finding(key, name, use, PASS.outcome, PASS.reason, "", Action.ALLOW)
                            )
                        else:
                            findings.append(_judge(policy, name, verdict, subject, now))
    return findings


def _judge(policy: Policy, rule: str, verdict: Verdict, subject: Subject, now: datetime) -> Finding:
    outcome, reason, message = verdict.outcome, verdict.reason, verdict.message
    action, demand = Action.ALLOW, verdict.demand
    if outcome is Outcome.FAIL or outcome is Outcome.ERROR or demand is not None:
        approval = subject.snapshot.exception_for(policy.key, rule, subject, now)
        if approval is not None:
            outcome, reason, demand = Outcome.SKIP, Reason.EXCEPTED, None
            message = f'{message}; excepted by "{approval.name}"'
        elif demand is None:
            action = policy.action if outcome is Outcome.FAIL else policy.on_unknown
        elif policy.action < Action.SANDBOX:
            outcome, demand = Outcome.SKIP, None
            message = f"would be verified in its pod, if the action were not {policy.action.label}"
    return Finding(
        policy=policy.key,
        rule=rule,
        use=subject.use,
        outcome=outcome,
        reason=reason,
        message=message,
        action=action,
        awaits=verdict.awaits,
        rewrite=verdict.rewrite,
        demand=demand,
    )
