"""At which revision a server loads what it names, and what it loads beside that without saying so.

Upstream, as far as it matters here:

- vLLM (``ModelConfig``): the tokenizer has the model's revision unless ``--tokenizer-revision``
  says otherwise, also when it is another repository's. ``--code-revision`` is the code's alone.
- SGLang (``get_tokenizer``): ``--revision`` is the tokenizer's too, there is no other option.
- LMDeploy (``get_model``): ``--revision`` is that of draft models and adapters too.
- KServe's Hugging Face server: ``--tokenizer_revision`` does not follow ``--model_revision``.

A revision says nothing about a path: what lies there has been fetched by something else.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from weighmaster.core import references
from weighmaster.core.detect.environment import has_variable
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.values import ModelReference, Role

_LOADED_AS_BASE = frozenset({Role.EMBEDDING, Role.RERANKER})
_MAKERS = {"hf": references.hugging_face, "modelscope": references.modelscope}


def revision_of(role: Role, runtime: Runtime, given: Mapping[Role, str]) -> str | None:
    """The revision at which a server loads a role whose name has none; None for the head."""
    revision = given.get(role)
    if not revision and role in runtime.follows:
        revision = given.get(runtime.follows[role])
    if not revision and role in _LOADED_AS_BASE:
        revision = given.get(Role.BASE)
    return revision or None


def at_revision(reference: ModelReference, revision: str | None, file: str) -> ModelReference:
    """A repository at a revision, unless its name already has one; ``file`` is one in it."""
    revision = reference.revision or revision
    if not revision and not file:
        return reference
    repository = reference.location.partition("://")[2]
    read = _MAKERS[reference.scheme](repository, revision, reference.file or file or None)
    return references.unexpanded(read) if has_variable(read.canonical) else read


def is_fetched(reference: ModelReference, value: str) -> bool:
    """Whether ``value`` names a repository that the server itself fetches, and not a path."""
    return (
        reference.scheme in _MAKERS
        and reference.known
        and value[:1] not in ("/", ".", "~")
        and reference.location.partition("://")[2] in value
    )


class Beside(NamedTuple):
    """Something that is loaded out of the model's own repository, and the field that says so."""

    reference: ModelReference
    role: Role
    path: Path
    reason: str


def beside(
    base: ModelReference, path: Path, runtime: Runtime, given: Mapping[Role, str],
    code: tuple[str, Path] | None,
) -> Iterator[Beside]:  # fmt: skip
    """What is loaded out of a model's own repository, but at another revision.

    ``code`` is the revision of code that may run, and where it is given.
    """
    read, repository = _MAKERS.get(base.scheme), base.location.partition("://")[2]
    if read is None:  # the revision makes no reference
        return
    if Role.TOKENIZER in runtime.revisions.values():
        revision = revision_of(Role.TOKENIZER, runtime, given)
        if revision != base.revision:
            tokenizer = read(repository, revision)
            yield Beside(tokenizer, Role.TOKENIZER, path, f"{runtime.name} tokenizer")
    if code is not None and code[0] != base.revision:
        yield Beside(
            read(repository, code[0]), Role.BASE, code[1], f"{runtime.name} --code-revision"
        )
