"""From a listing of files to evidence: what to fetch, what to look into, and what stays unknown.

The same for every source that can list files and hand out their bytes: hubs, and registries whose
layers are files.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, structs

from weighmaster.core.content.card import base_references, read_card
from weighmaster.core.content.configs import ConfigFacts, read_config
from weighmaster.core.content.filenames import FilePurpose, format_by_name, purpose_of
from weighmaster.core.content.magic import Examined, examine
from weighmaster.core.content.reading import run
from weighmaster.core.content.signature_files import material_in
from weighmaster.core.content.summary import (
    Examination,
    complete_card,
    listed,
    merge_gaps,
    summarise,
)
from weighmaster.core.evidence import (
    Basis,
    CardFacts,
    ContentFacts,
    FileFact,
    Gap,
    GapReason,
    SignatureBundle,
    UnavailableReason,
)
from weighmaster.errors import GatherError
from weighmaster.gather.remote import (
    PARSED_IN_PLACE,
    Allowance,
    Metered,
    Readable,
    drive,
    is_unreadable,
)
from weighmaster.gather.settings import Caps

_URGENT = {
    FilePurpose.SIGNATURE: 0,
    FilePurpose.CARD: 1,
    FilePurpose.CONFIG: 2,
    FilePurpose.CODE: 3,
    FilePurpose.WEIGHTS: 4,
    FilePurpose.ARCHIVE: 5,
    FilePurpose.OTHER: 6,
}
"""Order in which caps are used up."""

_KEPT = frozenset({FilePurpose.SIGNATURE, FilePurpose.CARD, FilePurpose.CONFIG})
"""What is fetched whole even when its digest is known."""


class Entry(Struct, frozen=True):
    """A listed file: name, size in bytes, SHA-256 (hex) or git blob id (hex) where listed."""

    name: str
    size: int
    sha256: str | None = None
    blob: str | None = None


class Store(Protocol):
    """Where the files of a listing are."""

    async def fetch(self, entry: Entry, limit: int) -> bytes:
        """All bytes of a file, at most ``limit``. Raises GatherError."""
        ...

    def open(self, entry: Entry) -> Readable:
        """A file to read at offsets."""
        ...


class Survey(Struct, frozen=True, kw_only=True):
    """What the files of a model say."""

    files: tuple[FileFact, ...]
    signatures: tuple[SignatureBundle, ...]
    card: CardFacts
    content: ContentFacts
    gaps: tuple[Gap, ...]


class _Found(Struct, frozen=True):
    """What one fetched file gave. Its bytes are kept only if it is a signature."""

    sha256: str
    examined: Examined
    signature: bytes | None = None
    card: CardFacts | None = None
    config: ConfigFacts | None = None
    gaps: tuple[Gap, ...] = ()


async def survey(entries: Sequence[Entry], store: Store, caps: Caps) -> Survey:
    """Fetch what must be fetched, look into the rest, and put it together.

    Raises GatherError when the host fails, or when bytes are not what the listing says they are.
    """
    chosen, gaps = _choose(entries, caps)
    looked = _to_probe(entries, {entry.name for entry in chosen}, caps)
    found, probes = await _all(chosen, looked, store, caps)
    files = tuple(_file_fact(entry, found.get(entry.name)) for entry in entries)
    signatures = _signatures(found)
    if len(signatures) > caps.signatures:
        gaps.append(Gap(GapReason.SIGNATURE_NOT_READ, signatures[caps.signatures].source[:256]))
    unknown = [file.name for file in files if file.sha256 is None]
    if unknown:
        gaps.append(Gap(GapReason.DIGEST_UNKNOWN, listed(unknown)))
    examinations = [
        Examination(entry.name, entry.size, _examined(entry, found, probes)) for entry in entries
    ]
    card, configs, read_gaps = _documents(found)
    content, content_gaps = summarise(examinations, configs)
    card, header_gaps = complete_card(card, examinations)
    return Survey(
        files=files,
        signatures=signatures[: caps.signatures],
        card=card,
        content=content,
        gaps=merge_gaps([*gaps, *read_gaps, *content_gaps, *header_gaps]),
    )


async def _all(
    chosen: Sequence[Entry], looked: Sequence[Entry], store: Store, caps: Caps
) -> tuple[dict[str, _Found], dict[str, Examined | None]]:
    """What fetching some files and looking into others gives. The first failure ends the rest."""
    allowance = Allowance(caps.headers)
    try:
        async with asyncio.TaskGroup() as group:
            fetches = [group.create_task(_fetch(entry, store, caps)) for entry in chosen]
            probes = [group.create_task(_probe(entry, store, caps, allowance)) for entry in looked]
    except* GatherError as failures:
        raise _first(failures) from None
    return (
        {entry.name: task.result() for entry, task in zip(chosen, fetches, strict=True)},
        {entry.name: task.result() for entry, task in zip(looked, probes, strict=True)},
    )


def _first(failures: BaseExceptionGroup[GatherError]) -> GatherError:
    """The gravest of several failures: what is hostile outranks what is merely down."""
    errors = [error for error in failures.exceptions if isinstance(error, GatherError)]
    hostile = [error for error in errors if error.reason == UnavailableReason.HOSTILE_ANSWER]
    return (hostile or errors)[0]


def _choose(entries: Sequence[Entry], caps: Caps) -> tuple[list[Entry], list[Gap]]:
    """The files to fetch whole, within the caps, and gaps for important ones left out."""
    wanted = [entry for entry in entries if not entry.sha256 or purpose_of(entry.name) in _KEPT]
    wanted.sort(key=lambda entry: (_URGENT[purpose_of(entry.name)], entry.size))
    chosen: list[Entry] = []
    gaps: list[Gap] = []
    total = signatures = signature_bytes = 0
    for entry in wanted:
        purpose = purpose_of(entry.name)
        is_signature = purpose is FilePurpose.SIGNATURE
        largest = caps.signature if is_signature else caps.fetched_file
        fits = entry.size <= largest and total + entry.size <= caps.fetched_bytes
        if is_signature and (
            signatures >= caps.signatures or signature_bytes + entry.size > caps.signature_bytes
        ):
            fits = False
        if not fits or len(chosen) >= caps.fetched_files:
            if is_signature:
                gaps.append(Gap(GapReason.SIGNATURE_NOT_READ, entry.name[:256]))
            elif purpose in _KEPT:
                gaps.append(Gap(GapReason.CONFIG_NOT_READ, entry.name[:256]))
            continue
        chosen.append(entry)
        total += entry.size
        signatures += is_signature
        signature_bytes += entry.size if is_signature else 0
    return chosen, gaps


def _to_probe(entries: Sequence[Entry], fetched: set[str], caps: Caps) -> list[Entry]:
    """The files to look into without fetching them: weights first, then whatever is unknown."""
    rest = [entry for entry in entries if entry.name not in fetched and entry.size > 0]
    rest.sort(key=lambda entry: (format_by_name(entry.name) is None, entry.name))
    return rest[: caps.probed_files]


async def _fetch(entry: Entry, store: Store, caps: Caps) -> _Found:
    content = await store.fetch(entry, caps.fetched_file)
    digest = hashlib.sha256(content).hexdigest()
    listed_as = entry.sha256 or entry.blob
    actual = digest if entry.sha256 else git_blob_id(content)
    if len(content) != entry.size or (listed_as is not None and actual != listed_as):
        raise GatherError(
            UnavailableReason.HOSTILE_ANSWER,
            f"{entry.name[:256]}: the bytes are not those that the listing names",
        )
    if len(content) > PARSED_IN_PLACE:  # or it would hold up everything else in this process
        return await asyncio.to_thread(_look_into, entry, digest, content, caps)
    return _look_into(entry, digest, content, caps)


def _look_into(entry: Entry, digest: str, content: bytes, caps: Caps) -> _Found:
    found = _Found(digest, run(examine(entry.size, limit=caps.header), content))
    purpose = purpose_of(entry.name)
    if purpose is FilePurpose.SIGNATURE:
        return structs.replace(found, signature=content)
    if purpose is FilePurpose.CARD:
        card, gaps = read_card(entry.name, content)
        return structs.replace(found, card=card, gaps=gaps)
    if purpose is FilePurpose.CONFIG:
        config, gaps = read_config(entry.name, content)
        return structs.replace(found, config=config, gaps=gaps)
    return found


async def _probe(entry: Entry, store: Store, caps: Caps, allowance: Allowance) -> Examined | None:
    try:
        file = Metered(store.open(entry), allowance)
        return await drive(examine(entry.size, limit=caps.header), file)
    except GatherError as error:
        if is_unreadable(error):
            return None
        raise


def git_blob_id(content: bytes) -> str:
    """The id git gives to a file's content, in hex (git hash-object)."""
    header = b"blob %d\x00" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _file_fact(entry: Entry, found: _Found | None) -> FileFact:
    if found is not None:
        return FileFact(entry.name, entry.size, found.sha256, Basis.VERIFIED)
    return FileFact(entry.name, entry.size, entry.sha256, Basis.FETCHED)


def _examined(
    entry: Entry, found: Mapping[str, _Found], probes: Mapping[str, Examined | None]
) -> Examined | None:
    if (fetched := found.get(entry.name)) is not None:
        return fetched.examined
    return probes.get(entry.name, Examined(None) if entry.size == 0 else None)


def _signatures(found: Mapping[str, _Found]) -> tuple[SignatureBundle, ...]:
    return tuple(
        material
        for name, file in sorted(found.items())
        if file.signature is not None
        for material in material_in(name, file.signature)
    )


def _documents(
    found: Mapping[str, _Found],
) -> tuple[CardFacts, list[tuple[str, ConfigFacts]], list[Gap]]:
    ordered = sorted(found.items())
    card = next((file.card for _, file in ordered if file.card is not None), CardFacts())
    configs = [(name, file.config) for name, file in ordered if file.config is not None]
    gaps = [gap for _, file in ordered for gap in file.gaps]
    if not card.base_models:
        card, adapter_gaps = _from_adapters(card, configs)
        gaps += adapter_gaps
    return card, configs, gaps


def _from_adapters(
    card: CardFacts, configs: Sequence[tuple[str, ConfigFacts]]
) -> tuple[CardFacts, tuple[Gap, ...]]:
    """Base models from adapters' configurations, where the card names none."""
    named = [(name, facts.base_model) for name, facts in configs if facts.base_model]
    models, gaps = base_references(base for _, base in named if base)
    if not models:
        return card, gaps
    source = ", ".join(filter(None, (card.source, named[0][0])))
    return structs.replace(
        card, base_models=models, relation=card.relation or "adapter", source=source
    ), gaps
