"""How much one object may make detection do."""


class Budget:
    """What is left for one object.

    An object is at most 3 MB, but a script may run a file again and again, and a variable may be
    written in many places. What is over the budget is not passed over: it is a use with unknown
    weights.
    """

    __slots__ = ("characters", "copies", "grown", "texts")

    def __init__(self) -> None:
        self.characters = 1_000_000
        """Of shell scripts, each as often as it runs."""
        self.texts = 2_000_000
        """Characters of configuration files, each as often as a server reads it."""
        self.copies = 10_000_000
        """Variables that are copied for commands that must not see later assignments."""
        self.grown = 8_000_000
        """Characters that the expansion of variables may add."""

    def script(self, text: str) -> bool:
        """Whether a script may still be read."""
        self.characters -= len(text) + 20
        return self.characters >= 0

    def configuration(self, text: str) -> bool:
        """Whether a configuration file may still be read."""
        self.texts -= len(text)
        return self.texts >= 0

    def copy(self, size: int) -> bool:
        """Whether an environment may still be copied."""
        self.copies -= size + 10
        return self.copies >= 0

    def grow(self, size: int) -> bool:
        """Whether a text may still become longer."""
        self.grown -= size
        return self.grown >= 0
