"""Programs that nobody calls wrappers, and that run, make or rename others all the same."""

import re
from posixpath import basename

MAX_RENAMED = 200
"""Other names for programs that one container's commands are followed through."""

_EXECUTING = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_AWKS = frozenset({"awk", "gawk", "mawk", "nawk"})
_AWK = re.compile(r"\bsystem\s?\(|\|\s{0,4}(?:&|getline|[\"A-Za-z(])")
_SED = re.compile(
    r"(?:^|[;{}\n])[\d$,!~ \t]{0,20}e(?:\s|$)|/[gpiIm\d]{0,8}e[gpiIm\d]{0,8}\s{0,4}(?:$|[;}\n])"
)
_TAR = ("--to-command", "--checkpoint-action", "--use-compress-program", "--info-script",
        "--new-volume-script", "--rsh-command")  # fmt: skip
COPYING = frozenset({"cp", "ln", "mv", "install"})
_INTERPRETERS = frozenset({"perl", "ruby", "node", "nodejs", "php", "lua", "luajit", "tclsh",
                           "expect", "gdb", "bun", "deno", "Rscript", "julia", "pwsh"})  # fmt: skip
_INLINE = frozenset({"-e", "-E", "-ne", "-pe", "-r", "--eval", "--exec", "-c", "-ex", "eval"})
_WHICH = re.compile(r"\$\((?:which|command -v|type -p)\s+([\w./-]{1,80})\)\Z")
_SPAWNING = re.compile(r"exec|system|spawn|popen|fork|`", re.IGNORECASE)


def found(words: list[str], start: int) -> list[tuple[int, int]]:
    """Where the commands stand that ``find`` runs on what it finds: from, to."""
    commands = []
    at = start
    while at < len(words):
        if words[at] not in _EXECUTING:
            at += 1
            continue
        end = at + 1
        while end < len(words) and words[end] not in (";", "+"):
            end += 1
        commands.append((at + 1, end))
        at = end
    return commands


def located(program: str) -> str:
    """A program that is looked for: ``$(which vllm)`` is ``vllm``."""
    match = _WHICH.match(program) if program[:2] == "$(" else None
    return match[1] if match else program


def is_running(program: str, words: list[str]) -> bool:
    """Whether a program that works on text or files is told to run a command, too."""
    if program in _AWKS:
        return any(_AWK.search(word[:10_000]) for word in words)
    if program == "sed":
        return any(_SED.search(word[:10_000]) for word in words)
    if program == "tar":
        return any(word.startswith(_TAR) for word in words)
    if program in _INTERPRETERS:
        inline = any(first in _INLINE for first in words[:8])
        return inline and any(_SPAWNING.search(word[:10_000]) for word in words)
    return False


class Renamed:
    """Programs that a script gives another name: by an alias, a copy, a link."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def note(self, program: str, words: list[str]) -> None:
        """Take what ``alias``, ``cp``, ``ln``, ``mv`` or ``install`` says."""
        if len(self._names) >= MAX_RENAMED:
            return
        if program == "alias":
            for word in words[:100]:
                name, equals, text = word.partition("=")
                if equals and text:
                    self._names[name] = text.split()[:100]
        elif program in COPYING:
            plain = [word for word in words if word[:1] != "-"]
            if len(plain) == 2:
                self._names[own(plain[1])] = [plain[0]]

    def meaning(self, name: str) -> list[str] | None:
        """The words that a program's name stands for, where it is another's."""
        words = self._names.get(own(name)) if self._names else None
        return words if words and basename(words[0]) != basename(name) else None


def own(path: str) -> str:
    """A path in the folder that a script works in, however it is written."""
    return path.removeprefix("./")
