"""What each role may do in a cluster, and why. Nothing else is granted.

A right that is missing or superfluous fails the end-to-end tests, which run both roles with exactly
these and compare them with the API server's audit log.
"""

from enum import StrEnum

from msgspec import Struct

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import (
    ClusterModelPolicy,
    ModelException,
    ModelPolicy,
    ModelPublisher,
    ModelRecord,
    SandboxProfile,
)

REGISTRATION = "admissionregistration.k8s.io"
READ = ("list", "watch")


class Role(StrEnum):
    """A process with a service account of its own."""

    WEBHOOK = "webhook"
    CONTROLLER = "controller"


class Place(StrEnum):
    """Where a right holds."""

    CLUSTER = "everywhere"
    OWN_NAMESPACE = "own namespace"


class Named(StrEnum):
    """An object of the installation, whose name the chart knows."""

    SERVING_SECRET = "servingSecret"  # noqa: S105 - the name of one
    CONFIGURATION = "webhookConfiguration"
    LEASE = "lease"


class When(StrEnum):
    """Which installations need a right; the chart's helpers answer by these names."""

    ISSUES = "weighmaster.issuesCertificates"
    """The controller issues the serving certificate."""
    TRUSTS = "weighmaster.keepsTrust"
    """It has the webhook configurations trust it, whoever issued it."""


class Grant(Struct, frozen=True, kw_only=True):
    """A rule of a Role or ClusterRole, with its reason.

    ``name`` restricts it to one object, ``when`` to some installations.
    """

    role: Role
    place: Place = Place.CLUSTER
    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    reason: str
    name: Named | None = None
    when: When | None = None


_POLICIES = tuple(
    kind.names.plural for kind in (ClusterModelPolicy, ModelPolicy, ModelPublisher, ModelException)
)
_PROFILES = SandboxProfile.names.plural
_RECORDS = ModelRecord.names.plural

GRANTS: tuple[Grant, ...] = (
    Grant(
        role=Role.WEBHOOK,
        group=GROUP,
        resources=(*_POLICIES, _PROFILES, _RECORDS),
        verbs=READ,
        reason="Decisions are made by these; they are kept in memory.",
    ),
    Grant(
        role=Role.WEBHOOK,
        group="",
        resources=("namespaces",),
        verbs=READ,
        reason="Policies select namespaces by their labels.",
    ),
    Grant(
        role=Role.WEBHOOK,
        group="networking.k8s.io",
        resources=("networkpolicies",),
        verbs=READ,
        reason="No pod is admitted into a sandbox that its NetworkPolicies do not close.",
    ),
    Grant(
        role=Role.WEBHOOK,
        group="",
        resources=("pods",),
        verbs=READ,
        reason=(
            "Which pods are in sandboxes, to refuse exec and the like into them. Only the metadata"
            " of those with the label is asked for, to which a right cannot be narrowed."
        ),
    ),
    Grant(
        role=Role.WEBHOOK,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("create",),
        reason="Asks for evidence about a model that has not been seen before.",
    ),
    Grant(
        role=Role.WEBHOOK,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("patch",),
        reason="Notes on a record the day of its last use, so that unused ones can be deleted.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group=GROUP,
        resources=(*_POLICIES, _PROFILES, _RECORDS),
        verbs=READ,
        reason="Keeps their status true; gathers what policies ask for.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group=GROUP,
        resources=tuple(f"{resource}/status" for resource in (*_POLICIES, _RECORDS)),
        verbs=("patch",),
        reason=(
            "Writes whether a policy is in use and what is known of a model. Whoever may write"
            " modelrecords/status can forge evidence: grant it to nobody else."
        ),
    ),
    Grant(
        role=Role.CONTROLLER,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("create",),
        reason="Has records of the models that a model was made from.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("delete",),
        reason="Deletes records that Weighmaster made and nobody has used for a month.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group="apiextensions.k8s.io",
        resources=("customresourcedefinitions",),
        verbs=READ,
        reason="kopf learns from them which kinds there are, and when one is installed later.",
    ),
    Grant(
        role=Role.CONTROLLER,
        place=Place.OWN_NAMESPACE,
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("create",),
        reason="Makes the Lease by which replicas agree on one that acts.",
    ),
    Grant(
        role=Role.CONTROLLER,
        place=Place.OWN_NAMESPACE,
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("get", "update"),
        name=Named.LEASE,
        reason="Takes, renews and gives up that Lease.",
    ),
    Grant(
        role=Role.CONTROLLER,
        place=Place.OWN_NAMESPACE,
        group="",
        resources=("secrets", "configmaps"),
        verbs=("get",),
        reason=(
            "Reads the keys, trust roots, signatures and credentials that policies and records"
            " name, in this namespace and no other."
        ),
    ),
    Grant(
        role=Role.CONTROLLER,
        place=Place.OWN_NAMESPACE,
        group="",
        resources=("secrets",),
        verbs=("create",),
        reason="Makes the Secret of the serving certificate anew when somebody has deleted it.",
        when=When.ISSUES,
    ),
    Grant(
        role=Role.CONTROLLER,
        place=Place.OWN_NAMESPACE,
        group="",
        resources=("secrets",),
        verbs=("update",),
        name=Named.SERVING_SECRET,
        reason="Stores the serving certificate, and rotates it.",
        when=When.ISSUES,
    ),
    Grant(
        role=Role.CONTROLLER,
        group=REGISTRATION,
        resources=("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
        verbs=("get", "update"),
        name=Named.CONFIGURATION,
        reason="Keeps the CA bundle with which the API server trusts the serving certificate.",
        when=When.TRUSTS,
    ),
)


def rule(grant: Grant, names: dict[Named, str]) -> dict[str, list[str]]:
    """The rule of a Role or ClusterRole (rbac.authorization.k8s.io/v1 PolicyRule)."""
    found = {
        "apiGroups": [grant.group],
        "resources": list(grant.resources),
        "verbs": list(grant.verbs),
    }
    if grant.name is not None:
        found["resourceNames"] = [names[grant.name]]
    return found
