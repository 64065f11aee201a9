"""What configuration files make a loader do: run the model's code, or fetch another repository's.

``auto_map`` in config.json, tokenizer and processor configurations names classes in the model's own
``*.py`` files; ``org/repo--module.Class`` names them in another repository, at whatever revision it
is then (NOTES-signing section 5). Every object of every file is looked at, since the keys work at
several depths and more loaders read them than one could list.
"""

import json
import re
from typing import Any

from msgspec import Struct

from weighmaster.core import references
from weighmaster.core.evidence import Gap, GapReason

_CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "auto_mapping_code"})
_FOREIGN = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)--[A-Za-z_]\w*(?:\.\w+)*\Z")
_MAX_FOUND = 256


class ConfigFacts(Struct, frozen=True):
    """What one configuration file names: classes to load, repositories to load code from.

    ``base_model`` is what an adapter's configuration says it belongs to.
    """

    auto_map: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    base_model: str | None = None
    architectures: tuple[str, ...] = ()


def read_config(name: str, content: bytes) -> tuple[ConfigFacts, tuple[Gap, ...]]:
    """The facts of one file, and a gap when it is not JSON or names more than can be listed."""
    search = _Search()
    try:
        json.loads(content, object_pairs_hook=search.visit)
    except (ValueError, RecursionError):
        return ConfigFacts(), (Gap(GapReason.CONFIG_MALFORMED, name[:256]),)
    facts = ConfigFacts(
        tuple(dict.fromkeys(search.classes))[:_MAX_FOUND],
        tuple(dict.fromkeys(search.foreign))[:_MAX_FOUND],
        search.base_model,
        tuple(search.architectures[:8]),
    )
    if len(search.classes) > _MAX_FOUND or len(search.foreign) > _MAX_FOUND:
        return facts, (Gap(GapReason.CONFIG_MALFORMED, f"{name[:256]}: names too much code"),)
    return facts, ()


class _Search:
    """Visits every object while it is parsed: also those that a repeated key hides."""

    def __init__(self) -> None:
        self.classes: list[str] = []
        self.foreign: list[str] = []
        self.base_model: str | None = None
        self.architectures: list[str] = []

    def visit(self, pairs: list[tuple[str, Any]]) -> list[str]:
        """Look at one object. Returns the texts in it, in place of the object."""
        texts: list[str] = []
        for key, value in pairs:
            found = _texts(value)
            if key in _CODE_KEYS:
                self.classes += [text[:256] for text in found]
                self.foreign += [_repository(text) for text in found if "--" in text]
            else:
                for text in found:
                    if "--" in text and (match := _FOREIGN.match(text)):
                        self.foreign.append(_repository(match[0]))
            if key == "base_model_name_or_path" and isinstance(value, str):
                self.base_model = value
            if key == "architectures":
                self.architectures += [text[:128] for text in found]
            # Only what may be under auto_map is handed up, or long lists would be copied at every
            # level; a map of classes is never deeper than two levels.
            texts += found[:_MAX_FOUND]
        return texts[:_MAX_FOUND]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    found: list[str] = []
    for item in value:
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, list):
            found += [text for text in item if isinstance(text, str)]
    return found


def _repository(text: str) -> str:
    """The canonical reference of the repository before ``--``."""
    return references.hugging_face(text.partition("--")[0]).canonical
