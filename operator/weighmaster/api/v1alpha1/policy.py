"""ClusterModelPolicy and ModelPolicy: which models may be served, and what else happens."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Names, Resource, Schema, Scope, Validation
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


class Enforcement(Schema, frozen=True, kw_only=True):
    """What happens when a rule fails, or cannot be decided."""

    validations = (
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
        Name | None, Meta(description="The SandboxProfile; required for `Sandbox`.")
    ] = None
    running: Annotated[
        Running,
        Meta(
            description=(
                "Pods that already run when evidence or policy turns against them. Not in effect"
                " in this version."
            )
        ),
    ] = Running.REPORT


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


_COLUMNS = (
    Column("Action", ".spec.enforcement.action"),
    Column("On Unknown", ".spec.enforcement.onUnknown", wide=True),
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
    status: Status = field(default_factory=Status)


class ModelPolicy(Resource, frozen=True, kw_only=True):
    """Which models may be served in one namespace; it adds to cluster policies, never relaxes."""

    names = Names("ModelPolicy", "modelpolicies", "modelpolicy", ("mp",), Scope.NAMESPACED)
    columns = _COLUMNS

    metadata: ObjectMeta
    spec: ModelPolicySpec
    status: Status = field(default_factory=Status)
