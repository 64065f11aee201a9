"""Commands that only exist when they run: decoded, downloaded, taken from elsewhere."""

import re
from typing import NamedTuple

from weighmaster.core.detect.paths import Path

MAX_OPAQUE = 20
"""Unreadable commands of one container that are kept."""

_SETTING_UP = re.compile(
    r"(?:eval (?:\\?\"?))?\$\((?:\S*/)?(?:conda|micromamba|mamba|ssh-agent|direnv|pyenv|brew|"
    r"dircolors|starship|mise|rbenv|fnm|uv|poetry)\b"
)
"""Programs whose output is made for ``eval``: it sets variables."""
_DECODING = re.compile(r"base(?:64|32)|xxd|openssl|uudecode|\brev\b|\bgunzip\b|fromhex|b64decode")
_EXECUTING = re.compile(
    r"\b(?:exec|eval|execfile|runpy\.run_\w+)\s?\(\s{0,4}(?![\"'\s)])|\bmarshal\.loads\s?\("
)
_COMMENT = re.compile(r"(?m)^[ \t]{0,80}#[^\n]*$")


class Opaque(NamedTuple):
    """A command that cannot be read, and where it stands.

    ``disguised``: somebody took care that nobody reads it.
    """

    expression: str
    origin: int
    place: Path
    disguised: bool


class OpaqueCommands:
    """Those of one container."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Opaque] = []

    def add(self, expression: str, origin: int, place: Path) -> None:
        """Note a command, unless it is one that everybody uses to set up a shell."""
        if len(self.found) < MAX_OPAQUE and not _SETTING_UP.match(expression):
            disguised = bool(_DECODING.search(expression[:2000]))
            self.found.append(Opaque(expression[:200], origin, place, disguised))

    def add_code(self, code: str, origin: int, place: Path) -> None:
        """Note Python code that runs code which is not there to be read."""
        if "exec" not in code and "eval" not in code and "run_" not in code:
            return
        match = _EXECUTING.search(_COMMENT.sub("", code[:200_000]))
        if match and ".eval" not in code[max(0, match.start() - 1) : match.end()]:
            self.add(f"python {match[0]}{match.string[match.end() :][:120]}", origin, place)
