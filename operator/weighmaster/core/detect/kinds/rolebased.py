"""RoleBasedGroup: roles whose pods are a shared template and a patch on it."""

from collections.abc import Iterator, Mapping

from weighmaster.core import references
from weighmaster.core.detect import pods
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Plan
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import Process, Role

GROUP = "workloads.x-k8s.io"
_PATTERNS = ("standalonePattern", "leaderWorkerPattern", "customComponentsPattern")
_PATCHES = ("templatePatch", "leaderTemplatePatch", "workerTemplatePatch")
_JOINED = ("env", "volumeMounts", "envFrom")
MAX_MERGED = 200
"""Pods that are put together from templates and patches, and containers of each."""

_UNREAD = Process(runtime="unknown")

Spec = tuple[dict[str, Json], Path]


def group(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``RoleBasedGroup``: a template alone runs nothing, a patch alone has no image."""
    spec = mapping(document.get("spec"))
    templates = {
        text(mapping(entry).get("name")): (
            mapping(at(entry, "template", "spec")),
            below(None, "spec", "roleTemplates", index, "template", "spec"),
        )
        for index, entry in enumerate(items(spec.get("roleTemplates")))
    }
    if not templates:
        return Plan()
    left: list[Json] = []
    merged = 0
    overflow = False
    for index, role in enumerate(items(spec.get("roles"))):
        rest = dict(mapping(role))
        here = below(None, "spec", "roles", index)
        for holder, path in _holders(rest, here):
            if overflow or sink.full:
                break
            for made, place in _pods(holder, path, templates):
                merged += _weight(made)
                if merged <= MAX_MERGED * 100 and not sink.full:
                    around = pods.around(document, None, context)
                    pods.read(pods.Pod(made, place, around, "RoleBasedGroup"), sink)
                elif not overflow:
                    overflow = True
                    reference = references.unresolved("more roles than are read")
                    sink.add(reference, Role.BASE, place, _UNREAD, "too many roles")
        left.append({key: value for key, value in rest.items() if key not in _PATCHES})
    return Plan(instead={"spec": {**spec, "roles": left, "roleTemplates": []}})


def _weight(made: dict[str, Json]) -> int:
    """How much there is to read in a pod."""
    weight = 20
    for name in pods.CONTAINER_LISTS:
        for container in items(made.get(name)):
            weight += 20 + sum(
                len(items(container.get(key))) for key in ("command", "args", "env", "volumeMounts")
            )
    return weight


def _holders(rest: dict[str, Json], path: Path) -> list[Spec]:
    """The mappings of a role that refer to a template; they are taken out of ``rest``."""
    found = []
    if type(rest.get("templateRef")) is dict:
        found.append((dict(rest), path))
        del rest["templateRef"]
    for pattern in _PATTERNS:
        value = rest.get(pattern)
        if type(value) is dict and type(value.get("templateRef")) is dict:
            found.append((value, (path, pattern)))
            del rest[pattern]
    return found


def _pods(holder: dict[str, Json], path: Path, templates: Mapping[str, Spec]) -> Iterator[Spec]:
    reference = mapping(holder["templateRef"])
    base = templates.get(text(reference.get("name")))
    if base is None:
        return
    patches: list[Spec] = [(mapping(reference.get("patch")), below(path, "templateRef", "patch"))]
    patches += [(holder[key], (path, key)) for key in _PATCHES if type(holder.get(key)) is dict]
    for patch, place in patches:
        if patch or len(patches) == 1:
            yield _merge(base, (mapping(patch.get("spec")), (place, "spec")))


def _merge(base: Spec, patch: Spec) -> Spec:
    """A strategic merge, as far as detection looks; where the patch speaks, the place is there."""
    (below_, base_path), (above, patch_path) = base, patch
    made = {**below_, **above}
    named = {
        text(mapping(value).get("name")): mapping(value) for value in items(below_.get("volumes"))
    }
    for value in items(above.get("volumes")):
        named[text(mapping(value).get("name"))] = mapping(value)
    made["volumes"] = list(named.values())
    spoken = False
    for key in pods.CONTAINER_LISTS:
        merged, patched = _containers(items(below_.get(key)), items(above.get(key)))
        spoken = spoken or patched
        made[key] = merged
    return made, patch_path if spoken else base_path


def _containers(base: list[Json], patch: list[Json]) -> tuple[list[Json], bool]:
    patches = {text(mapping(value).get("name")): mapping(value) for value in patch[:MAX_MERGED]}
    known = {text(mapping(value).get("name")): mapping(value) for value in base[:MAX_MERGED]}
    order = [*patches, *[name for name in known if name not in patches]]
    merged: list[Json] = []
    for name in order:
        below_, above = known.get(name, {}), patches.get(name, {})
        made = {**below_, **above}
        for key in _JOINED:
            if key in below_ and key in above:
                made[key] = _joined(items(below_[key]), items(above[key]))
        merged.append(made)
    spoken = any("command" in value or "args" in value for value in patches.values())
    return merged, spoken


def _joined(base: list[Json], patch: list[Json]) -> list[Json]:
    """Entries of both; the patch wins, and stands last because it may refer to the others."""
    names = {text(mapping(value).get("name")) for value in patch}
    kept = [value for value in base if text(mapping(value).get("name")) not in names]
    return [*kept, *patch]


HANDLERS = {(GROUP, "RoleBasedGroup"): group, (GROUP, "RoleBasedGroupSet"): group}
