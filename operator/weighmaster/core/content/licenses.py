"""Licences as SPDX expressions (SPDX 2.3, annex D).

Hubs have identifiers of their own, mostly SPDX identifiers in lower case
(https://huggingface.co/docs/hub/repositories-licenses). What SPDX does not list becomes a
``LicenseRef-``, so that a policy can name it and nothing passes for a licence that it is not.
"""

import re
from collections.abc import Sequence
from functools import cache

from boolean import ParseError  # type: ignore[import-untyped]
from license_expression import (  # type: ignore[import-untyped]
    ExpressionError,
    Licensing,
    get_spdx_licensing,
)

MAX_LENGTH = 256
"""Characters, as a ModelRecord allows."""

_SPELLINGS = {
    "gpl-2.0": "GPL-2.0-only", "gpl-3.0": "GPL-3.0-only", "agpl-3.0": "AGPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only", "lgpl-3.0": "LGPL-3.0-only", "lgpl-2.0": "LGPL-2.0-only",
    "odc-by": "ODC-By-1.0", "c-uda": "C-UDA-1.0", "pddl": "PDDL-1.0", "lgpl-lr": "LGPLLR",
    "apache2": "Apache-2.0", "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "mit license": "MIT", "lppl-1.3c": "LPPL-1.3c", "etalab-2.0": "etalab-2.0",
}  # fmt: skip
"""Identifiers of hubs, and common misspellings, that are not SPDX identifiers."""

_FAMILIES = frozenset({"bsd", "cc", "gpl", "lgpl", "gfdl", "openrail"})
"""Whole families, which promise nothing in particular."""

_TEXTS = (
    ("apache license version 2.0", "Apache-2.0"),
    ("mit license", "MIT"),
    ("llama 2 community license", "LicenseRef-llama2"),
    ("meta llama 3 community license", "LicenseRef-llama3"),
    ("llama 3.1 community license", "LicenseRef-llama3.1"),
    ("llama 3.2 community license", "LicenseRef-llama3.2"),
    ("llama 3.3 community license", "LicenseRef-llama3.3"),
    ("llama 4 community license", "LicenseRef-llama4"),
    ("gemma terms of use", "LicenseRef-gemma"),
    ("gnu general public license version 3", "GPL-3.0-only"),
)
"""How licence texts begin, once spaces are single and case is gone."""


def normalise(licenses: Sequence[str], name: str | None = None) -> str | None:
    """The SPDX expression for what a card gives as licence; None when it gives none.

    Several licences are all required (``AND``): reading them as a choice would be a guess in the
    author's disfavour. ``name`` is the card's ``license_name``, which counts for ``other``.
    """
    found = [_one(text.strip(), name) for text in licenses if text.strip()]
    if not found:
        return None
    unique = list(dict.fromkeys(found))
    if len(unique) == 1:
        return unique[0]
    joined = " AND ".join(f"({part})" if " OR " in part else part for part in unique)
    return joined if len(joined) <= MAX_LENGTH else _reference(joined)


def from_text(text: str) -> str | None:
    """The licence whose text this is, by how it begins; None when it is not recognised."""
    beginning = re.sub(r"[\s,]+", " ", text[:400]).strip().lower()
    return next((spdx for start, spdx in _TEXTS if beginning.startswith(start)), None)


def _one(text: str, name: str | None) -> str:
    lowered = text.lower()
    if lowered in ("other", "unknown"):
        return _reference(name) if name and lowered == "other" else _reference(lowered)
    if lowered in _SPELLINGS:
        return _SPELLINGS[lowered]
    if lowered in _FAMILIES:
        return _reference(lowered)
    if known := _identifiers().get(lowered):
        return known
    return _expression(text) or _reference(text)


def _expression(text: str) -> str | None:
    """A valid expression of known identifiers in its normal spelling, else None."""
    if len(text) > MAX_LENGTH or not re.search(r"\b(?:and|or|with)\b|\+|\(", text, re.IGNORECASE):
        return None
    licensing = _licensing()
    try:
        parsed = licensing.parse(text, validate=True, strict=True)
    except (ExpressionError, ParseError, RecursionError, ValueError, TypeError):
        return None
    return None if parsed is None else str(parsed.render("{symbol.key}"))


def _reference(name: str) -> str:
    """A ``LicenseRef-`` made of what is allowed in one: letters, digits, ``.`` and ``-``."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", name[:MAX_LENGTH]).strip("-")
    if slug.lower().startswith("licenseref-"):
        slug = slug[len("licenseref-") :]
    return f"LicenseRef-{slug[:100] or 'unnamed'}"


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()


@cache
def _identifiers() -> dict[str, str]:
    """SPDX identifiers by their lower case; those the list marks as exceptions are no licences."""
    symbols = _licensing().known_symbols
    return {
        key.lower(): key
        for key, symbol in symbols.items()
        if not symbol.is_exception and not key.startswith("LicenseRef-")
    }
