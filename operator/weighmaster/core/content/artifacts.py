"""OCI manifests of models: what the layers are, in the conventions that exist.

ModelPack (CNCF model-spec: ``application/vnd.cncf.model.*``, before that ``vnd.cnai``), KitOps
(``vnd.kitops.modelkit.*``), Docker AI (``vnd.docker.ai.*``), Ollama (``vnd.ollama.image.*``), plain
artifacts with titles (ORAS), and container images that carry weights (modelcar).

A layer that is one file as it is (*raw*) has that file's digest. A layer that is an archive has the
archive's, which says nothing of the files inside.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from weighmaster.core.content.licenses import normalise
from weighmaster.errors import HeaderError

INDEX_TYPES = frozenset({
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
})  # fmt: skip
MANIFEST_TYPES = frozenset({
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.artifact.manifest.v1+json",
})  # fmt: skip

DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")

_PATHS = (
    "org.cncf.model.filepath", "org.cnai.model.filepath", "org.opencontainers.image.title",
)  # fmt: skip

_KINDS = (
    ("application/vnd.cncf.model.", "modelpack"),
    ("application/vnd.cnai.model.", "modelpack"),
    ("application/vnd.kitops.modelkit.", "kitops"),
    ("application/vnd.docker.ai.", "docker-ai"),
    ("application/vnd.ollama.image.", "ollama"),
)

_NAMES = {
    "application/vnd.ollama.image.model": "model.gguf",
    "application/vnd.ollama.image.adapter": "adapter.gguf",
    "application/vnd.ollama.image.projector": "projector.gguf",
    "application/vnd.ollama.image.license": "LICENSE",
    "application/vnd.ollama.image.template": "template",
    "application/vnd.ollama.image.system": "system",
    "application/vnd.ollama.image.params": "params",
    "application/vnd.docker.ai.gguf.v3": "model.gguf",
    "application/vnd.docker.ai.gguf.v3.lora": "adapter.gguf",
    "application/vnd.docker.ai.mmproj": "projector.gguf",
    "application/vnd.docker.ai.safetensors": "model.safetensors",
    "application/vnd.docker.ai.license": "LICENSE",
    "application/vnd.docker.ai.chat.template.jinja": "template.jinja",
    "application/vnd.cncf.model.weight.v1.gguf": "model.gguf",
    "application/vnd.cncf.model.weight.v1.safetensors": "model.safetensors",
}
"""Names for layers that bring none, so that their format can be told."""

_LICENSES = "org.opencontainers.image.licenses"

LICENSE_TYPES = frozenset({
    "application/vnd.ollama.image.license", "application/vnd.docker.ai.license",
})  # fmt: skip


class Descriptor(Struct, frozen=True):
    """A content descriptor (OCI image-spec, descriptor.md). ``size`` is in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str | None = None
    platform: str | None = None


class Layer(Struct, frozen=True):
    """One layer: the file it is, or the archive. ``named`` is false where we made the name up."""

    name: str
    named: bool
    raw: bool
    descriptor: Descriptor


class Artifact(Struct, frozen=True):
    """A model's manifest. ``kind`` is the convention it follows."""

    kind: str
    layers: tuple[Layer, ...]
    config: Descriptor | None
    subject: str | None
    annotations: tuple[tuple[str, str], ...]
    artifact_type: str | None


class Claims(Struct, frozen=True):
    """What an artifact's configuration says: a licence (SPDX), a format, an architecture."""

    license: str | None = None
    format: str | None = None
    architecture: str | None = None


def read_index(index: Mapping[str, Any], most: int) -> tuple[Descriptor, ...]:
    """The manifests of an index.

    Raises HeaderError when there are more than ``most``, or one is no descriptor.
    """
    return tuple(_descriptor(item) for item in _list(index, "manifests", most))


def read_artifact(manifest: Mapping[str, Any], most: int) -> Artifact:
    """A manifest's layers and configuration. Raises HeaderError when it is malformed.

    ``most`` caps the layers.
    """
    config = manifest.get("config")
    found = _descriptor(config) if isinstance(config, dict) else None
    items = _list(manifest, "layers" if "layers" in manifest else "blobs", most)
    artifact_type = _text(manifest, "artifactType") or (found.media_type if found else None)
    subject = manifest.get("subject")
    layers = [_descriptor(item) for item in items]
    return Artifact(
        kind=_kind(artifact_type, layers),
        layers=tuple(_name_layers(layers)),
        config=found,
        subject=_descriptor(subject).digest if isinstance(subject, dict) else None,
        annotations=_annotations(manifest),
        artifact_type=artifact_type,
    )


def annotated_license(manifest: Mapping[str, Any]) -> str | None:
    """The licence (SPDX) that the annotations of a manifest or index state (OCI image-spec)."""
    text = _text(_object(manifest, "annotations"), _LICENSES)
    return normalise([text]) if text else None


def read_claims(artifact: Artifact, config: Any) -> Claims:
    """What annotations and configuration claim; ``config`` is the decoded JSON, or None."""
    values = config if isinstance(config, dict) else {}
    descriptor, inner = _object(values, "descriptor"), _object(values, "config")
    package, model = _object(values, "package"), _object(values, "model")
    licenses = descriptor.get("licenses")
    named = [text for text in licenses if isinstance(text, str)] if isinstance(
        licenses, list
    ) else []  # fmt: skip
    named += filter(None, (_text(source, "license") for source in (package, model)))
    if not named:
        text = dict(artifact.annotations).get(_LICENSES)
        text = text or _text(_object(inner, "Labels"), _LICENSES)
        named = [text] if text else []
    return Claims(
        license=normalise(named[:16]),
        format=_text(inner, "format") or _text(model, "format") or _text(values, "model_format"),
        architecture=_text(inner, "architecture") or _text(values, "model_family"),
    )


def is_image(artifact: Artifact) -> bool:
    """Whether it is a container image, whose layers are parts of a file system."""
    return artifact.kind == "image"


def _kind(artifact_type: str | None, layers: list[Descriptor]) -> str:
    for text in (artifact_type or "", *(layer.media_type for layer in layers)):
        for prefix, kind in _KINDS:
            if text.startswith(prefix):
                return kind
    image = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
    if any(layer.media_type.startswith(image) and not _titled(layer) for layer in layers):
        return "image"
    return "artifact"


def _name_layers(layers: list[Descriptor]) -> list[Layer]:
    found: list[Layer] = []
    used: dict[str, int] = {}
    for layer in layers:
        annotations = dict(layer.annotations)
        title = next((annotations[key] for key in _PATHS if annotations.get(key)), None)
        base = layer.media_type.partition(";")[0].strip()
        name = title or _NAMES.get(base) or layer.digest.replace(":", "-")[:19]
        number = used[name] = used.get(name, 0) + 1
        if number > 1 and title is None:
            stem, dot, extension = name.partition(".")
            name = f"{stem}-{number}{dot}{extension}"
        found.append(Layer(name, title is not None, not _is_archive(layer, base), layer))
    return found


def _is_archive(layer: Descriptor, base: str) -> bool:
    if dict(layer.annotations).get("io.deis.oras.content.unpack") == "true":
        return True
    if base.endswith((".tar", "+gzip", "+zstd", ".gzip", ".zstd")) or ".tar" in base:
        return not (_titled(layer) and base.startswith("application/vnd.oci.image.layer.v1.tar")
                    and "+" not in base)  # fmt: skip
    return base.startswith("application/vnd.docker.image.rootfs.")


def _titled(layer: Descriptor) -> bool:
    """ORAS gives plain files the media type of an image layer by default, and a title."""
    return any(key == "org.opencontainers.image.title" for key, _ in layer.annotations)


def _descriptor(item: Any) -> Descriptor:
    if not isinstance(item, dict):
        raise HeaderError("a descriptor is not an object")
    media_type, digest, size = item.get("mediaType"), item.get("digest"), item.get("size")
    if not isinstance(media_type, str) or len(media_type) > 256:
        raise HeaderError("a descriptor has no media type")
    if not isinstance(digest, str) or not DIGEST.match(digest):
        raise HeaderError("a descriptor has no SHA-256 digest")
    if type(size) is not int or not 0 <= size < 2**63:
        raise HeaderError("a descriptor has an impossible size")
    platform = _object(item, "platform")
    named = "/".join(str(platform.get(key) or "") for key in ("os", "architecture"))
    return Descriptor(
        media_type,
        digest,
        size,
        _annotations(item),
        _text(item, "artifactType"),
        named[:64] if platform else None,
    )


def _list(values: Mapping[str, Any], key: str, most: int) -> list[Any]:
    found = values.get(key)
    if not isinstance(found, list):
        raise HeaderError(f"the manifest has no list of {key}")
    if len(found) > most:
        raise HeaderError(f"the manifest lists more than {most} {key}")
    return found


def _annotations(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = values.get("annotations")
    if not isinstance(found, dict):
        return ()
    return tuple(sorted((k, v) for k, v in found.items() if isinstance(v, str)))


def _object(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _text(values: Mapping[str, Any], key: str) -> str | None:
    found = values.get(key)
    return found[:256] if isinstance(found, str) and found else None
