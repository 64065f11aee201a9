"""What a value in a manifest refers to."""

import re

from weighmaster.core import references
from weighmaster.core.detect.containers import Container
from weighmaster.core.detect.environment import Environment, has_variable, is_variable
from weighmaster.core.detect.volumes import Volumes, tentative
from weighmaster.core.values import ModelReference

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_SHORT_SCHEME = re.compile(
    r"(models|runs|mlflow-artifacts|azureml|hf|ollama|ngc|local):(?=[^/]|/[^/])"
)
_PLACEHOLDER = re.compile(r"[<{\[]{1,2}[^<>{}\n]{1,80}[>}\]]{1,2}\Z")
_CANONICAL = re.compile(
    r"(?:gpt2|bert|distilbert|roberta|distilroberta|albert|xlm|xlnet|t5|camembert|openai-gpt|"
    r"distilgpt2|electra|flaubert|ctrl|transfo-xl|bart|facebook-|google-)[A-Za-z0-9._-]*\Z"
)
"""Repositories of the hub's first years have no organisation in their name."""
_HUB_URL = re.compile(
    r"https://(?:www\.)?(huggingface\.co|hf\.co|modelscope\.cn|modelscope\.ai|hf-mirror\.com)/"
    r"(?:models/)?([A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*?)(?:\.git)?/?\Z"
)
_FOLDER = re.compile(r"(?:assets|models?|weights|checkpoints?|ckpts?|data|tmp|mnt|opt|home)/")
"""First parts that are folders of the working directory; nobody publishes under these names."""
_TAGGED = re.compile(r"([\w.-]+/[\w.-]+)[:@]([\w.-]+)\Z")
_WEIGHTS = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".onnx", ".engine", ".mar", ".ggml",
            ".tflite", ".pkl", ".joblib")  # fmt: skip


class Place:
    """Where a value stands: the container that will read it."""

    __slots__ = ("container", "environment", "volumes")

    def __init__(self, container: Container, environment: Environment, volumes: Volumes) -> None:
        self.container = container
        self.environment = environment
        self.volumes = volumes


def hub_url(value: str) -> ModelReference | None:
    """A repository's page or git URL on a hub we know; not data sets, not single files.

    Without TLS it is none: anybody on the way may answer.
    """
    match = _HUB_URL.match(value)
    if not match or match[2].startswith(("datasets/", "spaces/", "api/")):
        return None
    if "modelscope" in match[1]:
        return references.modelscope(match[2])
    return references.hugging_face(match[2])


def read(value: str, bare: str, place: Place) -> list[ModelReference]:
    """The references that ``value`` stands for, as a runtime with ``bare`` names reads it."""
    value = value.strip()
    if not value:
        return []
    if len(value) > references.MAX_LENGTH:
        return [references.unresolved(value)]
    if references.is_repository_name(value) and bare != "path" and not _FOLDER.match(value):
        return [_hub(value, bare, place)]
    if "$" in value:
        origin = place.environment.origin_of(value)
        if origin is not None:
            return [references.unresolved(origin)]
        if is_variable(value):
            hidden = bare in ("path", "whisper", "ollama", "named") or value.startswith("$(")
            if hidden:
                return [references.unresolved(value)]
            return [references.unexpanded(references.hugging_face(value))]
    if _SCHEME.match(value):
        return _with_scheme(value, place)
    if _SHORT_SCHEME.match(value):
        scheme, _, rest = value.partition(":")
        return [references.parse(f"{scheme}://{rest.lstrip('/')}")]
    if value[:1] in "/.~" or bare == "path" or _FOLDER.match(value) or value.endswith(_WEIGHTS):
        return [*_path(value, place)]
    return [_name(value, bare)]


def _hub(value: str, bare: str, place: Place) -> ModelReference:
    if bare == "ollama":
        return references.parse(f"ollama://{value}")
    for switch in (
        "VLLM_USE_MODELSCOPE",
        "SGLANG_USE_MODELSCOPE",
        "USE_MODELSCOPE",
        "LMDEPLOY_USE_MODELSCOPE",
    ):
        if place.environment.get(switch).lower() in ("1", "true", "yes"):
            return references.modelscope(value)
    return references.hugging_face(value)


def _with_scheme(value: str, place: Place) -> list[ModelReference]:
    scheme, _, rest = value.partition("://")
    scheme = scheme.lower()
    if scheme == "file":
        return _path("/" + rest.lstrip("/"), place)
    found = hub_url(value) if scheme in ("http", "https") else None
    return [tentative(found or references.parse(value), value)]


def _path(value: str, place: Place) -> list[ModelReference]:
    if value.startswith("~/"):
        value = "/root" + value[1:]
    if not value.startswith("/"):
        folder = place.container.spec.get("workingDir")
        value = f"{folder if isinstance(folder, str) and folder else ''}/{value}"
        if not isinstance(folder, str) or not folder:
            if _PLACEHOLDER.match(value[1:]) or not place.container.image:
                return [references.unresolved(value[1:])]
            return [references.unresolved(f"{value[1:]} in {place.container.image}")]
    found = place.volumes.resolve(place.container, value)
    if found:
        return [tentative(reference, value) for reference in found]
    if has_variable(value):
        return [references.unresolved(value)]
    image = place.container.image
    if not image:
        return [references.unresolved(value)]
    return [references.image_embedded(f"{image}#{value}")]


def _name(value: str, bare: str) -> ModelReference:
    """A value that is neither a path nor a URL nor ``org/name``."""
    if _PLACEHOLDER.match(value) or value.startswith("$("):
        return references.unresolved(value)
    if bare == "ollama":
        return references.parse(f"ollama://{value}")
    if bare == "whisper":
        return references.parse(f"whisper://{value}")
    if bare == "named":
        return references.unresolved(value)
    match = _TAGGED.match(value)
    if match:
        return references.hugging_face(match[1], match[2])
    if value.startswith("$") and "/" in value:
        return references.unexpanded(references.hugging_face(value))
    if _CANONICAL.match(value) and bare == "hub":
        return references.hugging_face(value)
    return references.unresolved(value)


def is_canonical(value: str) -> bool:
    """Whether a name without an organisation is one of the hub's oldest repositories."""
    return bool(_CANONICAL.match(value))


def is_placeholder(value: str) -> bool:
    """Whether a value waits for someone to replace it, such as ``<MODEL_ID>``."""
    return bool(_PLACEHOLDER.match(value))


def has_scheme(value: str) -> bool:
    """Whether a value is a URI."""
    return bool(_SCHEME.match(value))
