"""What a command line comes to: programs with their words, and Python code."""

from posixpath import basename

from weighmaster.core.detect.environment import Environment
from weighmaster.core.detect.paths import Path


class Invocation:
    """One program with its arguments.

    ``program`` is its base name, or the module for ``python -m``. ``origins`` tells for each
    word which element of the container's command line it comes from.
    """

    __slots__ = (
        "body",
        "environment",
        "origin",
        "origins",
        "path",
        "place",
        "program",
        "target",
        "words",
    )

    def __init__(
        self, path: str, words: list[str], origins: list[int], environment: Environment
    ) -> None:
        self.path = path
        self.program = basename(path) if "/" in path else path
        self.words = words
        self.origins = origins
        self.environment = environment
        self.origin = origins[0] if origins else 0
        """Where its first argument stands, or itself if it has none."""
        self.place: Path = None
        """The ``command`` of the hook or probe that runs it; ``None`` for the container's own."""
        self.body: str | None = None
        self.target: str | None = None


class CodeSnippet:
    """Python code that a container runs."""

    __slots__ = ("code", "environment", "origin", "place")

    def __init__(self, code: str, origin: int, environment: Environment, place: Path) -> None:
        self.code = code
        self.origin = origin
        self.place = place
        self.environment = environment
