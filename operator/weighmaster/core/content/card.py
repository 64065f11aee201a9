"""Facts from model cards and from the metadata that formats and artifacts carry."""

import re
from collections.abc import Iterable

from weighmaster.core import references
from weighmaster.core.content.frontmatter import block_of, read_block
from weighmaster.core.content.licenses import normalise
from weighmaster.core.evidence import MAX_BASE_MODELS, CardFacts, Gap, GapReason
from weighmaster.core.globs import aliases
from weighmaster.errors import HeaderError

_KEYS = frozenset({"license", "license_name", "license_link", "base_model", "base_model_relation"})
_BARE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")


def read_card(name: str, content: bytes) -> tuple[CardFacts, tuple[Gap, ...]]:
    """Licence and base models from a card's front matter, and what of it could not be read.

    Keys are those of the hub (https://huggingface.co/docs/hub/model-cards).
    """
    try:
        block = block_of(content)
        values = read_block(block, _KEYS) if block is not None else {}
    except HeaderError as error:
        return CardFacts(source=name), (Gap(GapReason.CARD_MALFORMED, f"{name}: {error}"),)
    base_models, gaps = base_references(values.get("base_model", ()))
    facts = CardFacts(
        license=normalise(values.get("license", ()), _first(values.get("license_name"))),
        license_link=_first(values.get("license_link")),
        base_models=base_models,
        relation=_first(values.get("base_model_relation"), 32),
        source=name,
    )
    return facts, gaps


def base_references(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[Gap, ...]]:
    """Canonical references of base models as authors write them, and a gap for what is none.

    ``org/name``, a bare name of the hub's early days, a URL of the hub, or a reference.
    """
    found: dict[str, None] = {}
    unread = 0
    for name in names:
        reference = base_reference(name)
        if reference is None:
            unread += 1
        else:
            found[reference] = None
    unread += max(0, len(found) - MAX_BASE_MODELS)
    gap = Gap(GapReason.LINEAGE_INCOMPLETE, f"{unread} base models cannot be read or listed")
    return tuple(found)[:MAX_BASE_MODELS], (gap,) if unread else ()


def base_reference(name: str) -> str | None:
    """The canonical reference of one base model, None when the text names none."""
    text = name.strip()
    if "://" in text:
        reference = references.parse(text)
        alias = aliases(reference)[-1]
        if not reference.known:
            return None
        return alias if reference.scheme in ("http", "https") else reference.canonical
    if references.is_repository_name(text) or (_BARE_NAME.match(text) and ".." not in text):
        reference = references.hugging_face(text)
        return reference.canonical if reference.known else None
    return None


def _first(values: list[str] | None, longest: int = 256) -> str | None:
    return values[0].strip()[:longest] or None if values else None
