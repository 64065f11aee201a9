"""The change that admission makes to an object, as people read it: a diff of its YAML."""

import difflib
from collections.abc import Mapping
from typing import Any

import yaml

from weighmaster.core.respond import DECISION_ANNOTATION

Document = Mapping[str, Any]

CONTEXT = 3
"""Lines around a change, as ``diff -u`` has them."""

_WIDTH = 10_000
"""Characters of a line; a value that is folded would look changed where it is not."""


def change(before: Document, after: Document) -> list[str]:
    """The lines of a unified diff from one object to another; none where they are alike.

    The id of the decision, which every object with models gets as an annotation, is left out.
    """
    lines = difflib.unified_diff(
        _lines(before),
        _lines(_unmarked(after)),
        fromfile="as it is",
        tofile="as admission makes it",
        n=CONTEXT,
        lineterm="",
    )
    return list(lines)


def _lines(document: Document) -> list[str]:
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True
    )
    return text.splitlines()


def _unmarked(document: Document) -> Document:
    metadata = document.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(annotations, dict):
        return document
    left = {key: value for key, value in annotations.items() if key != DECISION_ANNOTATION}
    made = {
        key: left if key == "annotations" else value
        for key, value in metadata.items()
        if left or key != "annotations"
    }
    return {**document, "metadata": made}


class _Dumper(yaml.SafeDumper):
    """Scripts as blocks, and what stands twice written out twice."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)
