"""Keeping: what updates of a pod whose bytes are verified may not change.

It looks at the pod and not at policies, so it also holds when these have changed since.
"""

from collections.abc import Mapping
from typing import Any

from weighmaster.core import mounted, staged
from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.enforce.verification.injection import LABEL, read_only
from weighmaster.core.enforce.verification.members import EPHEMERAL, INIT, Member, same_bytes
from weighmaster.core.request import AdmissionRequest, Document, Operation

_OURS = (mounted.CONTAINER, staged.CONTAINER)


def protect_from_debuggers(request: AdmissionRequest, document: Document | None) -> Document | None:
    """The object with what is verified read-only for its ephemeral containers."""
    if document is None or request.subresource != "ephemeralcontainers":
        return document
    volumes = _volumes(document)
    if not volumes:
        return document
    spec = mapping(document.get("spec"))
    listed = items(spec.get(EPHEMERAL))
    made = [read_only(each, volumes) for each in listed]
    return document if made == listed else {**document, "spec": {**spec, EPHEMERAL: made}}


def weakening(request: AdmissionRequest) -> str | None:
    """Why an update may not be: it would undo the verification of a pod. None for any other."""
    old, new = request.old_document, request.document
    if request.operation is not Operation.UPDATE or old is None or new is None:
        return None
    volumes = _volumes(old)
    if not volumes:
        return None
    if _label(new) != _label(old):
        return f"the label {LABEL} of a pod stays, since Weighmaster watches such pods"
    for name in _OURS:
        if _named(old, name) != _named(new, name):
            return f"the init container {name} of a pod stays as it is"
    before = items(mapping(old.get("spec")).get(EPHEMERAL))
    for index, container in enumerate(items(mapping(new.get("spec")).get(EPHEMERAL))):
        member = Member(mapping(container), EPHEMERAL, index)
        if container not in before and (member.writes(volumes) or member.passes_mounts_by):
            return (
                f"{member.path} could change weights that were verified; mount them read-only, and"
                " without privileges"
            )
    return None


def _volumes(pod: Document) -> frozenset[str]:
    """The volumes of a pod that were verified; none for a pod without verification."""
    if pod.get("kind") != "Pod" or pod.get("apiVersion") != "v1" or _label(pod) is None:
        return frozenset()
    spec = mapping(pod.get("spec"))
    named = frozenset(
        text(mapping(mount).get("name"))
        for container in _own(pod)
        for mount in items(mapping(container).get("volumeMounts"))
    )
    return same_bytes(spec, named)


def _own(pod: Document) -> list[Json]:
    return [container for name in _OURS for container in _named(pod, name)]


def _named(pod: Document, name: str) -> list[Json]:
    spec: Mapping[str, Any] = mapping(pod.get("spec"))
    return [each for each in items(spec.get(INIT)) if mapping(each).get("name") == name]


def _label(pod: Document) -> Json:
    return mapping(mapping(pod.get("metadata")).get("labels")).get(LABEL)
