"""OCI artifacts as tools make them: manifests, layers, signatures."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Contents:
    """What a repository of a registry holds."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """By digest and by tag: media type and bytes."""

    def blob(self, content: bytes, media_type: str, **annotations: str) -> dict[str, Any]:
        digest = digest_of(content)
        self.blobs[digest] = content
        found: dict[str, Any] = {
            "mediaType": media_type, "digest": digest, "size": len(content),
        }  # fmt: skip
        return {**found, "annotations": annotations} if annotations else found

    def put(
        self, manifest: dict[str, Any], tag: str | None = None, media_type: str = MANIFEST
    ) -> dict[str, Any]:
        content = json.dumps(manifest).encode()
        digest = digest_of(content)
        for name in filter(None, (digest, tag)):
            self.manifests[name] = (media_type, content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def artifact(
        self,
        layers: list[dict[str, Any]],
        tag: str | None = "v1",
        config: tuple[bytes, str] = (b"{}", EMPTY),
        **fields: Any,
    ) -> dict[str, Any]:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(*config),
            "layers": layers,
            **fields,
        }
        return self.put(manifest, tag)

    def index(self, manifests: list[dict[str, Any]], tag: str = "v1") -> dict[str, Any]:
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        return self.put(body, tag, INDEX)

    def bundle(self, subject: dict[str, Any], content: bytes = b'{"bundle": 1}') -> dict[str, Any]:
        """A sigstore bundle as a referrer, as cosign 3 attaches it."""
        layer = self.blob(content, BUNDLE)
        plain = {key: subject[key] for key in ("mediaType", "digest", "size")}
        kind = {"dev.sigstore.bundle.content": "dsse-envelope"}
        found = self.artifact([layer], None, artifactType=BUNDLE, subject=plain, annotations=kind)
        return {**found, "artifactType": BUNDLE}

    def cosign(self, subject: dict[str, Any], payload: bytes = b'{"critical": {}}') -> None:
        """A signature as cosign 2 attaches it: a tag named after the digest."""
        layer = self.blob(
            payload,
            SIMPLE_SIGNING,
            **{"dev.cosignproject.cosign/signature": "MEUC", "dev.sigstore.cosign/bundle": "{}"},
        )
        self.artifact([layer], subject["digest"].replace(":", "-") + ".sig")


def modelpack(contents: Contents, files: dict[str, bytes], tag: str = "v1") -> dict[str, Any]:
    """A ModelPack artifact of raw layers, as modctl makes it."""
    layers = []
    for name, content in files.items():
        kind = "weight" if name.endswith((".safetensors", ".gguf")) else "weight.config"
        kind = "doc" if name.endswith(".md") else kind
        layers.append(
            contents.blob(
                content,
                f"application/vnd.cncf.model.{kind}.v1.raw",
                **{"org.cncf.model.filepath": name},
            )
        )
    config = json.dumps({
        "descriptor": {"name": "m", "licenses": ["Apache-2.0"]},
        "config": {"format": "safetensors", "architecture": "transformer"},
    }).encode()  # fmt: skip
    return contents.artifact(
        layers,
        tag,
        (config, "application/vnd.cncf.model.config.v1+json"),
        artifactType="application/vnd.cncf.model.manifest.v1+json",
    )
