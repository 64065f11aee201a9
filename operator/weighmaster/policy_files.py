"""Policies from files: for the command line, and for a webhook that runs without a cluster."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from weighmaster.api.v1alpha1 import API_VERSION
from weighmaster.cluster.store import KINDS, NAMESPACES, PolicyStore
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.errors import PolicyError


def add_document(store: PolicyStore, document: Mapping[str, Any]) -> bool:
    """Put a policy, publisher, exception or namespace into a store; false for anything else."""
    kind, version = document.get("kind"), document.get("apiVersion")
    if version == API_VERSION and kind in KINDS:
        store.update(KINDS[kind], dict(document))
    elif version == "v1" and kind == "Namespace":
        store.update(NAMESPACES, dict(document))
    else:
        return False
    return True
