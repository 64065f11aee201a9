"""OCI registries: model artifacts and images that carry weights."""

import msgspec
from msgspec import structs

from weighmaster.core import references
from weighmaster.core.content.artifacts import (
    LICENSE_TYPES,
    Artifact,
    Claims,
    Descriptor,
    Layer,
    annotated_license,
    is_image,
    read_artifact,
    read_claims,
    read_index,
)
from weighmaster.core.content.licenses import from_text, normalise
from weighmaster.core.content.summary import listed, merge_gaps
from weighmaster.core.evidence import (
    Basis,
    CardFacts,
    ContentFacts,
    Evidence,
    FormatFact,
    Gap,
    GapReason,
    UnavailableReason,
    content_digest,
)
from weighmaster.core.values import ModelReference
from weighmaster.errors import GatherError, HeaderError
from weighmaster.gather.client import HttpClient
from weighmaster.gather.credentials import Credentials
from weighmaster.gather.names import safe_name
from weighmaster.gather.registry import MAX_MANIFEST, Manifest, Place, Registry, place_of
from weighmaster.gather.remote import RemoteFile
from weighmaster.gather.signatures import find_signatures
from weighmaster.gather.survey import Entry, Survey, survey

_JSON_CONFIG_LIMIT = MAX_MANIFEST


class OciRegistry:
    """Evidence from OCI registries."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def gather(
        self, reference: ModelReference, credentials: Credentials, known: Evidence | None
    ) -> Evidence:
        """Evidence about an artifact by tag or digest.

        ``known`` is earlier evidence: what it says of content is used again while the digest is
        the same; signatures are looked up anew. Raises GatherError.
        """
        place = place_of(reference)
        registry = Registry(self._client, place, credentials)
        evidence = await read_tagged(registry, reference, place, known)
        digest = evidence.resolved.rpartition("@")[2]
        signatures, gaps = await find_signatures(registry, digest, self._client.settings.caps)
        beside = {GapReason.SIGNATURE_NOT_READ, GapReason.SIGNATURES_UNKNOWN}
        own = tuple(bundle for bundle in evidence.signatures if bundle.subject is None)
        kept = [gap for gap in evidence.gaps if gap.reason not in beside]
        return structs.replace(
            evidence,
            signatures=(*own, *signatures),
            gaps=merge_gaps([*kept, *gaps]),
            signatures_expire_at=0.0,  # dated by the gatherer, like everything
        )


async def read_tagged(
    registry: Registry, reference: ModelReference, place: Place, known: Evidence | None
) -> Evidence:
    """Evidence without the registry's signatures; ``known`` again if the digest is the same."""
    validator = known.validator if known is not None and place.digest is None else None
    top = await registry.manifest(place.reference, validator)
    if top is None:
        if known is None:
            raise GatherError(UnavailableReason.HOSTILE_ANSWER, "304 to an unconditional request")
        return known
    resolved = resolved_reference(reference, place, top.digest)
    if known is not None and known.resolved == resolved:
        return structs.replace(known, validator=top.validator)
    reading = _Reading(registry, embedded=reference.scheme == "image-embedded")
    return await reading.read(reference, resolved, top)


def resolved_reference(reference: ModelReference, place: Place, digest: str) -> str:
    """The immutable form: location and digest, in the scheme that was asked for."""
    if reference.scheme == "oci":
        return references.image(f"{reference.location.removeprefix('oci://')}@{digest}").canonical
    if reference.scheme == "ollama":
        return f"ollama://{place.registry}/{place.repository}@{digest}"
    return f"{reference.location}@{digest}"


class _Reading:
    """Reads one artifact: every manifest of an index, or the one there is.

    ``embedded`` says that it is a server's image with weights in it. Only annotations count there:
    labels are inherited from the image it was built from, which had other things in it.
    """

    def __init__(self, registry: Registry, *, embedded: bool) -> None:
        self._registry = registry
        self._embedded = embedded
        self._settings = registry.settings
        self._caps = registry.settings.caps

    async def read(self, reference: ModelReference, resolved: str, top: Manifest) -> Evidence:
        """Evidence without signatures."""
        gaps: list[Gap] = []
        try:
            artifacts = await self._artifacts(top, gaps)
        except HeaderError as error:
            raise GatherError(
                UnavailableReason.HOSTILE_ANSWER, f"{reference.canonical[:200]}: {error}"
            ) from None
        claims = [await self._claims(artifact) for artifact in artifacts]
        if top.is_index:
            claims.append(Claims(license=annotated_license(top.content)))
        layers = _distinct(artifacts)
        found = await survey(
            [_entry(layer) for layer in layers if layer.raw],
            _Blobs(self._registry, layers),
            self._caps,
        )
        archives = [layer for layer in layers if not layer.raw]
        if archives:
            gaps.append(
                Gap(GapReason.ARCHIVE_NOT_OPENED, listed([layer.name for layer in archives]))
            )
        card = await self._card(found.card, claims, layers)
        whole = bool(found.files) and not archives and not gaps
        return Evidence(
            reference=reference.canonical,
            resolved=resolved,
            files=found.files,
            signatures=found.signatures,
            card=card,
            content=_content(found, claims, archives, artifacts),
            gaps=merge_gaps([*gaps, *found.gaps, *_about_lineage(found.card)]),
            manifest_digest=content_digest(found.files) if whole else None,
            validator=top.validator,
        )

    async def _artifacts(self, top: Manifest, gaps: list[Gap]) -> list[Artifact]:
        if not top.is_index:
            return [read_artifact(top.content, self._caps.layers)]
        entries = [
            entry
            for entry in read_index(top.content, self._caps.layers)
            if dict(entry.annotations).get("vnd.docker.reference.type") != "attestation-manifest"
        ]
        # Every platform counts, since nodes of each may pull it; the usual one comes first.
        entries.sort(key=lambda entry: entry.platform != self._settings.platform)
        chosen = entries[: self._caps.manifests]
        if len(entries) > len(chosen):
            rest = [entry.platform or entry.digest for entry in entries[len(chosen) :]]
            gaps.append(Gap(GapReason.PLATFORMS_NOT_READ, listed(rest)))
        found: list[Artifact] = []
        for entry in chosen:
            manifest = await self._registry.manifest(entry.digest)
            if manifest is None or manifest.is_index:
                detail = f"{entry.digest} is an index in an index"
                gaps.append(Gap(GapReason.PLATFORMS_NOT_READ, detail))
                continue
            found.append(read_artifact(manifest.content, self._caps.layers))
        return found

    async def _claims(self, artifact: Artifact) -> Claims:
        if self._embedded:
            return Claims(license=annotated_license({"annotations": dict(artifact.annotations)}))
        config = artifact.config
        content: object = None
        if config is not None and config.media_type.endswith("json") and config.size > 2:
            try:
                content = _decode(await self._registry.blob(config, _JSON_CONFIG_LIMIT))
            except GatherError as error:
                if error.reason not in (UnavailableReason.TOO_LARGE, UnavailableReason.NOT_FOUND):
                    raise
        return read_claims(artifact, content)

    async def _card(self, card: CardFacts, claims: list[Claims], layers: list[Layer]) -> CardFacts:
        """The card, else the artifact's own metadata, else how its licence text begins."""
        if card.license is not None:
            return card
        license_ = normalise([claim.license for claim in claims if claim.license])
        source = "manifest"
        if license_ is None:
            texts = [layer for layer in layers if layer.descriptor.media_type in LICENSE_TYPES]
            for layer in texts[:4]:
                if layer.descriptor.size <= MAX_MANIFEST:
                    text = await self._registry.blob(layer.descriptor, MAX_MANIFEST)
                    license_ = license_ or from_text(text.decode("utf-8", "replace"))
                    source = layer.name
        if license_ is None:
            return card
        where = ", ".join(filter(None, (card.source, source)))
        return structs.replace(card, license=license_, source=where)


class _Blobs:
    """Raw layers by the names of their files."""

    def __init__(self, registry: Registry, layers: list[Layer]) -> None:
        self._registry = registry
        self._descriptors: dict[str, Descriptor] = {
            layer.name: layer.descriptor for layer in layers
        }

    async def fetch(self, entry: Entry, limit: int) -> bytes:
        """All bytes of a layer."""
        return await self._registry.blob(self._descriptors[entry.name], limit)

    def open(self, entry: Entry) -> RemoteFile:
        """A layer to read at offsets."""
        return self._registry.open(self._descriptors[entry.name])


def _about_lineage(card: CardFacts) -> list[Gap]:
    """That nobody says what it was made from: annotations have no place for it."""
    if card.source:
        return []
    return [Gap(GapReason.CARD_MISSING, "no model card among its files could be read")]


def _distinct(artifacts: list[Artifact]) -> list[Layer]:
    """The layers of all manifests, each once. Raises GatherError for names that collide."""
    found: dict[str, Layer] = {}
    for artifact in artifacts:
        for layer in artifact.layers:
            if layer.raw and not safe_name(layer.name):
                raise GatherError(
                    UnavailableReason.HOSTILE_ANSWER, "a layer would be written to an unsafe path"
                )
            name = layer.name
            other = found.get(name)
            if other is not None and other.descriptor.digest != layer.descriptor.digest:
                if layer.named:
                    raise GatherError(
                        UnavailableReason.HOSTILE_ANSWER, f"two layers are both {name[:256]!r}"
                    )
                name = f"{layer.descriptor.digest[7:19]}/{name}"
            found[name] = structs.replace(layer, name=name)
    return list(found.values())


def _entry(layer: Layer) -> Entry:
    return Entry(
        layer.name, layer.descriptor.size, sha256=layer.descriptor.digest.removeprefix("sha256:")
    )


def _content(
    found: Survey, claims: list[Claims], archives: list[Layer], artifacts: list[Artifact]
) -> ContentFacts:
    """Content facts, with what the configuration claims for layers that were not opened."""
    formats = list(found.content.formats)
    claimed = next((claim.format for claim in claims if claim.format), None)
    if archives and claimed and not any(is_image(artifact) for artifact in artifacts):
        size = sum(layer.descriptor.size for layer in archives)
        formats.append(FormatFact(claimed[:64].lower(), len(archives), size, Basis.ASSERTED))
    weights = found.content.weights
    architecture = next((claim.architecture for claim in claims if claim.architecture), None)
    if weights.architecture is None and architecture is not None:
        weights = structs.replace(weights, architecture=architecture)
    return structs.replace(found.content, formats=tuple(formats), weights=weights)


def _decode(content: bytes) -> object:
    try:
        found: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return found
