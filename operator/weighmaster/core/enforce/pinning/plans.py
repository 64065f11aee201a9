"""Plans: the edits that write the pinned form of one model use into its object."""

from collections.abc import Mapping

from weighmaster.core.detect.kinds import kserve
from weighmaster.core.detect.pods import CONTAINER_LISTS
from weighmaster.core.enforce.pinning import code, fields, lines, yamltext
from weighmaster.core.enforce.pinning.edits import Edit, Insert, Put, Splice
from weighmaster.core.enforce.pinning.forms import form_of
from weighmaster.core.enforce.pinning.lines import Asked
from weighmaster.core.enforce.pinning.places import Keys, at, parse, text_at, words_at
from weighmaster.core.values import ModelReference, ModelUse

Document = Mapping[str, object]

_OF_CONTAINER = frozenset({"command", "args", "env", "lifecycle"})
_EXTRA = frozenset({"VLLM_ADDITIONAL_ARGS", "VLLM_EXTRA_ARGS", "EXTRA_ARGS", "VLLM_ARGS",
                    "SGLANG_EXTRA_ARGS"})  # fmt: skip
"""Variables whose value is appended to a command line."""

_IMAGE_SCHEMES = frozenset({"oci", "image-embedded"})
_MODELPACK = "model.csi.modelpack.org/reference"


def plan(document: Document, use: ModelUse, pinned: ModelReference) -> list[Edit] | None:
    """The edits for one use; none if there is no form to write it in.

    Empty where the field does not name the model itself, but something that another use names.
    """
    path = parse(use.path)
    revision = pinned.revision
    if path is None or revision is None:
        return None
    if use.reference.scheme in _IMAGE_SCHEMES:
        return _image(document, path, use, revision)
    if use.reference.scheme != "hf":
        return None
    value = text_at(document, path)
    form = form_of(use.process.runtime, use.role, use.reason)
    found = Asked(use, form, revision) if form is not None else None
    in_kind = fields.in_field(document, path, found or Asked(use, lines.PLAIN, revision))
    if in_kind is not None:
        return in_kind
    if value is None:
        return None
    if _is_elsewhere(document, path, value, use):
        return []
    if use.reason in code.CALLS:
        return code.in_call(value, path, Asked(use, lines.PLAIN, revision))
    if path[-2:] == ("spec", "serveConfigV2"):
        return yamltext.in_yaml(value, path, Asked(use, lines.PLAIN, revision))
    if path[-1] == kserve.SOURCE or (
        path[-1] == "value" and _variable(document, path) == "STORAGE_URI"
    ):
        return fields.in_address(document, path, ":", Asked(use, lines.PLAIN, revision))
    return _in_container(document, path, value, found) if found is not None else None


def told(edits: list[Edit]) -> str:
    """What edits write, for a person."""
    for edit in edits:
        if isinstance(edit, Insert):
            item = edit.items[0]
            return f"{item['name']}={item['value']}" if isinstance(item, dict) else str(item)
        if isinstance(edit, Put):
            value = edit.value[0] if isinstance(edit.value, list) else edit.value
            return str(value) if isinstance(edit.value, list) else f"{edit.key}: {value}"
        return edit.text.strip(" ,\n")
    return ""


def _in_container(document: Document, path: Keys, value: str, asked: Asked) -> list[Edit] | None:
    """Edits of what a container runs: its variables, its words, its scripts."""
    form = asked.form
    if path[-1] == "value" and "env" in path:
        return _by_variable(document, path, value, asked)
    if form.member is not None and "{" in value:
        return code.in_document(value, path, asked)
    if form.suffix == ":":
        return fields.in_address(document, path, ":", asked)
    if form.suffix is not None:
        return fields.in_entry(value, path, asked)
    if any(character.isspace() for character in value.strip()) or path == ("spec", "entrypoint"):
        if not is_plain_to_the_shell(document, path, value):
            return None
        return lines.in_script(value, path, asked)
    if asked.use.process.runtime == "download":  # whose path is that of its first word
        named = _words(document, path, asked.repository)
        return lines.in_words(document, named[0], asked) if named else None
    return lines.in_words(document, path, asked)


def _by_variable(document: Document, path: Keys, value: str, asked: Asked) -> list[Edit] | None:
    form, name = asked.form, _variable(document, path)
    if form.suffix is not None:
        return fields.in_entry(value, path, asked)
    if name in _EXTRA and form.options:
        if any(option.lstrip("-") in value for option in form.options):
            return None
        words = " ".join(asked.words(form.options))
        return [Splice(path, len(value), len(value), f" {words}")]
    if form.variable is None:
        return None
    holder = path[:-3]
    places = [(*holder, "command"), (*holder, "args")]
    edits, _ = lines.replaced(document, places, asked)
    if edits is None or edits:
        return edits
    variables = at(document, path[:-2])
    if not isinstance(variables, list):
        return None
    for index, variable in enumerate(variables):
        if isinstance(variable, dict) and variable.get("name") == form.variable:
            given = variable.get("value")
            if not isinstance(given, str):
                return None
            return [Splice((*path[:-2], index, "value"), 0, len(given), asked.revision)]
    made = {"name": form.variable, "value": asked.revision}
    return [Insert(path[:-2], len(variables), (made,))]


def _image(document: Document, path: Keys, use: ModelUse, digest: str) -> list[Edit] | None:
    """Edits of an image's name: in the field, in the container, or in the volume that it names."""
    reference = use.reference
    image = reference.canonical.partition(":")[2].removeprefix("//").partition("@")[0]
    if reference.scheme == "image-embedded":
        return _in_text(document, _image_of(path), image.partition("#")[0], digest)
    if isinstance(at(document, path), Mapping):
        path = (*path, "uri")
    found = _in_text(document, path, image, digest)
    if found is not None or not isinstance(path[-1], int):
        return found
    places = (*_volumes(document, path), *_words(document, path, image))
    return [edit for place in places for edit in _in_text(document, place, image, digest) or ()]


def _in_text(document: Document, path: Keys, image: str, digest: str) -> list[Edit] | None:
    value = text_at(document, path)
    return fields.in_image(value, path, image, digest) if value is not None else None


def _volumes(document: Document, path: Keys) -> list[Keys]:
    """Where the volumes of the pod that a path leads into name images."""
    depth = next((n for n, key in enumerate(path) if key in CONTAINER_LISTS), None)
    if depth is None:
        return []
    holder: Keys = (*path[:depth], "volumes")
    volumes = at(document, holder)
    return [
        (*holder, index, *inner)
        for index, volume in enumerate(volumes if isinstance(volumes, list) else ())
        if isinstance(volume, Mapping)
        for inner in (("image", "reference"), ("csi", "volumeAttributes", _MODELPACK))
    ]


def _words(document: Document, path: Keys, name: str) -> list[Keys]:
    """Where the command line that has a word at ``path`` has the word ``name`` behind it."""
    start = path[-1]
    words = words_at(document, path[:-1])
    found = [
        (*path[:-1], index)
        for index, word in enumerate(words)
        if isinstance(start, int) and index >= start and name in (word, word.partition("=")[2])
    ]
    return found if len(found) == 1 else []


def _image_of(path: Keys) -> Keys:
    """Where the image of the container stands that a path leads into."""
    for depth in range(len(path) - 1, 0, -1):
        if path[depth] in _OF_CONTAINER:
            return (*path[:depth], "image")
    return path


def _is_elsewhere(document: Document, path: Keys, value: str, use: ModelUse) -> bool:
    """Whether the field only stands for another one that names the model.

    A path does, an image does, and so does every field of another container: it is what put the
    model where this one reads it.
    """
    if path[-1] == "image":
        return True
    depth = next((n for n, key in enumerate(path) if key in _OF_CONTAINER), None)
    container = at(document, path[:depth]) if depth is not None else None
    if isinstance(container, Mapping) and use.process.container not in (
        None,
        container.get("name"),
    ):
        return True
    named = value.partition("=")[2] or value
    return named.startswith("/") and not any(character.isspace() for character in value)


def _variable(document: Document, path: Keys) -> str:
    return str(at(document, (*path[:-1], "name")))


_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=@,+- ")
"""Characters that mean the same whatever quotes are around them."""


def is_plain_to_the_shell(document: Document, path: Keys, script: str) -> bool:
    """Whether what the kubelet puts into a script (``$(NAME)``) leaves its quotes as they are."""
    if "$(" not in script:
        return True
    holder = path[:-2]
    if "lifecycle" in holder:
        holder = holder[: holder.index("lifecycle")]
    variables = at(document, (*holder, "env"))
    if at(document, (*holder, "envFrom")) is not None:
        return False
    for variable in variables if isinstance(variables, list) else []:
        if not isinstance(variable, dict) or f"$({variable.get('name')})" not in script:
            continue
        value = variable.get("value")
        if not isinstance(value, str) or not _SAFE.issuperset(value):
            return False
    return True
