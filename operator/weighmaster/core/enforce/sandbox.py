"""The sandbox: what the decision Sandbox makes of a pod, or why there is no sandbox for it.

Whatever cannot be confined gets a finding of its own that denies, by the policy and rule that
wanted the sandbox: a pod either runs confined or not at all.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from weighmaster.api.v1alpha1.sandbox import SandboxProfileSpec
from weighmaster.core.decide import Decision
from weighmaster.core.detect.reading import at, mapping
from weighmaster.core.detect.templates import PLACES
from weighmaster.core.enforce.confinement import Confined, confine
from weighmaster.core.enforce.confinement.isolation import EXCLUSION, missing, openings
from weighmaster.core.enforce.confinement.network import policy_name
from weighmaster.core.evaluate import Finding
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action, Outcome

Document = Mapping[str, Any]

MAX_REFUSALS = 32
"""Reasons why a pod cannot be confined that are told; it could have thousands."""


class Objection(Struct, frozen=True):
    """Why a workload that has to run in a sandbox cannot."""

    reason: Reason
    message: str


class Sandboxed(Struct, frozen=True):
    """A workload in the form that its sandbox asks for, unless there are objections.

    ``profile`` is empty where no profile can be told.
    """

    document: Document
    profile: str = ""
    objections: tuple[Objection, ...] = ()


def sandbox(
    document: Document, decision: Decision, snapshot: Snapshot, injected: str = ""
) -> Sandboxed:
    """A workload as the decision Sandbox wants it.

    A Pod is confined; ``injected`` is the init container in it that is Weighmaster's own. Of what
    makes pods only the template is looked at, so that its owner hears early what cannot be
    confined; its pods are confined when they come.
    """
    wanted = _wanted(decision, snapshot)
    if len(wanted) > 1:
        pairs = sorted(wanted.items())
        names = " and ".join(f'"{name}" (policy "{policy}")' for name, policy in pairs)
        message = f"several policies ask for different sandboxes: {names}; one has to be chosen"
        return Sandboxed(document, "", (Objection(Reason.SANDBOX_PROFILE_CONFLICT, message),))
    name = next(iter(wanted))
    profile = snapshot.facilities.profiles.get(name)
    if profile is None or profile.spec is None:
        problem = f"{profile.problem}" if profile is not None else "does not exist"
        message = f'the SandboxProfile "{name}" {problem}' if name else "the policy names none"
        return Sandboxed(document, name, (Objection(Reason.SANDBOX_PROFILE_MISSING, message),))
    references = [use.reference.location for use in decision.uses]
    if decision.workload.gvk != "Pod":
        objections = _of_template(document, name, profile.spec, references)
        return Sandboxed(document, name, tuple(objections))
    confined = confine(document, name, profile.spec, references, injected)
    return Sandboxed(
        # Half a confinement could hide what the other half failed for.
        document if confined.refusals else confined.pod,
        name,
        (*_refused(confined), *_exposed(confined, decision, snapshot, name, profile.spec)),
    )


def objecting(decision: Decision, objections: tuple[Objection, ...]) -> list[Finding]:
    """Findings that deny what cannot run in the sandbox that its decision asks for."""
    first = next(finding for finding in decision.findings if finding.action is Action.SANDBOX)
    return [
        Finding(
            policy=first.policy,
            rule=first.rule,
            use=first.use,
            outcome=Outcome.FAIL,
            reason=objection.reason,
            message=f"may only run in a sandbox, but {objection.message}",
            action=Action.DENY,
        )
        for objection in objections
    ]


def _wanted(decision: Decision, snapshot: Snapshot) -> dict[str, str]:
    """The profiles that findings ask for, in order, each with a policy that does."""
    asking = {
        finding.policy: None for finding in decision.findings if finding.action is Action.SANDBOX
    }
    profiles = {
        policy.key: policy.sandbox_profile
        for policy, _ in snapshot.applicable(decision.workload.namespace)
    }
    return {profiles.get(key) or "": str(key) for key in sorted(asking, reverse=True)}


def _refused(confined: Confined, prefix: str = "") -> Iterator[Objection]:
    for refusal in confined.refusals[:MAX_REFUSALS]:
        yield Objection(refusal.reason, f"{prefix}{refusal.path} {refusal.message}")


def _exposed(
    confined: Confined,
    decision: Decision,
    snapshot: Snapshot,
    name: str,
    profile: SandboxProfileSpec,
) -> Iterator[Objection]:
    """Objections to the network that the pod would have."""
    cluster, rules = snapshot.facilities.cluster, profile.network_policy
    namespace = decision.workload.namespace
    if missing(cluster, namespace, name, rules):
        yield Objection(
            Reason.SANDBOX_NETWORK_MISSING,
            f'its NetworkPolicy "{policy_name(name)}" is not in the namespace yet, or out of date;'
            " the controller is making it, and pods that have an owner are created again",
        )
    labels = mapping(mapping(confined.pod.get("metadata")).get("labels"))
    for policy in openings(cluster, namespace, labels, name, rules):
        yield Objection(
            Reason.SANDBOX_NETWORK_OPEN,
            f'the NetworkPolicy "{policy.name}" also selects the pod and allows it traffic; add'
            f" {EXCLUSION} to the matchExpressions of its podSelector",
        )


def _of_template(
    document: Document, name: str, profile: SandboxProfileSpec, references: list[str]
) -> Iterator[Objection]:
    """Objections to pods that an object of Kubernetes' own kinds would make."""
    place = PLACES.get((str(document.get("apiVersion")), str(document.get("kind"))))
    if place is None:
        return
    parent = mapping(at(document, *place[:-1]))
    pod = {"metadata": parent.get("metadata"), "spec": parent.get("spec")}
    prefix = "".join(f"{key}." for key in place[:-1])
    yield from _refused(confine(pod, name, profile, references), prefix)
