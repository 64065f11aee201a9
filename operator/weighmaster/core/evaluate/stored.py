"""What every stored object has."""

from collections.abc import Mapping
from typing import Any

import msgspec

from weighmaster.api.v1alpha1.meta import ObjectMeta


def read_metadata(stored: Mapping[str, Any]) -> ObjectMeta:
    """The metadata of any object; what is missing or wrongly typed is left empty."""
    try:
        return msgspec.convert(stored.get("metadata"), ObjectMeta, strict=False)
    except msgspec.ValidationError:
        metadata = stored.get("metadata")
        fields = metadata if isinstance(metadata, dict) else {}
        return ObjectMeta(name=str(fields.get("name")), namespace=str(fields.get("namespace", "")))
