"""URLs of files on hubs: the repository behind them.

https://huggingface.co/docs/hub/models-downloading, and what ModelScope's own client asks for.
"""

from functools import lru_cache

from weighmaster.core import references
from weighmaster.core.values import ModelReference

_HUGGING_FACE = frozenset({"huggingface.co", "hf.co", "www.huggingface.co"})
_MODELSCOPE = frozenset(
    {"modelscope.cn", "www.modelscope.cn", "modelscope.ai", "www.modelscope.ai"}
)
_VERBS = frozenset({"resolve", "raw", "blob", "tree", "revision", "commit"})
_DEEP = ("refs/pr/", "refs/convert/", "refs/heads/", "refs/tags/")
"""Revisions that have slashes of their own."""


def pulled_from(reference: ModelReference) -> ModelReference | None:
    """The hub's reference for what Ollama pulls from a hub; None for any other reference.

    https://huggingface.co/docs/hub/ollama: the tag chooses a file of the default branch.
    """
    if reference.scheme != "ollama":
        return None
    host, _, name = reference.location.removeprefix("ollama://").partition("/")
    if host.lower() in _HUGGING_FACE:
        return references.hugging_face(name)
    return references.modelscope(name) if host.lower() in _MODELSCOPE else None


@lru_cache(maxsize=4096)
def repository_of(reference: ModelReference) -> ModelReference | None:
    """The hub's reference for what a URL names; None for any other reference.

    The revision is None where the URL has none.
    """
    if reference.scheme not in ("http", "https"):
        return None
    host, _, rest = reference.location.partition("://")[2].partition("/")
    path, _, query = rest.partition("#")[0].partition("?")
    parts = [part for part in path.split("/") if part]
    if host in _HUGGING_FACE:
        return _hugging_face(parts)
    if host in _MODELSCOPE:
        return _modelscope(parts, query)
    return None


def _hugging_face(parts: list[str]) -> ModelReference | None:
    if parts[:3] == ["api", "resolve-cache", "models"]:
        parts = [*parts[3:5], "resolve", *parts[5:]]
    elif parts[:2] == ["api", "models"]:
        parts = parts[2:]
    if len(parts) > 1 and parts[1] in _VERBS and (len(parts) < 3 or parts[2] not in _VERBS):
        parts = [parts[0], "", *parts[1:]]  # a model of the early days, without an organisation
    if not parts:
        return None
    name = "/".join(filter(None, parts[:2]))
    revision, file = _split(parts[3:]) if len(parts) > 3 and parts[2] in _VERBS else (None, None)
    return references.hugging_face(name, revision, file)


def _modelscope(parts: list[str], query: str) -> ModelReference | None:
    if parts[:2] == ["api", "v1"]:
        parts = parts[2:]
    if len(parts) < 3 or parts[0] != "models":
        return None
    name = "/".join(parts[1:3])
    if len(parts) > 4 and parts[3] in _VERBS:
        return references.modelscope(name, *_split(parts[4:]))
    asked = dict(each.partition("=")[::2] for each in query.split("&"))
    return references.modelscope(name, asked.get("Revision") or None, asked.get("FilePath") or None)


def _split(parts: list[str]) -> tuple[str | None, str | None]:
    """Revision and file of what follows a verb."""
    length = 3 if "/".join(parts).startswith(_DEEP) else 1
    return "/".join(parts[:length]) or None, "/".join(parts[length:]) or None
