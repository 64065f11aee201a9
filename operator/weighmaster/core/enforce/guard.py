"""The guard: requests that would weaken a sandbox, or reach into one.

It looks at what is asked and not at policies, so it also holds for pods that no policy is about any
more. Only the controller lifts a sandbox.
"""

import json
from collections.abc import Mapping
from typing import Any

from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.api.v1alpha1.sandbox import SandboxProfileSpec
from weighmaster.core.detect.paths import Path, render
from weighmaster.core.detect.reading import at, items, mapping, text
from weighmaster.core.enforce.confinement import Confined, confine
from weighmaster.core.enforce.confinement.isolation import EXCLUSION, opens
from weighmaster.core.enforce.confinement.marks import MARKS
from weighmaster.core.enforce.confinement.network import NAME_PREFIX, SANDBOX_LABEL
from weighmaster.core.enforce.confinement.pods import NETWORKS
from weighmaster.core.evaluate.facilities import Cluster, Facilities
from weighmaster.core.evaluate.selectors import Labels
from weighmaster.core.patch import Operation as Change
from weighmaster.core.patch import difference
from weighmaster.core.request import AdmissionRequest, Document, Operation

REACHING = frozenset({"exec", "attach", "portforward", "proxy"})
"""Subresources of pods by which somebody reaches into one (CONNECT)."""

NAMESPACE_CONTROLLERS = frozenset(
    {"system:serviceaccount:kube-system:namespace-controller", "system:kube-controller-manager"}
)
"""Who empties a namespace that is being deleted, with an account of its own and without."""

MAX_VALUE = 80
"""Characters of a value that is wanted in a field."""

_NETWORK_POLICIES = "networking.k8s.io/"


def objection(request: AdmissionRequest, facilities: Facilities) -> str | None:
    """Why a request may not be; None when no sandbox is concerned."""
    if request.operation is Operation.CONNECT:
        return _to_reaching(request, facilities)
    document = request.document if request.document is not None else request.old_document
    if document is None:
        return None
    kind = document.get("kind")
    if kind == "NetworkPolicy" and text(document.get("apiVersion")).startswith(_NETWORK_POLICIES):
        return _to_network_policy(request, document, facilities)
    if request.operation is Operation.UPDATE and _is_pod(document):
        return _to_pod_update(request, document, facilities)
    if kind == "Binding" and document.get("apiVersion") == "v1":
        return _to_binding(request, document, facilities)
    return _to_selector(request, document)


def unfounded(request: AdmissionRequest, document: Document, profile: str) -> str | None:
    """Why a new pod may not be as it is: it says that it is confined, and is not.

    ``profile`` is the sandbox that its decision asks for, empty if for none. Who bears the label is
    watched less closely, and with the marks of a quarantine it counts against the pace of policies.
    """
    if request.operation is not Operation.CREATE or request.subresource or not _is_pod(document):
        return None
    claimed = _labels(document).get(SANDBOX_LABEL)
    if claimed is None or claimed == profile:
        return None
    return (
        f"the label {SANDBOX_LABEL} is set by Weighmaster alone, on pods that it confines, and no"
        " policy asks for this one to be confined; remove it, from the template of what makes the"
        " pod if need be"
    )


def harden_debuggers(request: AdmissionRequest, facilities: Facilities) -> Document | None:
    """The object with its ephemeral containers hardened, if its pod is in a sandbox."""
    document = request.document
    if document is None or request.subresource != "ephemeralcontainers" or not _is_pod(document):
        return document
    profile = _labels(document).get(SANDBOX_LABEL)
    if profile is None:
        return document
    hardened = mapping(_confined(document, profile, facilities).pod.get("spec"))
    spec = mapping(document.get("spec"))
    if "ephemeralContainers" not in hardened or hardened is spec:
        return document
    return {
        **document,
        "spec": {**spec, "ephemeralContainers": hardened["ephemeralContainers"]},
    }


def _to_reaching(request: AdmissionRequest, facilities: Facilities) -> str | None:
    if facilities.cluster is None:
        return "which pods are in sandboxes is not known"
    labels = facilities.cluster.sandboxed.get(request.namespace, {}).get(request.name)
    if labels is None or _may_reach(request, labels[SANDBOX_LABEL], facilities):
        return None
    return _unwelcome(request, f"{request.subresource} into", labels[SANDBOX_LABEL])


def _may_reach(request: AdmissionRequest, profile: str, facilities: Facilities) -> bool:
    """Whether the profile names who asks."""
    access = _spec(profile, facilities).access
    return request.user in access.users or not set(access.groups).isdisjoint(request.groups)


def _unwelcome(request: AdmissionRequest, doing: str, profile: str) -> str:
    return (
        f'{doing} the pod "{request.name}" is not allowed: it is in the sandbox "{profile}", whose'
        f' SandboxProfile does not name "{request.user}" or a group of theirs under access'
    )


def _to_pod_update(
    request: AdmissionRequest, document: Document, facilities: Facilities
) -> str | None:
    old = request.old_document or {}
    before, after = _labels(old), _labels(document)
    profile = before.get(SANDBOX_LABEL)
    if SANDBOX_LABEL not in before and SANDBOX_LABEL not in after:
        return None
    if request.user == facilities.installation.controller:
        return None
    if profile is None or profile != after.get(SANDBOX_LABEL):
        return (
            f"the label {SANDBOX_LABEL} of an existing pod is set, changed and removed by"
            " Weighmaster's controller alone; a ModelException or a changed policy lifts a sandbox"
        )
    if _marks(old) != _marks(document):
        marks = " and ".join(sorted(MARKS))
        return f"the annotations {marks} of a sandboxed pod are Weighmaster's controller's alone"
    if _debuggers(old) != _debuggers(document) and not _may_reach(request, profile, facilities):
        return _unwelcome(request, "adding ephemeral containers to", profile)
    weakened = _weakened(old, document, profile, facilities)
    if weakened is not None:
        return f'the sandbox "{profile}" of the pod would be weakened: {weakened}'
    if before != after:
        return _to_labels(request.namespace, before, after, facilities)
    return None


def _weakened(old: Document, new: Document, profile: str, facilities: Facilities) -> str | None:
    """What an update takes away from the confinement of a pod; what was not there is not asked."""
    before, after = (_confined(each, profile, facilities) for each in (old, new))
    missing = difference(old, before.pod)
    for change in difference(new, after.pod):
        if change not in missing:
            return spell(change)
    for refusal in after.refusals:
        if refusal not in before.refusals:
            return f"{refusal.path} {refusal.message}"
    return None


def spell(change: Change) -> str:
    """A difference in words: the field, and how it must be."""
    path: Path = None
    for token in str(change["path"]).split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        path = (path, int(key) if key.isdecimal() else key)
    if change["op"] == "remove":
        return f"{render(path)} must not be there"
    value = json.dumps(change["value"], sort_keys=True)
    shown = value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}..."
    return f"{render(path)} must be {shown}"


def _to_labels(namespace: str, before: Labels, after: Labels, facilities: Facilities) -> str | None:
    """Labels choose which NetworkPolicies apply."""
    cluster = facilities.cluster or Cluster()
    profile = after[SANDBOX_LABEL]
    rules = _spec(profile, facilities).network_policy
    for policy in cluster.network_policies.get(namespace, ()):
        if policy.name.startswith(NAME_PREFIX):
            continue
        if opens(policy.spec, after, profile, rules) and not opens(
            policy.spec, before, profile, rules
        ):
            return (
                f'with these labels the NetworkPolicy "{policy.name}" would open the sandbox'
                f' "{profile}" of the pod'
            )
    return None


def _to_binding(
    request: AdmissionRequest, document: Document, facilities: Facilities
) -> str | None:
    """Labels and annotations of a Binding are put on its pod (registry/core/pod, assignPod)."""
    metadata = mapping(document.get("metadata"))
    name = request.name or text(metadata.get("name"))
    before = (facilities.cluster or Cluster()).sandboxed.get(request.namespace, {}).get(name)
    if before is None:
        return None
    for key in sorted({*NETWORKS, *MARKS} & {*mapping(metadata.get("annotations"))}):
        return f"the binding would put the annotation {key} on a pod in a sandbox"
    # What the pod has already stays as it is.
    after = {**mapping(metadata.get("labels")), **before}
    return _to_labels(request.namespace, before, after, facilities)


def _to_network_policy(
    request: AdmissionRequest, document: Document, facilities: Facilities
) -> str | None:
    name = text(mapping(document.get("metadata")).get("name"))
    sandboxed = (facilities.cluster or Cluster()).sandboxed.get(request.namespace, {})
    if name.startswith(NAME_PREFIX):
        return _to_own(request, name, facilities, occupied=bool(sandboxed))
    spec = mapping(document.get("spec"))
    if request.operation is Operation.DELETE or (
        request.operation is Operation.UPDATE
        and spec == mapping((request.old_document or {}).get("spec"))
    ):
        return None
    for pod, labels in sorted(sandboxed.items()):
        profile = labels[SANDBOX_LABEL]
        if opens(spec, labels, profile, _spec(profile, facilities).network_policy):
            return (
                f'the NetworkPolicy "{name}" selects the pod "{pod}", which is in the sandbox'
                f' "{profile}", and allows it traffic; add {EXCLUSION} to the matchExpressions of'
                " its podSelector"
            )
    return None


def _to_own(
    request: AdmissionRequest, name: str, facilities: Facilities, *, occupied: bool
) -> str | None:
    if request.user == facilities.installation.controller:
        return None
    if request.operation is Operation.DELETE and request.user in NAMESPACE_CONTROLLERS:
        if not occupied:
            return None
        return f'the NetworkPolicy "{name}" is kept until the last sandboxed pod is gone'
    return (
        f'the NetworkPolicy "{name}" isolates sandboxed pods, and is kept by Weighmaster\'s'
        " controller alone; change the SandboxProfile instead"
    )


def _to_selector(request: AdmissionRequest, document: Document) -> str | None:
    """A controller that selects by the label would not know its pods, and make them for ever."""
    if request.document is None or not _selects_by_label(document):
        return None
    old = request.old_document
    if request.operation is Operation.UPDATE and old is not None and _selects_by_label(old):
        return None
    return f"spec.selector must not mention {SANDBOX_LABEL}, which Weighmaster sets on pods"


def _selects_by_label(document: Document) -> bool:
    selector = at(document, "spec", "selector")
    if type(selector) is not dict:
        return False
    keys = [text(mapping(each).get("key")) for each in items(selector.get("matchExpressions"))]
    return SANDBOX_LABEL in (*selector, *mapping(selector.get("matchLabels")), *keys)


def _confined(pod: Document, profile: str, facilities: Facilities) -> Confined:
    return confine(pod, profile, _spec(profile, facilities), ())


def _spec(profile: str, facilities: Facilities) -> SandboxProfileSpec:
    """The profile; one that is gone or cannot be used lets nobody in and nothing out."""
    found = facilities.profiles.get(profile)
    return found.spec if found is not None and found.spec is not None else _STRICTEST


_STRICTEST = SandboxProfileSpec(network_policy=NetworkRules())


def _is_pod(document: Document) -> bool:
    return document.get("kind") == "Pod" and document.get("apiVersion") == "v1"


def _labels(document: Document) -> Mapping[str, Any]:
    return mapping(mapping(document.get("metadata")).get("labels"))


def _marks(document: Document) -> dict[str, Any]:
    annotations = mapping(mapping(document.get("metadata")).get("annotations"))
    return {key: annotations[key] for key in MARKS if key in annotations}


def _debuggers(document: Document) -> list[Any]:
    return items(mapping(document.get("spec")).get("ephemeralContainers"))
