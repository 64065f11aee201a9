"""What concerns a sandboxed pod as a whole."""

from collections.abc import Sequence

from weighmaster.api.v1alpha1.sandbox import SandboxProfileSpec, Toleration, seconds_of
from weighmaster.core.enforce.confinement.containers import harden_options
from weighmaster.core.enforce.confinement.draft import Draft, Json, part
from weighmaster.core.enforce.confinement.marks import MARKS
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL

_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
NETWORKS = frozenset(
    {
        "k8s.v1.cni.cncf.io/networks",
        "v1.multus-cni.io/default-network",
        "networking.gke.io/interfaces",
        "k8s.ovn.org/open-default-ports",
    }
)
"""Annotations that give a pod network interfaces or ports that no NetworkPolicy covers."""


def confine_pod(draft: Draft, profile: str, spec: SandboxProfileSpec) -> None:
    """Mark the pod, take it off its node's namespaces, and place it where the profile says."""
    _mark(draft, profile)
    pod = draft.spec
    pod["automountServiceAccountToken"] = False
    for name in _HOST_NAMESPACES:
        if pod.get(name):
            del pod[name]
    _harden(draft, spec.run_as_user)
    if spec.ttl is not None:
        ttl, now = seconds_of(spec.ttl), pod.get("activeDeadlineSeconds")
        pod["activeDeadlineSeconds"] = ttl if now is None else min(ttl, now)
    if spec.runtime_class_name is not None and (
        pod.get("runtimeClassName") != spec.runtime_class_name
    ):
        pod["runtimeClassName"] = spec.runtime_class_name
        pod.pop("overhead", None)  # the other class's; the API server sets the right one
    if spec.node_selector:
        pod["nodeSelector"] = {**(pod.get("nodeSelector") or {}), **spec.node_selector}
    _tolerate(pod, spec.tolerations)
    if (pod.get("os") or {}).get("name") == "windows":
        draft.refuse("spec.os", "is Windows, which has no such confinement")
    if pod.get("nodeName"):
        draft.refuse(
            "spec.nodeName",
            "puts the pod on a node past the scheduler, and past the profile; use a nodeSelector",
        )


def _mark(draft: Draft, profile: str) -> None:
    labels = part(draft.metadata, "labels")
    claimed = labels.get(SANDBOX_LABEL)
    if claimed is not None and claimed != profile:
        # Its owner may select by it, and would make new pods for ever if it were changed.
        draft.refuse(
            f"metadata.labels['{SANDBOX_LABEL}']",
            f'is "{claimed}" but would have to be "{profile}"; remove it, Weighmaster sets it',
        )
    labels[SANDBOX_LABEL] = profile
    annotations = draft.metadata.get("annotations") or {}
    for key in list(annotations):
        if key in MARKS or (key.startswith(_APPARMOR) and annotations[key] == "unconfined"):
            del annotations[key]
        elif key in NETWORKS:
            draft.refuse(
                f"metadata.annotations['{key}']", "gives the pod a network outside NetworkPolicies"
            )


def _harden(draft: Draft, user: int) -> None:
    security = part(draft.spec, "securityContext")
    security["runAsNonRoot"] = True
    if not security.get("runAsUser"):
        security["runAsUser"] = user
    if not security.get("seccompProfile"):
        security["seccompProfile"] = {"type": "RuntimeDefault"}
    security.pop("sysctls", None)
    harden_options(security)


def _tolerate(pod: Json, tolerations: Sequence[Toleration]) -> None:
    present = pod.get("tolerations") or []
    missing = [made for made in map(_toleration, tolerations) if made not in present]
    if missing:
        pod["tolerations"] = [*present, *missing]


def _toleration(toleration: Toleration) -> Json:
    """A toleration as the API server writes it: nothing that is empty."""
    made: Json = {
        "key": toleration.key,
        "operator": toleration.operator.value,
        "value": toleration.value,
        "effect": toleration.effect.value if toleration.effect is not None else "",
    }
    if toleration.toleration_seconds is not None:
        made["tolerationSeconds"] = toleration.toleration_seconds
    return {key: value for key, value in made.items() if value != ""}
