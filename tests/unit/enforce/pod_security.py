"""The restricted Pod Security Standard, written down from its page, and the API server's defaults.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ at version 1.36. The end-to-end
tests ask the real one; this one can be asked a thousand times.
"""

import copy
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

LISTS = ("initContainers", "containers", "ephemeralContainers")
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def containers(pod: Json) -> Iterator[Json]:
    """Every container of every list."""
    for name in LISTS:
        yield from pod["spec"].get(name) or ()


def violations(pod: Json) -> list[str]:
    """The controls of the standard, baseline included, that a pod violates."""
    return sorted({*_of_pod(pod), *_of_contexts(pod), *_of_containers(pod)})


def _of_pod(pod: Json) -> Iterator[str]:
    spec = pod["spec"]
    if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "host namespaces"
    for volume in spec.get("volumes") or ():
        if not set(volume) - {"name"} <= VOLUMES:
            yield "volume types"
        if "hostPath" in volume:
            yield "hostPath volumes"
    for key, value in (pod["metadata"].get("annotations") or {}).items():
        if key.startswith(APPARMOR) and not value.startswith(("runtime/default", "localhost/")):
            yield "AppArmor"
    security = spec.get("securityContext") or {}
    if security.get("sysctls"):
        yield "sysctls"
    if security.get("runAsUser") == 0:
        yield "running as non-root user"


def _of_contexts(pod: Json) -> Iterator[str]:
    contexts = [pod["spec"].get("securityContext") or {}]
    contexts += [container.get("securityContext") or {} for container in containers(pod)]
    for context in contexts:
        selinux = context.get("seLinuxOptions") or {}
        if selinux.get("type", "") not in SELINUX or selinux.get("user") or selinux.get("role"):
            yield "SELinux"
        if (context.get("appArmorProfile") or {}).get("type") == "Unconfined":
            yield "AppArmor"
        if (context.get("windowsOptions") or {}).get("hostProcess"):
            yield "HostProcess"


def _of_containers(pod: Json) -> Iterator[str]:
    of_pod = pod["spec"].get("securityContext") or {}
    for container in containers(pod):
        context = container.get("securityContext") or {}
        capabilities = context.get("capabilities") or {}
        if context.get("privileged"):
            yield "privileged containers"
        if "ALL" not in (capabilities.get("drop") or ()):
            yield "capabilities"
        if set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
            yield "capabilities"
        if context.get("procMount", "Default") != "Default":
            yield "/proc mount type"
        if context.get("allowPrivilegeEscalation") is not False:
            yield "privilege escalation"
        if context.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is not True:
            yield "running as non-root"
        if context.get("runAsUser") == 0:
            yield "running as non-root user"
        profile = context.get("seccompProfile") or of_pod.get("seccompProfile") or {}
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccomp"
        yield from _of_openings(container)


def _of_openings(container: Json) -> Iterator[str]:
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield "host ports"
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(f"{name}Probe") for name in ("liveness", "readiness", "startup")]
    for handler in (*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            if ((handler or {}).get(kind) or {}).get("host"):
                yield "host probes and lifecycle hooks"


def stored(pod: Json) -> Json:
    """A pod as the API server hands it on: without what is empty, and with its defaults."""
    made = copy.deepcopy(pod)
    for container in containers(made):
        resources = container.get("resources") or {}
        if limits := resources.get("limits"):
            container["resources"]["requests"] = {**limits, **(resources.get("requests") or {})}
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
            if made["spec"].get("hostNetwork"):
                port.setdefault("hostPort", port["containerPort"])
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("imagePullPolicy", "IfNotPresent")
    for volume in made["spec"].get("volumes") or ():
        if set(volume) == {"name"}:
            volume["emptyDir"] = {}
        if "hostPath" in volume:
            volume["hostPath"].setdefault("type", "")
    made["spec"].setdefault("securityContext", {})
    made["spec"].setdefault("restartPolicy", "Always")
    made["spec"].setdefault("dnsPolicy", "ClusterFirst")
    found: Json = _without_empty(made, ())
    return found


_KEPT_EMPTY = frozenset({"emptyDir", "securityContext", "windowsOptions", "seLinuxOptions"})
"""Pointers to structs, which may be empty; lists, maps and false values are left out."""
_POINTERS = frozenset(
    {"privileged", "allowPrivilegeEscalation", "readOnlyRootFilesystem", "runAsNonRoot"}
    | {"automountServiceAccountToken", "hostUsers", "runAsUser", "optional", "hostProcess"}
)


def _without_empty(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_without_empty(inner, path) for inner in value]
    if not isinstance(value, dict):
        return value
    kept: Json = {}
    for key, inner in value.items():
        cleaned = _without_empty(inner, (*path, key))
        if cleaned is None or (cleaned in ({}, []) and key not in _KEPT_EMPTY):
            continue
        if cleaned in (False, "") and type(cleaned) is not int and key not in _POINTERS:
            continue
        kept[key] = cleaned
    return kept
