"""What each role may do in a cluster, and why. Nothing else is granted.

A right that is missing, or that nothing uses, fails the end-to-end tests: they run with just these.
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
from weighmaster.core.workload_kinds import CHANGEABLE

REGISTRATION = "admissionregistration.k8s.io"
READ = ("list", "watch")

_NETWORKING = "networking.k8s.io"
_APPS = "apps"


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
        group="",
        resources=("pods",),
        verbs=READ,
        reason="Knows which pods are in sandboxes, by their label, to keep people out of them.",
    ),
    Grant(
        role=Role.WEBHOOK,
        group=_NETWORKING,
        resources=("networkpolicies",),
        verbs=READ,
        reason="No sandboxed pod is let in before its NetworkPolicy is there.",
    ),
    Grant(
        role=Role.WEBHOOK,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("create", "get"),
        reason=(
            "Asks for evidence about a model that has not been seen before, under another name"
            " where somebody has taken the one it should have."
        ),
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
            "Writes whether a policy is in use, keys kept elsewhere, and what is known of a"
            " model. Whoever may write these can forge evidence, or choose whose signatures"
            " count: grant it to nobody else."
        ),
    ),
    Grant(
        role=Role.CONTROLLER,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("create", "get"),
        reason="Has records of the models that a model was made from, as the webhook does.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("delete",),
        reason="Deletes records that Weighmaster made and nobody has used for a month.",
    ),
    *(
        Grant(
            role=Role.CONTROLLER,
            group=kinds.group,
            resources=kinds.resources,
            verbs=("list", "patch"),
            reason=(
                "Takes the label off workloads that were let in before it was known what to pin"
                " them to, so that they pass admission again."
            ),
        )
        for kinds in CHANGEABLE
    ),
    Grant(
        role=Role.CONTROLLER,
        group=GROUP,
        resources=(_RECORDS,),
        verbs=("patch",),
        reason="Notes on a record the day on which a running pod used it.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group="",
        resources=("namespaces",),
        verbs=READ,
        reason="Policies select namespaces by their labels, where running pods are audited too.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group="",
        resources=("pods",),
        verbs=READ,
        reason="Judges running pods, which policy or evidence may turn against.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group="",
        resources=("pods",),
        verbs=("patch",),
        reason=(
            "Labels a pod to put it into quarantine, takes the label off again, and sets the"
            " deadline of one whose time is over. Nothing else of a pod is written, and none is"
            " deleted."
        ),
    ),
    Grant(
        role=Role.CONTROLLER,
        group="",
        resources=("pods/eviction",),
        verbs=("create",),
        reason="Evicts running pods where a policy says so; PodDisruptionBudgets are honoured.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group=_NETWORKING,
        resources=("networkpolicies",),
        verbs=(*READ, "create", "update", "delete"),
        reason=(
            "Keeps the NetworkPolicies that isolate sandboxed pods, and finds those that open"
            " them. Only its own are written."
        ),
    ),
    Grant(
        role=Role.CONTROLLER,
        group=_APPS,
        resources=("replicasets",),
        verbs=("get",),
        reason="Finds the Deployment of a pod, to tell it what happens to its pods.",
    ),
    Grant(
        role=Role.CONTROLLER,
        group=_APPS,
        resources=("deployments", "statefulsets", "daemonsets"),
        verbs=("patch",),
        reason=(
            "Restarts what owns confined pods once they are approved, where a SandboxProfile says"
            " `release: Rollout`. It writes one annotation of the pod template."
        ),
    ),
    Grant(
        role=Role.CONTROLLER,
        group="",
        resources=("events",),
        verbs=("create",),
        reason="Tells on pods and their owners what was found and done.",
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
