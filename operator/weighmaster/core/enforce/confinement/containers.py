"""Containers of a sandboxed pod, as the restricted Pod Security Standard wants them, and stricter.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Sequence
from posixpath import normpath

from weighmaster.api.v1alpha1.sandbox import EnvironmentVariable
from weighmaster.core.enforce.confinement.draft import Draft, Json, part
from weighmaster.core.enforce.confinement.resources import RUNNING

SCRATCH = "weighmaster-scratch"
"""The emptyDir that stands in for what containers wrote into their own root."""

_TMP = "/tmp"  # noqa: S108 - a path in containers
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_SELINUX_TYPES = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)


def confine_containers(
    draft: Draft, user: int, env: Sequence[EnvironmentVariable], injected: str = ""
) -> None:
    """Harden every container, and set the profile's variables in all but the injected one."""
    lost_root = [
        container
        for container, _ in draft.containers(RUNNING)
        if part(container, "securityContext").get("readOnlyRootFilesystem") is not True
    ]
    for container, path in draft.containers():
        _harden(part(container, "securityContext"), user)
        _close(container)
        if injected and container.get("name") == injected and path.startswith("spec.init"):
            continue
        for variable in env:
            _set(container, variable.name, variable.value)
    needed = False
    for container in lost_root:
        _set(container, "HOME", _TMP, override=False)
        needed = _give_scratch(container) or needed
    if needed:
        _add_scratch(draft)


def harden_options(security: Json) -> None:
    """The parts of a security context that pods and containers have alike."""
    if (security.get("seccompProfile") or {}).get("type") == "Unconfined":
        security["seccompProfile"] = {"type": "RuntimeDefault"}
    if (security.get("appArmorProfile") or {}).get("type") == "Unconfined":
        del security["appArmorProfile"]  # what is not said is the runtime's default
    (security.get("windowsOptions") or {}).pop("hostProcess", None)
    options = security.get("seLinuxOptions")
    if options:
        for name in ("user", "role"):
            options.pop(name, None)
        if options.get("type") not in _SELINUX_TYPES:
            options.pop("type", None)
        if not options:
            del security["seLinuxOptions"]


def _harden(security: Json, user: int) -> None:
    security["allowPrivilegeEscalation"] = False
    security["readOnlyRootFilesystem"] = True
    if security.get("privileged"):
        security["privileged"] = False
    capabilities = security.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()) or capabilities.get("add"):
        security["capabilities"] = {"drop": ["ALL"]}
    if security.get("runAsNonRoot") is False:
        security["runAsNonRoot"] = True
    if security.get("runAsUser") == 0:
        security["runAsUser"] = user
    if security.get("procMount") not in (None, "Default"):
        del security["procMount"]
    harden_options(security)


def _close(container: Json) -> None:
    """Take away ports of the node, and probes and hooks by which the node asks somebody else."""
    for port in container.get("ports") or ():
        port.pop("hostPort", None)
        port.pop("hostIP", None)
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(name) for name in _PROBES]
    for handler in (*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            ((handler or {}).get(kind) or {}).pop("host", None)


def _set(container: Json, name: str, value: str, *, override: bool = True) -> None:
    """Set a variable, in the place of all of its name. The API server writes no empty value."""
    entries = container.get("env") or []
    places = [index for index, entry in enumerate(entries) if entry.get("name") == name]
    if places and not override:
        return
    wanted = {"name": name, **({"value": value} if value else {})}
    if len(places) == 1 and entries[places[0]] in (wanted, {"name": name, "value": value}):
        return
    kept = [entry for entry in entries if entry.get("name") != name]
    at = places[0] if places else len(kept)
    container["env"] = [*kept[:at], wanted, *kept[at:]]


def _give_scratch(container: Json) -> bool:
    """Mount scratch space at /tmp, unless something is mounted there; whether it was."""
    mounts = container.get("volumeMounts") or []
    if any(normpath(mount.get("mountPath") or "") == _TMP for mount in mounts):
        return False
    mount = {"name": SCRATCH, "mountPath": _TMP, "subPath": container.get("name") or ""}
    container["volumeMounts"] = [*mounts, mount]
    return True


def _add_scratch(draft: Draft) -> None:
    for index, volume in enumerate(draft.spec.get("volumes") or ()):
        if volume.get("name") == SCRATCH:
            if any(value is not None for key, value in volume.items() if key not in _SCRATCH_KEYS):
                draft.refuse(f"spec.volumes[{index}]", f"has the name {SCRATCH}, which is taken")
            return
    draft.spec["volumes"] = [*(draft.spec.get("volumes") or ()), {"name": SCRATCH, "emptyDir": {}}]


_SCRATCH_KEYS = frozenset({"name", "emptyDir"})
