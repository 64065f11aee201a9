"""Fields of custom resources, and addresses anywhere: how a revision or a digest is written there.

- KServe (``kserve_storage``): ``hf://org/name:revision``, in every field and variable that its
  storage initializer reads.
- OME: ``hf://org/name@revision``.
- NIMCache ``spec.source.hf.revision`` and llmaz ``spec.source.modelHub.revision`` beside the name.
- KubeAI hands ``spec.args`` on to vLLM, behind the model's name, unless it caches the model itself.
- Image names: ``name:tag@sha256:...``, of which container runtimes use the digest.
"""

import re
from collections.abc import Mapping

from weighmaster.core.enforce.pinning.edits import Edit, Insert, Put, Splice
from weighmaster.core.enforce.pinning.lines import Asked, replaced
from weighmaster.core.enforce.pinning.places import Keys, at, text_at

_KSERVE = "serving.kserve.io"
_CACHED = "internal.serving.kserve.io/localmodel"
_SIBLINGS: dict[tuple[str, str], Keys] = {
    ("apps.nvidia.com", "NIMCache"): ("spec", "source", "hf"),
    ("llmaz.io", "OpenModel"): ("spec", "source", "modelHub"),
}
"""Mappings that have the model's name and a member ``revision``."""

_IMAGE_END = r"(?=[\s\"'\\;&|)<>#]|\Z)"


def in_field(document: Mapping[str, object], path: Keys, asked: Asked) -> list[Edit] | None:
    """Edits of a field that the object's kind has for a model; None where there is no form."""
    group = str(document.get("apiVersion")).partition("/")[0]
    kind = str(document.get("kind"))
    sibling = _SIBLINGS.get((group, kind))
    if sibling is not None and path[:-1] == sibling:
        return [Put(sibling, "revision", asked.revision)]
    if group == "kubeai.org" and path == ("spec", "url"):
        return _kubeai(document, asked)
    if group == _KSERVE:
        return None if is_cached(document) else in_address(document, path, ":", asked)
    if group == "ome.io":
        return in_address(document, path, "@", asked)
    return None


def is_cached(document: Mapping[str, object]) -> bool:
    """Whether KServe's defaulter has found a cache on nodes for the very address that is there.

    Its pod webhook looks for the folder by what follows the cached address, so a revision that is
    written behind it would have pods look where nothing is (``InjectStorageInitializer``).
    """
    labels = at(document, ("metadata", "labels"))
    return isinstance(labels, Mapping) and _CACHED in labels


def in_address(document: object, path: Keys, separator: str, asked: Asked) -> list[Edit] | None:
    """Edits of ``hf://org/name``, alone in its field."""
    if isinstance(at(document, path), Mapping):
        path = (*path, "uri")
    text = text_at(document, path)
    name = f"hf://{asked.repository}"
    if text is None or not text.startswith(name):
        return None
    rest = text[len(name) :]
    if rest and not re.fullmatch(rf"{separator}[\w./-]+", rest):
        return None
    return [Splice(path, len(name), len(text), f"{separator}{asked.revision}")]


def in_entry(text: str, path: Keys, asked: Asked) -> list[Edit] | None:
    """Edits of a list of names, separated by commas, that has the model's name in it once."""
    entry = re.compile(
        rf"(?:(?<=\A)|(?<=[,=\s])){re.escape(asked.repository)}(?P<revision>@[\w./-]+)?(?=,|\s|\Z)"
    )
    found = list(entry.finditer(text))
    if len(found) != 1:
        return None
    start = found[0].start() + len(asked.repository)
    return [Splice(path, start, found[0].end(), f"{asked.form.suffix}{asked.revision}")]


def in_image(text: str, path: Keys, image: str, digest: str) -> list[Edit] | None:
    """Edits of an image's name in a field or a line that has it once, with a digest or without."""
    named = re.compile(rf"{re.escape(image)}(?P<digest>@sha256:[0-9a-f]{{64}})?{_IMAGE_END}")
    found = list(named.finditer(text))
    if len(found) != 1:
        return None
    start = found[0].start() + len(image)
    return [Splice(path, start, found[0].end(), f"@{digest}")]


def _kubeai(document: Mapping[str, object], asked: Asked) -> list[Edit] | None:
    spec = at(document, ("spec",))
    if spec.get("engine", "VLLM") != "VLLM" or "cacheProfile" in spec:
        return None
    place: Keys = ("spec", "args")
    arguments = spec.get("args")
    if arguments is None:
        return [Put(("spec",), "args", list(asked.words(asked.form.options)))]
    edits, missing = replaced(document, [place], asked)
    if edits is None or not isinstance(arguments, list):
        return None
    if missing:
        edits.append(Insert(place, len(arguments), asked.words(missing)))
    return edits
