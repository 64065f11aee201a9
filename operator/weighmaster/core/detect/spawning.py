"""Python code that starts other programs: which ones, where that is plain to see.

The code is searched, not run. Every call is looked at through a short window after its name.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

WINDOW = 2000
MAX_CALLS = 50

_CALL = re.compile(
    r"(?:\b(\w{1,40})\.)?\b(Popen|run|call|check_call|check_output|getoutput|getstatusoutput|"
    r"create_subprocess_exec|create_subprocess_shell|system|popen|exec[lv]p?e?|spawn(?:[lv]p?e?)?|"
    r"posix_spawnp?|run_module|run_path|import_module|__import__)\s?\("
)
_HIDING = re.compile(
    r"\bgetattr\s?\(\s{0,4}(?:os|subprocess|sys|builtins|__builtins__|importlib)\b"
)
_ALIAS = re.compile(r"\bimport\s+subprocess\s+as\s+(\w{1,40})")
_BARE = re.compile(r"\bfrom\s+subprocess\s+import\b")
_COMMENT = re.compile(r"(?m)^[ \t]{0,80}#[^\n]*$")
_LITERAL = re.compile(
    r"[rbu]{0,2}(?:\"\"\"([^\"\\]*)\"\"\"|'''([^'\\]*)'''|\"([^\"\\\n]*)\"|'([^'\\\n]*)')"
)
_SPACE = re.compile(r"[\s,]*")

_IMPORTING = frozenset({"import_module", "__import__"})
_WITH_PROGRAM = re.compile(r"exec|spawn[lv]|posix_spawn")
"""Calls whose first word is the program, and whose next is what it shall take for its name."""


class Spawned(Struct, frozen=True):
    """A program that is started: ``words``, or ``text`` for a shell; neither where it is not plain.

    ``call`` is how the code says it, for people.
    """

    call: str
    words: tuple[str, ...] = ()
    text: str = ""

    @property
    def plain(self) -> bool:
        """Whether it can be told what is started."""
        return bool(self.words or self.text)


def spawned(code: str) -> Iterator[Spawned]:
    """The programs that a piece of Python code starts, in order; at most MAX_CALLS."""
    code = _COMMENT.sub("", code[:200_000])
    modules = {"subprocess", *_ALIAS.findall(code)}
    bare = bool(_BARE.search(code))
    if hidden := _HIDING.search(code):
        yield Spawned(code[hidden.start() : hidden.start() + 100])
    count = 0
    for match in _CALL.finditer(code):
        owner, call = match[1], match[2]
        if call in ("run", "call") and not (owner in modules or (bare and owner is None)):
            continue
        read = _read(call, code[match.end() : match.end() + WINDOW])
        if read is None:
            continue
        count += 1
        if count > MAX_CALLS:
            yield Spawned("more programs than are looked at")
            return
        words, text = read
        yield Spawned(code[match.start() : match.start() + 100], tuple(words), text)


def _read(call: str, window: str) -> tuple[list[str], str] | None:
    """The words or the text of a call by what stands in its parentheses; None for no program."""
    texts, listed, plain = _literals(window)
    if call in _IMPORTING:
        return None if plain else ([], "")
    if not texts:
        return None if window.lstrip()[:1] == ")" else ([], "")
    if not plain:
        return [], ""
    if call in ("run_module", "run_path"):
        return ["python3", *(["-m"] if call == "run_module" else []), texts[0]], ""
    if _WITH_PROGRAM.match(call):
        return [texts[0], *texts[2:]], ""
    if listed or call == "create_subprocess_exec":
        return texts, ""
    return [], texts[0]


def _literals(window: str) -> tuple[list[str], bool, bool]:
    """The texts at the beginning of a call, whether in a list, and whether there is nothing else.

    They end at the first option by name, or where the list does; what follows says how to run it.
    """
    texts: list[str] = []
    listed = False
    at = 0
    while True:
        space = _SPACE.match(window, at)
        at = space.end() if space else at
        character = window[at : at + 1]
        if character in ("[", "("):
            listed = True
            at += 1
            continue
        literal = _LITERAL.match(window, at)
        if literal is None:
            break
        texts.append(next(group for group in literal.groups() if group is not None))
        at = literal.end()
    rest = window[at : at + 60]
    mode = rest.startswith(("os.P_", "P_"))
    if mode and not texts:  # os.spawnvp(os.P_WAIT, ...)
        return _literals(window[at + len(rest.partition(",")[0]) :])
    named = re.match(r"\w{1,40}\s{0,4}=(?!=)", rest) is not None
    return texts, listed, rest[:1] in ("]", ")") or (named and bool(texts) and not listed)
