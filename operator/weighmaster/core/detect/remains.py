"""What a pod names although none of its servers does: model volumes, and downloads."""

import re

from weighmaster.core import references
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import mapping, text
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.detect.servers import Server
from weighmaster.core.detect.sink import Sink
from weighmaster.core.detect.volumes import Download, Volumes
from weighmaster.core.values import Place, Process, Role

_TABLES = {name: Runtime(name=name) for name in ("ollama", "download")}
_MODELPACK = "model.csi.modelpack.org"
_ADAPTER = re.compile(r"lora|adapter", re.IGNORECASE)
_MODEL_IMAGE = re.compile(
    r"model|weights|llama|qwen|mistral|gemma|granite|phi-?[0-9]|deepseek|bert|lora|gguf|safetensors|"
    r"whisper|falcon|mixtral|llm|checkpoint|adapter|gpt|smollm|tokenizer|embed|kimi|glm|nemotron",
    re.IGNORECASE,
)


def _looks_like_model(name: str) -> bool:
    return bool(_MODEL_IMAGE.search(name))


def volumes(pod: Path, found: Volumes, sink: Sink) -> None:
    """Add the volumes that hold a model by what they are, whoever reads them."""
    for name, (volume, index) in found.by_name.items():
        if "image" not in volume and "csi" not in volume:
            continue
        image = text(mapping(volume.get("image")).get("reference"))
        csi = mapping(volume.get("csi"))
        path = below(pod, "volumes", index)
        artifact = text(mapping(csi.get("volumeAttributes")).get(f"{_MODELPACK}/reference"))
        if text(csi.get("driver")) == _MODELPACK and artifact:
            reference = references.image(artifact)
            path = below(path, "csi", "volumeAttributes", f"{_MODELPACK}/reference")
        elif image and (_looks_like_model(image) or _looks_like_model(name)):
            reference = references.image(image)
            path = below(path, "image", "reference")
        else:
            continue
        if not sink.names(reference, Role.BASE):
            sink.add(reference, Role.BASE, path, Process(runtime="volume"), "model volume")
            source = "image" if "image" in volume else "csi"
            place = Place(volume=name, source=source, mount="", inside="/", root="/")
            found.places[None, reference.canonical] = {place: None}


def downloads(found: Volumes, sink: Sink, *, batch: bool) -> None:
    """Add every download of weights; a batch job fetches, other pods serve what Ollama pulls."""
    for download in found.downloads:
        if download.role != "generic":
            pulled = download.destination == "ollama:"
            role = Role.BASE if pulled and not batch else Role.FETCH
            if _ADAPTER.search(f"{download.reference.canonical} {download.destination}"):
                role = Role.ADAPTER
            process = _process(download, found, "ollama" if pulled else "download")
            sink.add(download.reference, role, download.path, process, download.reason)


def _process(download: Download, found: Volumes, runtime: str) -> Process:
    container = download.container
    if container is None:
        return Process(runtime=runtime)
    return Server(
        _TABLES[runtime], container, container.environment, found, download.path
    ).process()
