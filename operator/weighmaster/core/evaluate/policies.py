"""Policies as stored, compiled once when they change. What cannot be used fails closed."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.meta import LabelSelector, SelectorOperator
from weighmaster.api.v1alpha1.policy import (
    ClusterModelPolicySpec,
    Enforcement,
    EnforcementAction,
    Exclude,
    Match,
    ModelPolicySpec,
    NamespacedExclude,
    NamespacedMatch,
    Pace,
    Running,
)
from weighmaster.api.v1alpha1.rules import Pin, Rule
from weighmaster.core.evaluate.checks import compile_rule
from weighmaster.core.evaluate.expressions import estimate_cost
from weighmaster.core.evaluate.predicates import PredicateExpression
from weighmaster.core.evaluate.published import read_keys
from weighmaster.core.evaluate.scope import Scope
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.evaluate.verdict import Check, Verdict
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action, Outcome
from weighmaster.errors import PolicyError

ACTIONS = {
    EnforcementAction.AUDIT: Action.AUDIT,
    EnforcementAction.WARN: Action.WARN,
    EnforcementAction.SANDBOX: Action.SANDBOX,
    EnforcementAction.DENY: Action.DENY,
}

_ENFORCED = frozenset({EnforcementAction.SANDBOX, EnforcementAction.DENY})

RULE_COST = 5
"""Microseconds, roughly, of a rule that is no expression."""

MAX_CEL = 16 * 1024
"""Characters of all expressions of a policy; they are compiled while requests wait."""

Part = TypeVar("Part", bound=NamespacedExclude)


class PolicyKey(Struct, frozen=True, order=True):
    """Which policy. ``namespace`` is empty for a ClusterModelPolicy."""

    name: str
    namespace: str = ""

    @property
    def kind(self) -> str:
        """Kind of the policy."""
        return "ModelPolicy" if self.namespace else "ClusterModelPolicy"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class CompiledRule(NamedTuple):
    """A rule ready for use. ``about_weights`` is false for rules about how they are loaded."""

    name: str
    check: Check
    about_weights: bool


class Policy(Struct, frozen=True):
    """A policy ready for use.

    ``problem`` says why it cannot be used as stored; then its only rule fails for everything it
    may match.
    """

    key: PolicyKey
    scope: Scope
    action: Action
    on_unknown: Action
    rules: tuple[CompiledRule, ...]
    publishers: frozenset[str] = frozenset()
    sandbox_profile: str | None = None
    running: Running = Running.REPORT
    pace: Pace = Pace()
    problem: str | None = None
    warnings: tuple[str, ...] = ()
    cost: int = 0
    """Microseconds, roughly, that its rules take for one model use."""

    def cost_per_use(self, segments: int) -> int:
        """The same with its globs, for references of so many path segments."""
        return self.cost + 2 * self.scope.backtracking * segments


def compile_policy(stored: Mapping[str, Any]) -> Policy:
    """A stored ClusterModelPolicy or ModelPolicy, compiled. Never raises.

    A part that cannot be read is replaced by the strictest reading: a match by everything, an
    exclusion by nothing, an action by Deny.
    """
    metadata = read_metadata(stored)
    namespaced = stored.get("kind") == "ModelPolicy"
    key = PolicyKey(metadata.name, (metadata.namespace or "default") if namespaced else "")
    spec = stored.get("spec")
    try:
        typed = read_spec(stored)
        _require_sense(typed)
        keys = read_keys(stored)
        checks = tuple(
            CompiledRule(rule.name, compile_rule(rule, keys), not (rule.code or rule.expression))
            for rule in typed.rules
        )
    except (msgspec.ValidationError, PolicyError) as error:
        return _unusable(key, spec if isinstance(spec, dict) else {}, str(error))
    action = ACTIONS[typed.enforcement.action]
    on_unknown = typed.enforcement.on_unknown
    return Policy(
        key=key,
        scope=Scope(typed.match, typed.exclude, key.namespace),
        action=action,
        on_unknown=ACTIONS[on_unknown] if on_unknown else action,
        rules=checks,
        publishers=_named_publishers(typed),
        sandbox_profile=typed.enforcement.sandbox_profile,
        running=typed.enforcement.running,
        pace=typed.enforcement.pace,
        warnings=_warnings(typed),
        cost=sum(map(_cost, typed.rules)),
    )


def _cost(rule: Rule) -> int:
    if rule.expression:
        return estimate_cost(rule.expression.cel)
    if rule.attestation:
        return RULE_COST + PredicateExpression(rule.attestation.expression).cost
    return RULE_COST


def read_spec(stored: Mapping[str, Any]) -> ClusterModelPolicySpec | ModelPolicySpec:
    """The typed spec of a stored policy; raises msgspec.ValidationError."""
    if stored.get("kind") == "ModelPolicy":
        return msgspec.convert(stored.get("spec"), ModelPolicySpec)
    return msgspec.convert(stored.get("spec"), ClusterModelPolicySpec)


def _require_sense(spec: ClusterModelPolicySpec | ModelPolicySpec) -> None:
    """What the CRD demands in CEL, for policies that no API server has seen."""
    names = [rule.name for rule in spec.rules]
    if len(names) != len(set(names)):
        raise PolicyError("two rules have the same name")
    if isinstance(spec.exclude, Exclude) and spec.exclude.namespace_selector == LabelSelector():
        raise PolicyError("an empty exclude.namespaceSelector would exclude every namespace")
    actions = (spec.enforcement.action, spec.enforcement.on_unknown)
    if EnforcementAction.SANDBOX in actions and not spec.enforcement.sandbox_profile:
        raise PolicyError("Sandbox needs enforcement.sandboxProfile")
    if spec.enforcement.running is Running.QUARANTINE and not spec.enforcement.sandbox_profile:
        raise PolicyError("running: Quarantine needs enforcement.sandboxProfile")
    for name, part in (("match", spec.match), ("exclude", spec.exclude)):
        if not _has_sound_selectors(part):
            raise PolicyError(
                f"a selector of {name} has In or NotIn without values, or values for another"
                " operator"
            )
    expressions = [rule.expression.cel for rule in spec.rules if rule.expression]
    expressions += [rule.attestation.expression for rule in spec.rules if rule.attestation]
    if sum(map(len, expressions)) > MAX_CEL:
        raise PolicyError(f"its expressions have more than {MAX_CEL} characters together")


def _has_sound_selectors(part: NamespacedExclude) -> bool:
    """Whether every requirement says something: ``In`` nothing never holds, ``NotIn`` always."""
    for name in ("namespace_selector", "object_selector"):
        selector: LabelSelector | None = getattr(part, name, None)
        for requirement in selector.match_expressions if selector else ():
            takes_values = requirement.operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)
            if takes_values != bool(requirement.values):
                return False
    return True


def _unusable(key: PolicyKey, spec: Mapping[str, Any], problem: str) -> Policy:
    match: NamespacedMatch = _part(spec, "match", NamespacedMatch if key.namespace else Match)
    exclude: NamespacedExclude = _part(
        spec, "exclude", NamespacedExclude if key.namespace else Exclude
    )
    if isinstance(exclude, Exclude) and exclude.namespace_selector == LabelSelector():
        exclude = Exclude()
    try:
        enforcement = msgspec.convert(spec.get("enforcement"), Enforcement)
        action = ACTIONS[enforcement.action]
        if enforcement.on_unknown:
            action = max(action, ACTIONS[enforcement.on_unknown])
        profile = enforcement.sandbox_profile
    except msgspec.ValidationError:
        action, profile = Action.DENY, None
    verdict = Verdict(
        Outcome.ERROR,
        Reason.POLICY_UNUSABLE,
        f"cannot be judged: this version cannot use the policy ({problem})",
    )
    return Policy(
        key=key,
        scope=Scope(match, exclude, key.namespace),
        action=action,
        on_unknown=action,
        rules=(CompiledRule("(policy)", lambda _: verdict, about_weights=False),),
        sandbox_profile=profile,
        problem=problem,
    )


def _part(spec: Mapping[str, Any], name: str, kind: type[Part]) -> Part:
    try:
        part = msgspec.convert(spec.get(name) or {}, kind)
    except msgspec.ValidationError:
        return kind()
    return part if _has_sound_selectors(part) else kind()


def _named_publishers(spec: ClusterModelPolicySpec | ModelPolicySpec) -> frozenset[str]:
    return frozenset(
        name
        for rule in spec.rules
        if rule.origin and rule.origin.publishers
        for name in (*rule.origin.publishers.allow, *rule.origin.publishers.deny)
    )


def _warnings(spec: ClusterModelPolicySpec | ModelPolicySpec) -> tuple[str, ...]:
    warnings = []
    kinds = spec.match.kinds
    if kinds and not any(kind in ("Pod", "*", "*/*", "*/Pod") for kind in kinds):
        warnings.append(
            "spec.match.kinds does not list Pod: pods that are created directly, or by a kind that"
            " is not listed, are not checked"
        )
    if spec.match.object_selector:
        warnings.append(
            "spec.match.objectSelector selects by labels that whoever creates the object chooses"
        )
    if any(kind in ("Pod", "*", "*/*", "*/Pod") for kind in spec.exclude.kinds):
        warnings.append("spec.exclude.kinds excludes pods, which are the enforcement point")
    actions = {spec.enforcement.action, spec.enforcement.on_unknown}
    running = spec.enforcement.running
    if running is not Running.REPORT and not actions & _ENFORCED:
        warnings.append(
            f"running: {running.value} acts on pods whose decision is Sandbox or Deny, which this"
            " policy never asks for"
        )
    if _rewrites(spec) and ACTIONS[spec.enforcement.action] < Action.SANDBOX:
        warnings.append(
            "pin: Rewrite rewrites nothing for the actions Audit and Warn, which only say what"
            " would be written"
        )
    return tuple(warnings)


def _rewrites(spec: ClusterModelPolicySpec | ModelPolicySpec) -> bool:
    return any(rule.reference and rule.reference.pin is Pin.REWRITE for rule in spec.rules)
