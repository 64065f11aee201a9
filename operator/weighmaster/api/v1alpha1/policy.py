"""ClusterModelPolicy and ModelPolicy: which models may be served, and what else happens."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Names, Resource, Schema, Scope, Validation
from weighmaster.api.v1alpha1.authority import PublishedKeys
from weighmaster.api.v1alpha1.meta import (
    READY_COLUMNS,
    LabelSelector,
    Name,
    ObjectMeta,
    ReferenceGlob,
    Status,
)
from weighmaster.api.v1alpha1.roles import Role
from weighmaster.api.v1alpha1.rules import Rule

KindPattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=r"^([a-z0-9.-]+/|\*/)?([A-Z][A-Za-z0-9]*|\*)$",
        description="`group/Kind` such as `apps/Deployment`, `Kind` in the core group; `*` is any.",
    ),
]


_Kinds = Annotated[
    list[KindPattern],
    Meta(
        max_length=64,
        description=(
            "Kinds of object. Pods are the enforcement point: a list without `Pod` lets pods that"
            " are created directly pass."
        ),
    ),
]
_References = Annotated[
    list[ReferenceGlob],
    Meta(
        max_length=128,
        description=(
            "Globs over canonical references. Weights that a manifest does not name could be any:"
            " in `match` they count as matching, in `exclude` only a glob for them does"
            " (`dynamic:**`)."
        ),
    ),
]
_Roles = Annotated[list[Role], Meta(max_length=9, description="What the model is used for.")]


class NamespacedExclude(Schema, frozen=True, kw_only=True):
    """What a policy leaves alone: all given parts must match; nothing given excludes nothing."""

    kinds: _Kinds = field(default_factory=list)
    references: _References = field(default_factory=list)
    roles: _Roles = field(default_factory=list)


class NamespacedMatch(NamespacedExclude, frozen=True, kw_only=True):
    """What a policy is about: all given parts must match; nothing given matches everything."""

    object_selector: Annotated[
        LabelSelector | None,
        Meta(
            description=(
                "Labels of the object, its pod template or, on update, its former self; any of them"
                " may match. Whoever creates an object chooses its labels."
            )
        ),
    ] = None


class Exclude(NamespacedExclude, frozen=True, kw_only=True):
    """What a cluster policy leaves alone. There is no selector over an object's own labels."""

    validations = (
        Validation(
            rule=(
                "!has(self.namespaceSelector)"
                " || has(self.namespaceSelector.matchLabels)"
                " && size(self.namespaceSelector.matchLabels) > 0"
                " || has(self.namespaceSelector.matchExpressions)"
                " && size(self.namespaceSelector.matchExpressions) > 0"
            ),
            message="an empty namespaceSelector would exclude every namespace; give it labels",
        ),
    )

    namespace_selector: Annotated[
        LabelSelector | None, Meta(description="Labels of the namespace.")
    ] = None


class Match(NamespacedMatch, frozen=True, kw_only=True):
    """What a cluster policy is about."""

    namespace_selector: Annotated[
        LabelSelector | None,
        Meta(description="Labels of the namespace; cluster-scoped objects match every selector."),
    ] = None


class EnforcementAction(StrEnum):
    """What happens when a rule fails; the strictest over all matching policies counts."""

    AUDIT = "Audit"
    WARN = "Warn"
    SANDBOX = "Sandbox"
    DENY = "Deny"


class Running(StrEnum):
    """What happens to pods that already run when evidence or policy turns against them."""

    REPORT = "Report"
    QUARANTINE = "Quarantine"
    EVICT = "Evict"


class Pace(Schema, frozen=True, kw_only=True):
    """How fast running pods are acted on, so that a mistake in a policy can be noticed."""

    max_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Pods that this policy has quarantined, or evicted, within a minute.",
        ),
    ] = 10
    max_percent: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description=(
                "How many of the pods that serve models, in all namespaces that this policy covers,"
                " may be in quarantine or on their way out at once; in percent, rounded up. The"
                " rest waits until this is raised: 100 lets a policy reach all of them."
            ),
        ),
    ] = 50


class Enforcement(Schema, frozen=True, kw_only=True):
    """What happens when a rule fails, or cannot be decided."""

    validations = (
        Validation(
            rule="self.running != 'Quarantine' || has(self.sandboxProfile)",
            message=(
                "running: Quarantine needs a sandboxProfile: name the SandboxProfile whose"
                " NetworkPolicy isolates the pods"
            ),
        ),
        Validation(
            rule=(
                "self.action != 'Sandbox' && (!has(self.onUnknown) || self.onUnknown != 'Sandbox')"
                " || has(self.sandboxProfile)"
            ),
            message="Sandbox needs a sandboxProfile: name the SandboxProfile to confine pods by",
        ),
    )

    action: Annotated[EnforcementAction, Meta(description="When a rule fails.")]
    on_unknown: Annotated[
        EnforcementAction | None,
        Meta(description="When evidence for a rule is missing; defaults to `action`."),
    ] = None
    sandbox_profile: Annotated[
        Name | None,
        Meta(description="The SandboxProfile; required for `Sandbox` and `running: Quarantine`."),
    ] = None
    running: Annotated[
        Running,
        Meta(
            description=(
                "Pods that already run when evidence or policy turns against them, and the action"
                " is `Sandbox` or `Deny`. `Report` tells of them by events, metrics and this"
                " policy's status; `Quarantine` isolates them from the network without a restart;"
                " `Evict` evicts them, as PodDisruptionBudgets allow. What is only not known, such"
                " as evidence during an outage, is always reported and never acted on."
            )
        ),
    ] = Running.REPORT
    pace: Annotated[
        Pace, Meta(description="How fast `running: Quarantine` and `running: Evict` act.")
    ] = field(default_factory=Pace)


_Rules = Annotated[
    list[Rule],
    Meta(
        min_length=1,
        max_length=64,
        description="Every rule must hold for every model use that the policy matches.",
        extra_json_schema={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    ),
]


class ModelPolicySpec(Schema, frozen=True, kw_only=True):
    """Rules for the models served in one namespace."""

    match: Annotated[NamespacedMatch, Meta(description="What the policy is about.")] = field(
        default_factory=NamespacedMatch
    )
    exclude: Annotated[NamespacedExclude, Meta(description="What it leaves alone.")] = field(
        default_factory=NamespacedExclude
    )
    enforcement: Annotated[Enforcement, Meta(description="What happens when a rule fails.")]
    rules: _Rules


class ClusterModelPolicySpec(Schema, frozen=True, kw_only=True):
    """Rules for the models served in the cluster."""

    match: Annotated[Match, Meta(description="What the policy is about.")] = field(
        default_factory=Match
    )
    exclude: Annotated[Exclude, Meta(description="What it leaves alone.")] = field(
        default_factory=Exclude
    )
    enforcement: Annotated[Enforcement, Meta(description="What happens when a rule fails.")]
    rules: _Rules


Count = Annotated[int, Meta(ge=0)]


class RunningStatus(Schema, frozen=True, kw_only=True):
    """What the policy finds among the pods that exist."""

    violating: Annotated[Count, Meta(description="Pods for which a rule fails.")] = 0
    undecided: Annotated[
        Count, Meta(description="Pods for which no rule fails, but one cannot be decided.")
    ] = 0
    quarantined: Annotated[
        Count, Meta(description="Pods that are in quarantine because of this policy.")
    ] = 0
    waiting: Annotated[
        Count, Meta(description="Pods that are to be quarantined or evicted and wait.")
    ] = 0
    exposed: Annotated[
        Count,
        Meta(
            description=(
                "Pods in quarantine because of this policy that are not isolated: another"
                " NetworkPolicy allows them traffic, or they use their node's network."
            )
        ),
    ] = 0
    message: Annotated[
        str, Meta(max_length=1024, description="What pods wait for, or what has to be done.")
    ] = ""


class PolicyStatus(Status, frozen=True, kw_only=True):
    """What the controller found out about a policy."""

    running: Annotated[
        RunningStatus | None, Meta(description="What the policy finds among running pods.")
    ] = None
    keys: PublishedKeys = field(default_factory=list)


_COLUMNS = (
    Column("Action", ".spec.enforcement.action"),
    Column("On Unknown", ".spec.enforcement.onUnknown", wide=True),
    Column("Running", ".spec.enforcement.running", wide=True),
    Column(
        "Violations", ".status.running.violating", "integer", "Running pods that violate the policy"
    ),
    Column(
        "Quarantined", ".status.running.quarantined", "integer", "Pods in quarantine", wide=True
    ),
    Column("Waiting", ".status.running.waiting", "integer", "Pods to be acted on", wide=True),
    *READY_COLUMNS,
)


class ClusterModelPolicy(Resource, frozen=True, kw_only=True):
    """Which models may be served, in the whole cluster or in selected namespaces."""

    names = Names(
        "ClusterModelPolicy", "clustermodelpolicies", "clustermodelpolicy", ("cmp",), Scope.CLUSTER
    )
    columns = _COLUMNS

    metadata: ObjectMeta
    spec: ClusterModelPolicySpec
    status: PolicyStatus = field(default_factory=PolicyStatus)


class ModelPolicy(Resource, frozen=True, kw_only=True):
    """Which models may be served in one namespace; it adds to cluster policies, never relaxes."""

    names = Names("ModelPolicy", "modelpolicies", "modelpolicy", ("mp",), Scope.NAMESPACED)
    columns = _COLUMNS

    metadata: ObjectMeta
    spec: ModelPolicySpec
    status: PolicyStatus = field(default_factory=PolicyStatus)
