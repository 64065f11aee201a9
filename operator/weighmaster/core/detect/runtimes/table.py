"""What there is to know about a runtime: where it takes weights from."""

from collections.abc import Mapping

from msgspec import Struct

from weighmaster.core.values import Role

BASE, ADAPTER, DRAFT = Role.BASE, Role.ADAPTER, Role.DRAFT
TOKENIZER, PROJECTOR = Role.TOKENIZER, Role.PROJECTOR


class Runtime(Struct, frozen=True, kw_only=True, eq=False):
    """A server (or another program that loads weights) as a table.

    Option names are given without leading dashes and with ``-`` for ``_``.

    ``options``: options whose value is a reference. ``lists``: options that take several
    ``name=reference`` words or JSON. ``documents``: options whose JSON value has a reference under
    ``model``. ``variables``: environment variables whose value is a reference.
    ``positional``: the first word that is no option is a reference. ``subcommands``: words that
    must come first; others load nothing. ``revisions``: which role's reference an option or
    variable pins. ``follows``: roles that are loaded at another role's revision when they have none
    of their own. ``files``: options that name a file of the base reference's repository.
    ``switches``: options without a value. ``bare``: what a value without a scheme is: a name on a
    ``hub``, a ``path``, or a name of the ``ollama`` library. ``absent``: what the container loads
    when it names nothing: ``unresolved``, ``default``, ``dynamic``, ``image`` or ``nothing``.
    ``directory``: where the image looks for models by default.

    A runtime is equal to itself only, so that what its table says can be remembered by it.
    """

    name: str
    options: Mapping[str, Role] = {}
    lists: Mapping[str, Role] = {}
    documents: Mapping[str, Role] = {}
    variables: Mapping[str, Role] = {}
    positional: bool = False
    subcommands: frozenset[str] = frozenset()
    revisions: Mapping[str, Role] = {}
    follows: Mapping[Role, Role] = {}
    files: frozenset[str] = frozenset()
    switches: frozenset[str] = frozenset()
    remote_code: frozenset[str] = frozenset({"trust-remote-code"})
    adapters: frozenset[str] = frozenset()
    bare: str = "hub"
    absent: str = "unresolved"
    directory: str = ""
    extra: tuple[str, ...] = ()
    role: Role = BASE


def options(role: Role, names: str) -> dict[str, Role]:
    """A table that gives ``role`` to each of the space-separated ``names``."""
    return dict.fromkeys(names.split(), role)
