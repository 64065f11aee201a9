"""Detection: from one Kubernetes object to the models it would load.

    object ── kinds ──> uses that its own fields name, and how to read its pods
       └── templates ──> pod specs, at known places or by structure
              └── gate ──> most containers are done here
                     └── pods ──> commands, environment, volumes, downloads ──> uses

`detect` is pure and total: it takes any JSON value, raises on none, and its work grows linearly
with the size of the object. What serves weights that it cannot name is a use too.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from weighmaster.core import references
from weighmaster.core.detect import pods
from weighmaster.core.detect.context import EMPTY, Context
from weighmaster.core.detect.kinds import HANDLERS, kserve
from weighmaster.core.detect.kinds.plan import Plan, uri
from weighmaster.core.detect.naming import hub_url
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import mapping
from weighmaster.core.detect.sink import Sink
from weighmaster.core.detect.templates import PLACES, QUIET, Template, known, structural
from weighmaster.core.values import ModelUse, Process, Role

__all__ = ["EMPTY", "Context", "detect"]

ANNOTATION = "weighmaster.dev/model"
"""Adds references that detection cannot see, separated by commas or spaces; removes nothing."""

MAX_TEMPLATES = 5000
"""Pod templates of one object that are read; more are one use with unknown weights."""

MAX_LISTED = 1000
"""Objects of a ``List`` that are read; more are one use with unknown weights."""

_NOT_A_MODEL = re.compile(
    r"(?i)output|result|dataset|destination|log(?:s|ger|ging)?\Z|report|backup"
)

_UNREADABLE = Process(runtime="unknown")


def detect(document: Mapping[str, Any] | object, context: Context = EMPTY) -> tuple[ModelUse, ...]:
    """The models that ``document`` would load, in the order of its fields."""
    if type(document) is not dict:
        return ()
    version, kind = document.get("apiVersion"), document.get("kind")
    if type(kind) is str and kind.endswith("List") and type(document.get("items")) is list:
        return _listed(document["items"], context)
    if type(version) is not str or type(kind) is not str:
        version, kind = "", ""
    if (version, kind) in QUIET:
        return _annotated(document) if "annotations" in mapping(document.get("metadata")) else ()
    sink = Sink()
    place = PLACES.get((version, kind))
    if place is not None:
        template = known(document, place)
        if template is not None:
            _read(document, template, kind, None, context, sink)
            _annotations(template.metadata, below(None, *place[:-1], "metadata"), sink)
    else:
        group = version.partition("/")[0] if "/" in version else ""
        handler = HANDLERS.get((group, kind))
        plan = handler(document, context, sink) if handler is not None else None
        if plan is None or plan.walk:
            _walk(document, plan, kind, context, sink)
    if place is None or place[0] != "spec" or len(place) > 1:
        _annotations(document.get("metadata"), (None, "metadata"), sink)
    return tuple(sink.uses)


def _walk(
    document: dict[str, Any], plan: Plan | None, kind: str, context: Context, sink: Sink
) -> None:
    """Read what has the shape of a pod; in kinds nobody knows, fields that hold addresses too."""
    version = document.get("apiVersion")
    named: list[tuple[str, Path]] = []
    walked = document if plan is None or plan.instead is None else plan.instead
    for count, template in enumerate(structural(walked, named if plan is None else None)):
        if sink.full:
            break
        if count >= MAX_TEMPLATES:
            unread = references.unresolved(f"object of more than {MAX_TEMPLATES} pods")
            sink.add(unread, Role.BASE, template.path, _UNREADABLE, "too many pods")
            break
        _read(document, template, kind, plan, context, sink)
        _annotations(template.metadata, template.path, sink)
    training = type(version) is str and version.partition("/")[0].endswith("kubeflow.org")
    if named and not training:  # there, it may be a data set
        _fields(named, sink)


def _read(
    document: dict[str, Any], template: Template, kind: str, plan: Plan | None, context: Context,
    sink: Sink,
) -> None:  # fmt: skip
    around = pods.around(document, template.metadata, context)
    pod = pods.Pod(template.spec, template.path, around, kind)
    pod.single = template.single
    if plan is not None:
        pod.aliases = plan.aliases
        pod.hint = plan.hint
        pod.standing_in = plan.standing_in
    start = len(sink.uses)
    promised = kserve.promised(template.metadata) if kind != "Pod" else None
    if promised is not None and template.path is not None:
        path = below(template.path[0], "metadata", "annotations", kserve.SOURCE)
        sink.add(promised, Role.BASE, path, Process(runtime="kserve"), "KServe storage")
        pod.aliases = {**pod.aliases, kserve.MOUNT: promised}
    pods.read(pod, sink)
    if promised is not None:
        sink.place_later(start, promised)


def _fields(named: list[tuple[str, Path]], sink: Sink) -> None:
    """Addresses of models in the fields of a kind that nobody told us about."""
    for value, path in named:
        if sink.full:
            return
        reference = uri(value, hub="hf")
        if reference is not None and reference.known and not _is_result(path):
            role = Role.ADAPTER if "lora" in value.lower() else Role.BASE
            sink.add(reference, role, path, Process(runtime="unknown"), "address of a model")


def _is_result(path: Path) -> bool:
    """Whether a field stands below one that says where results or data go."""
    while path is not None:
        path, key = path
        if type(key) is str and _NOT_A_MODEL.search(key):
            return True
    return False


def _listed(documents: list[Any], context: Context) -> tuple[ModelUse, ...]:
    found: list[ModelUse] = []
    stack = [(f"items[{index}]", value) for index, value in enumerate(documents[:MAX_LISTED])]
    for place, value in stack:
        inner = value.get("items") if type(value) is dict else None
        if type(inner) is list and str(value.get("kind")).endswith("List"):
            room = MAX_LISTED - len(stack)
            stack.extend((f"{place}.items[{n}]", each) for n, each in enumerate(inner[:room]))
            if len(inner) > room:
                documents = documents + [None] * MAX_LISTED
            continue
        found += [
            structs.replace(use, path=f"{place}.{use.path}") for use in detect(value, context)
        ]
    if len(documents) > MAX_LISTED:
        found.append(
            ModelUse(
                reference=references.unresolved(f"list of more than {MAX_LISTED} objects"),
                role=Role.BASE, path="items", process=_UNREADABLE, reason="too many objects",
            )
        )  # fmt: skip
    return tuple(found)


def _annotated(document: dict[str, Any]) -> tuple[ModelUse, ...]:
    sink = Sink()
    _annotations(document.get("metadata"), (None, "metadata"), sink)
    return tuple(sink.uses)


def _annotations(metadata: Any, path: Path, sink: Sink) -> None:
    annotations = metadata.get("annotations") if type(metadata) is dict else None
    value = annotations.get(ANNOTATION) if type(annotations) is dict else None
    if type(value) is not str:
        return
    here = below(path, "annotations", ANNOTATION)
    for word in value[:20_000].replace(",", " ").split():
        if references.is_repository_name(word):
            reference = references.hugging_face(word)
        else:
            reference = hub_url(word) or references.parse(word)
        sink.add(reference, Role.BASE, here, Process(runtime="annotation"), "annotation")
