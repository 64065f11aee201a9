"""From what was found in each file to what is in the model."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from weighmaster.core.content.card import base_references
from weighmaster.core.content.configs import ConfigFacts
from weighmaster.core.content.filenames import ARCHIVES, format_by_name, is_python
from weighmaster.core.content.licenses import normalise
from weighmaster.core.content.magic import MALFORMED, Examined
from weighmaster.core.evidence import (
    MAX_NAMES,
    Basis,
    CardFacts,
    CodeFacts,
    ContentFacts,
    Disguise,
    FormatFact,
    Gap,
    GapReason,
    Weights,
)

MUST_MATCH = frozenset({"safetensors", "gguf"})
"""Formats whose content always tells; a file that only has the name is malformed."""

_KINDRED = {
    "torchscript": {"pickle"},
    "pickle": {"torchscript"},
    "nemo": {"tar", "compressed"},
    "mar": {"zip", "compressed"},
    "keras": {"zip"},
}
"""What a name may claim although the content says something more general, or a variety of it."""

_CLIP = 256


class Examination(Struct, frozen=True):
    """A file by name and size, and what looking into it gave; None when nobody looked."""

    name: str
    size: int
    examined: Examined | None


def summarise(
    files: Sequence[Examination], configs: Sequence[tuple[str, ConfigFacts]]
) -> tuple[ContentFacts, tuple[Gap, ...]]:
    """Content facts of a whole model, and what is not known about it."""
    counts: dict[tuple[str, Basis], tuple[int, int]] = {}
    disguises: list[Disguise] = []
    gaps: list[Gap] = []
    unread: list[str] = []
    for file in files:
        format_, basis = _format_of(file)
        if format_ is not None:
            number, size = counts.get((format_, basis), (0, 0))
            counts[format_, basis] = (number + 1, size + file.size)
        if basis is Basis.ASSERTED and file.examined is None:
            unread.append(file.name)
        if (disguise := _disguise(file)) is not None:
            disguises.append(disguise)
        gaps += _header_gaps(file)
    if unread:
        gaps.append(Gap(GapReason.CONTENT_NOT_READ, listed(unread)))
    content = ContentFacts(
        formats=tuple(
            FormatFact(name, number, size, basis)
            for (name, basis), (number, size) in sorted(counts.items())
        ),
        disguises=tuple(disguises[:MAX_NAMES]),
        code=_code([file.name for file in files], configs),
        weights=_weights(files, configs),
    )
    return content, merge_gaps(gaps)


def complete_card(card: CardFacts, files: Sequence[Examination]) -> tuple[CardFacts, list[Gap]]:
    """The card, filled in from GGUF headers where it is silent."""
    for file in files:
        gguf = file.examined.gguf if file.examined else None
        if gguf is None:
            continue
        license_ = card.license
        if license_ is None and (claimed := gguf.get("license")):
            license_ = normalise([claimed], gguf.get("license.name"))
        if card.base_models:
            return _with(card, license_, card.base_models, file.name), []
        count = gguf.get("base_model.count") or "0"
        number = min(int(count), 256) if count.isdigit() and len(count) < 6 else 0
        keys = [f"base_model.{index}.repo_url" for index in range(number)]
        models, gaps = base_references([gguf.get(key) or "" for key in keys])
        return _with(card, license_, models, file.name), list(gaps)
    return card, []


def merge_gaps(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """One gap for each reason, with the details together and clipped."""
    details: dict[GapReason, dict[str, None]] = {}
    for gap in gaps:
        details.setdefault(gap.reason, {})[gap.detail] = None
    return tuple(Gap(reason, listed(list(found), 4)) for reason, found in sorted(details.items()))


def listed(names: Sequence[str], most: int = 8) -> str:
    """Some names for a person, the rest counted."""
    shown = ", ".join(name[:_CLIP] for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _with(
    card: CardFacts, license_: str | None, base_models: tuple[str, ...], source: str
) -> CardFacts:
    unchanged = (license_, base_models) == (card.license, card.base_models)
    return CardFacts(
        license=license_,
        license_link=card.license_link,
        base_models=base_models,
        relation=card.relation,
        source=card.source if unchanged else ", ".join(filter(None, (card.source, source))),
    )


def _format_of(file: Examination) -> tuple[str | None, Basis]:
    named = format_by_name(file.name)
    if file.examined is None:
        return named, Basis.ASSERTED
    if file.examined.format is not None:
        return file.examined.format, Basis.FETCHED
    if named in MUST_MATCH:
        return MALFORMED, Basis.FETCHED
    return named, Basis.ASSERTED


def _disguise(file: Examination) -> Disguise | None:
    found, _ = _format_of(file)
    named = format_by_name(file.name)
    if file.examined is None or found is None or found == named:
        return None
    if named is None or named in ARCHIVES.values():
        hidden = found in ("pickle", "torchscript")
        return Disguise(file.name[:_CLIP], named or "none", found) if hidden else None
    if found in _KINDRED.get(named, ()):
        return None
    return Disguise(file.name[:_CLIP], named, found)


def _header_gaps(file: Examination) -> list[Gap]:
    examined = file.examined
    if examined is None:
        return []
    if examined.incomplete:
        return [Gap(GapReason.HEADER_INCOMPLETE, file.name[:_CLIP])]
    if _format_of(file)[0] == MALFORMED:
        problem = examined.problem or "the content is not what the name says"
        return [Gap(GapReason.HEADER_MALFORMED, f"{file.name[:_CLIP]}: {problem}")]
    return []


def _code(names: Sequence[str], configs: Sequence[tuple[str, ConfigFacts]]) -> CodeFacts:
    python = sorted(name[:_CLIP] for name in names if is_python(name))
    classes = [f"{name}: {text}"[:_CLIP] for name, facts in configs for text in facts.auto_map]
    foreign = dict.fromkeys(ref[:_CLIP] for _, facts in configs for ref in facts.foreign)
    return CodeFacts(
        auto_map=tuple(classes[:MAX_NAMES]),
        foreign=tuple(foreign)[:MAX_NAMES],
        python=tuple(python[:MAX_NAMES]),
        files=len(python),
        custom_generate=any(
            name == "generate.py" or name.startswith("custom_generate/") for name in names
        ),
    )


def _weights(files: Sequence[Examination], configs: Sequence[tuple[str, ConfigFacts]]) -> Weights:
    elements: dict[str, int] = {}
    metadata: dict[str, str] = {}
    architecture = next(
        (facts.architectures[0] for name, facts in configs
         if name == "config.json" and facts.architectures), None
    )  # fmt: skip
    for file in files:
        if file.examined is None:
            continue
        if (header := file.examined.safetensors) is not None:
            for dtype, count in header.dtypes:
                elements[dtype] = elements.get(dtype, 0) + count
            metadata.update(header.metadata)
        if (gguf := file.examined.gguf) is not None:
            architecture = architecture or gguf.get("architecture")
            metadata.update({f"general.{key}": value for key, value in gguf.general})
    return Weights(
        parameters=sum(elements.values()),
        dtypes=tuple(sorted(elements.items())),
        architecture=architecture,
        metadata=tuple((key, value[:_CLIP]) for key, value in sorted(metadata.items())[:32]),
    )
