"""Signatures that a registry keeps beside an artifact, as raw material for verification.

Sigstore bundles in referrers (OCI 1.1 API, or its fallback tag), and cosign's older layout of tags
named after the digest: ``sha256-<hex>.sig`` and ``.att``. Nothing is verified here.
"""

from typing import Any

from weighmaster.core.content.artifacts import Artifact, Descriptor, read_artifact, read_index
from weighmaster.core.evidence import (
    Gap,
    GapReason,
    SignatureBundle,
    SignatureKind,
    UnavailableReason,
)
from weighmaster.errors import GatherError, HeaderError
from weighmaster.gather.answers import decode_object, succeeded
from weighmaster.gather.registry import Manifest, Registry
from weighmaster.gather.settings import Caps

_BUNDLE = "application/vnd.dev.sigstore.bundle"
_SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
_ENVELOPES = ("application/vnd.dsse.envelope", "application/vnd.in-toto")
_MAX_REFERRERS = 1024


async def find_signatures(
    registry: Registry, digest: str, caps: Caps
) -> tuple[tuple[SignatureBundle, ...], tuple[Gap, ...]]:
    """All signature material about a manifest's digest, and gaps for what was not read.

    Raises GatherError when the registry fails: an outage is not an unsigned artifact.
    """
    search = _Search(registry, digest, caps)
    try:
        for descriptor in await search.referrers():
            await search.read_referrer(descriptor)
        tag = digest.replace(":", "-")
        await search.read_tag(f"{tag}.sig", (_SIMPLE,))
        await search.read_tag(f"{tag}.att", _ENVELOPES)
    except GatherError as error:
        if error.reason != UnavailableReason.UNAUTHORIZED:
            raise
        search.gaps.append(Gap(GapReason.SIGNATURES_UNKNOWN, "the registry refuses access to them"))
    return tuple(search.found), tuple(search.gaps)


class _Search:
    def __init__(self, registry: Registry, digest: str, caps: Caps) -> None:
        self.found: list[SignatureBundle] = []
        self.gaps: list[Gap] = []
        self._registry = registry
        self._digest = digest
        self._caps = caps
        self._read = 0

    async def referrers(self) -> list[Descriptor]:
        """Descriptors of what refers to the digest and may be a signature."""
        answer = await self._registry.referrers(self._digest)
        index: dict[str, Any] | None = None
        if answer.status == 200:
            index = decode_object(answer, "referrers")
            if 'rel="next"' in answer.headers.get("Link", ""):
                self._skip("there are more referrers than one answer lists")
        elif answer.status in (400, 404, 405):  # no such API (distribution-spec: the fallback tag)
            tagged = await self._registry.find(self._digest.replace(":", "-"))
            index = tagged.content if tagged is not None and tagged.is_index else None
        else:
            succeeded(answer, "referrers")
        if index is None:
            return []
        try:
            listed = read_index(index, _MAX_REFERRERS)
        except HeaderError as error:
            self._skip(f"the list of referrers: {error}")
            return []
        return [entry for entry in listed if _may_sign(entry)]

    async def read_referrer(self, descriptor: Descriptor) -> None:
        """Fetch the bundles of one referrer."""
        manifest = await self._registry.find(descriptor.digest)
        artifact = self._artifact(manifest, descriptor.digest)
        if manifest is None or artifact is None:
            return
        if artifact.subject != self._digest:
            self._skip(f"{descriptor.digest} does not refer to it")
            return
        for layer in artifact.layers:
            media_type = layer.descriptor.media_type
            if media_type.startswith(_BUNDLE):
                kind = SignatureKind.BUNDLE
            elif media_type.startswith(_ENVELOPES):
                kind = SignatureKind.COSIGN_ATTESTATION
            elif media_type == _SIMPLE:
                kind = SignatureKind.COSIGN_SIGNATURE
            else:
                continue
            notes = (*artifact.annotations, *layer.descriptor.annotations)
            await self._fetch(kind, layer.descriptor, manifest.digest, notes)

    async def read_tag(self, tag: str, media_types: tuple[str, ...]) -> None:
        """Fetch the layers of one of cosign's tags, if it exists."""
        manifest = await self._registry.find(tag)
        artifact = self._artifact(manifest, tag)
        if manifest is None or artifact is None:
            return
        for layer in artifact.layers:
            descriptor = layer.descriptor
            if descriptor.media_type.startswith(media_types):
                kind = SignatureKind.COSIGN_ATTESTATION
                if descriptor.media_type == _SIMPLE:
                    kind = SignatureKind.COSIGN_SIGNATURE
                source = f"{tag}@{manifest.digest}"
                await self._fetch(kind, descriptor, source, descriptor.annotations)

    def _artifact(self, manifest: Manifest | None, name: str) -> Artifact | None:
        if manifest is None:
            return None
        try:
            return read_artifact(manifest.content, self._caps.layers)
        except HeaderError as error:
            self._skip(f"{name}: {error}")
            return None

    async def _fetch(
        self,
        kind: SignatureKind,
        descriptor: Descriptor,
        source: str,
        annotations: tuple[tuple[str, str], ...],
    ) -> None:
        size = descriptor.size + sum(len(key) + len(value) for key, value in annotations)
        caps, total = self._caps, self._read + size
        if (
            len(self.found) >= caps.signatures
            or size > caps.signature
            or (total > caps.signature_bytes)
        ):
            self._skip(f"{source}: too many or too large")
            return
        self._read = total
        try:
            content = await self._registry.blob(descriptor, self._caps.signature)
        except GatherError as error:
            if error.reason != UnavailableReason.NOT_FOUND:
                raise
            self._skip(f"{source}: {descriptor.digest} is missing")
            return
        self.found.append(
            SignatureBundle(
                kind=kind,
                content=content,
                source=source,
                subject=self._digest,
                annotations=annotations,
            )
        )

    def _skip(self, detail: str) -> None:
        self.gaps.append(Gap(GapReason.SIGNATURE_NOT_READ, detail[:256]))


_EMPTY = "application/vnd.oci.empty.v1+json"
"""What cosign 3.1 puts into the index of a registry without the referrers API: nothing said."""


def _may_sign(entry: Descriptor) -> bool:
    """Whether a referrer may be a signature; one that does not say what it is, may."""
    kind = entry.artifact_type
    return kind in (None, _EMPTY) or kind.startswith((_BUNDLE, *_ENVELOPES)) or "cosign" in kind
