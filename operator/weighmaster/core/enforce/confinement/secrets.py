"""Secrets of a sandboxed pod: refused, or stripped, as the profile says.

What the API server's ServiceAccount plugin has mounted for the pod is always removed; it runs
before webhooks, and asks for nothing that anybody wrote.
"""

from weighmaster.core.enforce.confinement.draft import Draft, Json, keep
from weighmaster.core.reasons import Reason

ADVICE = (
    "remove it, or have the profile strip secrets; sandboxed pods run models that nobody has vetted"
)

_TOKEN_VOLUME = "kube-api-access-"  # noqa: S105 - the beginning of a name
_CREDENTIALS = ("secret", "serviceAccountToken", "podCertificate")
"""Sources of projected volumes that are secrets."""

_SECRET_DRIVERS = frozenset({"secrets-store.csi.k8s.io"})


class Secrets:
    """Takes secrets out of a pod."""

    def __init__(self, draft: Draft, *, strip: bool) -> None:
        self._draft = draft
        self._strip = strip

    def remove(self) -> None:
        """Take service account tokens out, and secrets or else refuse them."""
        self._remove_volumes()
        for container, path in self._draft.containers():
            self._remove_variables(container, path)

    def _remove_volumes(self) -> None:
        kept, gone = [], set()
        for index, volume in enumerate(self._draft.spec.get("volumes") or ()):
            if _is_injected(volume) or self._is_gone(volume, f"spec.volumes[{index}]"):
                gone.add(volume.get("name"))
            else:
                kept.append(volume)
        if not gone:
            return
        keep(self._draft.spec, "volumes", kept)
        for container, _ in self._draft.containers():
            mounts = container.get("volumeMounts") or []
            left = [mount for mount in mounts if mount.get("name") not in gone]
            if len(left) < len(mounts):
                keep(container, "volumeMounts", left)

    def _is_gone(self, volume: Json, path: str) -> bool:
        """Whether nothing is left of a volume without its secrets."""
        if volume.get("secret") is not None:
            return self._found(f"{path}.secret")
        csi = volume.get("csi")
        if csi is not None and csi.get("driver") in _SECRET_DRIVERS:
            return self._found(f"{path}.csi")
        projected = volume.get("projected") or {}
        sources = projected.get("sources") or []
        kept = [
            source
            for index, source in enumerate(sources)
            if not any(
                source.get(kind) is not None
                and self._found(f"{path}.projected.sources[{index}].{kind}")
                for kind in _CREDENTIALS
            )
        ]
        if len(kept) < len(sources):
            keep(projected, "sources", kept)
        return bool(sources) and not kept

    def _remove_variables(self, container: Json, path: str) -> None:
        for key, is_secret, source in (
            ("env", _is_secret_variable, "valueFrom.secretKeyRef"),
            ("envFrom", _is_secret_source, "secretRef"),
        ):
            entries = container.get(key) or []
            kept = [
                entry
                for index, entry in enumerate(entries)
                if not (is_secret(entry) and self._found(f"{path}.{key}[{index}].{source}"))
            ]
            if len(kept) < len(entries):
                keep(container, key, kept)

    def _found(self, path: str) -> bool:
        """Whether a secret is to be stripped; else it is refused."""
        if not self._strip:
            self._draft.refuse(path, f"is a secret; {ADVICE}", Reason.SANDBOX_SECRETS)
        return self._strip


def _is_injected(volume: Json) -> bool:
    """Whether the API server's own plugin made a volume (plugin/pkg/admission/serviceaccount)."""
    if not str(volume.get("name")).startswith(_TOKEN_VOLUME):
        return False
    sources = (volume.get("projected") or {}).get("sources") or []
    return any(source.get("serviceAccountToken") is not None for source in sources)


def _is_secret_variable(entry: Json) -> bool:
    return (entry.get("valueFrom") or {}).get("secretKeyRef") is not None


def _is_secret_source(entry: Json) -> bool:
    return entry.get("secretRef") is not None
