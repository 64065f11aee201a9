"""Roles: what a workload uses a model for."""

from enum import StrEnum


class Role(StrEnum):
    """What a workload uses a model for."""

    BASE = "base"
    ADAPTER = "adapter"
    DRAFT = "draft"
    TOKENIZER = "tokenizer"
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    PROJECTOR = "projector"
    EXPLAINER = "explainer"
    FETCH = "fetch"
