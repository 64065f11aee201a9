"""Policies from files: for the command line, and for a webhook that runs without a cluster."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import API_VERSION, RESOURCES, VERSION, ModelRecord
from weighmaster.cluster.sandboxes import NETWORK_POLICIES, SANDBOXED_PODS, SandboxStore
from weighmaster.cluster.store import KINDS, NAMESPACES, PolicyStore
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.installation import LOCAL, Installation
from weighmaster.core.statements import with_statement
from weighmaster.errors import PolicyError
from weighmaster.manifests import Document, read_files

_OURS = frozenset(resource.names.kind for resource in RESOURCES)


class FileStore:
    """Policies, publishers, exceptions and namespaces read from files, once."""

    def __init__(
        self,
        paths: Iterable[Path],
        around: Iterable[Mapping[str, Any]] = (),
        *,
        isolating: bool = False,
        installation: Installation = LOCAL,
    ) -> None:
        """Read them, and take namespaces and NetworkPolicies from ``around``.

        ``isolating`` takes the NetworkPolicies of sandboxes for granted. Otherwise, since nobody
        makes them, nothing can run in a sandbox. Raises PolicyError for what cannot be used, which
        is stricter than a cluster's store: whoever has just written a file is there to mend it.
        """
        self._store = PolicyStore(installation)
        sandboxes = SandboxStore()
        for given in around:
            _ = add_document(self._store, given) or add_to_cluster(sandboxes, given)
        self._cluster = structs.replace(sandboxes.cluster(), isolating=True) if isolating else None
        policies = 0
        for document in read_files(str(path) for path in paths):
            policies += _take(self._store, document)
        if not policies:
            raise PolicyError("there is no policy in the given files")
        _require_usable(self._store.snapshot())

    def snapshot(self) -> Snapshot:
        """The policies of the files."""
        snapshot = self._store.snapshot()
        return snapshot if self._cluster is None else snapshot.within(self._cluster)


def add_document(store: PolicyStore, document: Mapping[str, Any]) -> bool:
    """Put a policy, publisher, exception or namespace into a store; false for anything else."""
    kind, version = document.get("kind"), document.get("apiVersion")
    if version == API_VERSION and isinstance(kind, str) and kind in KINDS:
        store.update(KINDS[kind], dict(document))
    elif version == "v1" and kind == "Namespace":
        store.update(NAMESPACES, dict(document))
    else:
        return False
    return True


def add_to_cluster(store: SandboxStore, document: Mapping[str, Any]) -> bool:
    """Put a NetworkPolicy or a sandboxed pod into a store; false for anything else."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if version == "networking.k8s.io/v1" and kind == "NetworkPolicy":
        store.update(NETWORK_POLICIES.name, dict(document))
    elif version == "v1" and kind == "Pod" and SANDBOX_LABEL in read_metadata(document).labels:
        store.update(SANDBOXED_PODS.name, dict(document))
    else:
        return False
    return True


def is_unicode(value: object) -> bool:
    """Whether a document can be written down at all: JSON may spell half a surrogate pair."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    except (RecursionError, OverflowError, TypeError):
        return True
    return True


def _take(store: PolicyStore, document: Document) -> bool:
    """Add one document; whether it is a policy. Documents of other people's kinds are passed by."""
    if document.error is not None:
        raise PolicyError(str(document.error))
    where = f"{document.file}:{document.line}"
    value = document.value
    if value is None:
        return False
    if not is_unicode(value):
        raise PolicyError(f"{where}: half a surrogate pair is no text")
    if not isinstance(value, dict):
        raise PolicyError(f"{where}: not a Kubernetes object")
    items = value.get("items")
    if str(value.get("kind")).endswith("List") and isinstance(items, list):
        parts = [Document(document.file, document.index, document.line, item) for item in items]
        return bool(sum(_take(store, part) for part in parts))
    version, kind = str(value.get("apiVersion")), str(value.get("kind"))
    if version.startswith(f"{GROUP}/") and (version != API_VERSION or kind not in _OURS):
        raise PolicyError(f"{where}: there is no {kind} in {version}, only in {GROUP}/{VERSION}")
    if version == API_VERSION and document.warnings:
        raise PolicyError(f"{where}: {document.warnings[0]}")
    if version == API_VERSION and kind == ModelRecord.names.kind:
        value = with_statement(value, datetime.now(UTC))
    return add_document(store, value) and kind in ("ClusterModelPolicy", "ModelPolicy")


def _require_usable(snapshot: Snapshot) -> None:
    for policy in snapshot.policies:
        if policy.problem:
            raise PolicyError(f'{policy.key.kind} "{policy.key}": {policy.problem}')
    for problem in snapshot.problems:
        raise PolicyError(problem)
