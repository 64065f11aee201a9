"""From command lines to invocations: which programs a container runs, with which words."""

import re
from collections.abc import Callable, Iterator
from posixpath import basename

from weighmaster.core.detect.bystanders import QUIET
from weighmaster.core.detect.carriers import COPYING, Renamed, found, is_running, located, own
from weighmaster.core.detect.environment import Environment
from weighmaster.core.detect.invocation import CodeSnippet, Invocation
from weighmaster.core.detect.opaque import OpaqueCommands
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.shell import Command, Script
from weighmaster.core.detect.spawning import spawned
from weighmaster.core.detect.wrappers import (
    SHELLS,
    TAKING_STRINGS,
    WRAPPERS,
    after,
    command_string,
    env_split,
    shell_operand,
)

MAX_DEPTH = 6
"""Shells in shells that are followed."""

MAX_CODES = 200
"""Pieces of Python code of one container that are looked into for what they start."""

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*\Z")
_READING_TEXT = TAKING_STRINGS | {"eval", "env", "trap"}


def _said(command: Command) -> str:
    return " ".join(command.words[:20])[:200]


class CommandReader:
    """Reads the command lines of one container.

    ``file_at`` gives the text of a file that is mounted into the container, where it is known.
    ``is_server`` says which words name a server wherever they stand, ``starts`` whether one does
    serve with the words that follow.
    """

    def __init__(
        self,
        environment: Environment,
        file_at: Callable[[str], str | None],
        is_server: Callable[[str], bool],
        starts: Callable[[str, list[str]], bool],
    ) -> None:
        self.environment = environment
        self.file_at = file_at
        self.is_server = is_server
        self.starts = starts
        self.code: list[CodeSnippet] = []
        self.files: dict[str, str] = {}
        self.scripts: list[tuple[str, int, Path]] = []
        self.opaque = OpaqueCommands()
        self.renamed = Renamed()
        self.exhausted = False
        self._codes = 0
        self.place: Path = None
        self._input = ""
        self._input_origin = 0
        self._copied: tuple[Environment | None, Environment | None, int] = (None, None, 0)

    def read(self, elements: list[str], first: int = 0, place: Path = None) -> list[Invocation]:
        """The invocations of one command line.

        ``first`` is the origin of its first element, ``place`` the hook's ``command`` it stands in.
        """
        environment = self.environment
        self.place = place
        words = [environment.expand(word) if "$" in word else word for word in elements]
        origins = list(range(first, first + len(words)))
        found = list(self._unwrap(words, origins, environment, 0))
        if place is not None:
            for invocation in found:
                invocation.place = place
        return found

    def _unwrap(
        self, words: list[str], origins: list[int], environment: Environment, depth: int
    ) -> Iterator[Invocation]:
        """Look through wrappers, shells and interpreters, and give what is run in the end."""
        start = 0
        while start < len(words):
            name = words[start]
            program = name.rpartition("/")[2] if "/" in name else name
            if program in SHELLS or program == "busybox":
                yield from self._shell(words[start + 1 :], origins[start + 1 :], environment, depth)
                return
            if _PYTHON.match(program):
                yield from self._python(words, origins, start, environment)
                return
            if depth < MAX_DEPTH and program in _READING_TEXT:
                found = self._given_text(program, words, start, origins[start])
                if found is not None:
                    at, text = found
                    rest = list(zip(words[at:], origins[at:], strict=True))
                    yield from self._script(text, rest, origins[at - 1], environment, depth + 1)
                    return
            if program not in WRAPPERS:
                break
            start = after(words, start + 1, environment)
        if start < len(words):
            yield from self._run(words, origins, start, environment, depth)

    def _run(
        self, words: list[str], origins: list[int], start: int, environment: Environment, depth: int
    ) -> Iterator[Invocation]:
        """What is run when nothing wraps it any more."""
        program = located(words[start])
        meaning = self.renamed.meaning(program)
        if meaning is not None and depth < MAX_DEPTH:
            places = [origins[start]] * len(meaning) + origins[start + 1 :]
            yield from self._unwrap([*meaning, *words[start + 1 :]], places, environment, depth + 1)
            return
        invocation = Invocation(program, words[start + 1 :], origins[start + 1 :], environment)
        if start + 1 == len(words):
            invocation.origin = origins[start]
        if not self.is_server(invocation.program):
            yield from self._besides(invocation, depth)
        if invocation.program in QUIET or invocation.program in COPYING:
            yield invocation
            return
        if not self.is_server(invocation.program):
            inner = self._hidden(words, start + 1)
            if inner is not None:
                yield from self._unwrap(words[inner:], origins[inner:], environment, depth)
                return
            if program.endswith((".sh", ".bash", ".py")):
                self.scripts.append((program, origins[start], self.place))
            elif program[:1] == "$" or program[:2] == "<(":
                said = " ".join(words[start : start + 20])
                self.opaque.add(said, origins[start], self.place)
            content = self.text_at(program)
            if content is not None:
                yield from self._file(
                    content, program, list(zip(words, origins, strict=True))[start + 1 :],
                    origins[start], environment, depth,
                )  # fmt: skip
                return
        yield invocation

    def _besides(self, invocation: Invocation, depth: int) -> Iterator[Invocation]:
        """What a program that serves nothing does to others, and has others do."""
        program, words, origins = invocation.program, invocation.words, invocation.origins
        if program == "alias" or program in COPYING:
            self.renamed.note(program, [located(word) for word in words])
        elif is_running(program, words):
            self.opaque.add(f"{program} {' '.join(words)[:200]}", invocation.origin, self.place)
        elif program == "find":
            for begin, end in found(words, 0):
                if depth >= MAX_DEPTH:
                    self.exhausted = True
                    return
                if words[begin : begin + 1] == ["{}"]:
                    said = " ".join(words[:20])
                    self.opaque.add(f"find {said}", origins[begin], self.place)
                yield from self._unwrap(
                    words[begin:end], origins[begin:end], invocation.environment, depth + 1
                )

    def text_at(self, path: str) -> str | None:
        """The text of a file: one that a script wrote, or one that is mounted."""
        return self.files.get(own(path)) or self.file_at(path)

    def _given_text(
        self, program: str, words: list[str], start: int, origin: int
    ) -> tuple[int, str] | None:
        """The shell text that a word or more hold, and where the words after it start."""
        if program == "eval":
            text = " ".join(words[start + 1 :])
            if "$(" in text:
                self.opaque.add(f"eval {text}", origin, self.place)
            return len(words), text
        if program == "trap":
            handler = next((word for word in words[start + 1 :] if word != "--"), "-")
            return None if handler[:1] == "-" else (len(words), handler)
        if program == "env":
            split = env_split(words, start + 1)
            if split is None:
                return None
            at, text = split
            return at, f'{text} "$@"' if at < len(words) else text
        found = command_string(words, start + 1)
        return None if found is None else (found[0] + 1, found[1])

    def _hidden(self, words: list[str], start: int) -> int | None:
        """Where a server stands behind a program we do not know, if it does.

        The first that serves with the words after it, else the first: one may name an environment
        (``conda run -n vllm vllm serve``) or a package (``uv run --with vllm``).
        """
        first: int | None = None
        for index in range(start, len(words)):
            word = words[index]
            if word == "-m":
                continue
            program = word.rpartition("/")[2] if "/" in word else word
            if self.is_server(program):
                at = index - 1 if words[index - 1] == "-m" and index - 1 > start else index
                first = at if first is None else first
                if self.starts(program, words[index + 1 : index + 11]):
                    return at
            if program in SHELLS and index + 1 < len(words) and words[index + 1][:1] == "-":
                return index
            if _PYTHON.match(program) and index + 1 < len(words):
                return index
        return first

    def _shell(
        self, words: list[str], origins: list[int], environment: Environment, depth: int
    ) -> Iterator[Invocation]:
        if depth >= MAX_DEPTH:
            self.exhausted = True
            return
        index, inline = shell_operand(words)
        if index >= len(words):
            self._from_input(origins)
            return
        if inline:
            rest = list(zip(words[index + 2 :], origins[index + 2 :], strict=True))
            yield from self._script(words[index], rest, origins[index], environment, depth + 1)
            return
        path = words[index]
        rest = list(zip(words[index + 1 :], origins[index + 1 :], strict=True))
        text = self.text_at(path)
        if text is not None:
            yield from self._script(text, rest, origins[index], environment, depth + 1)
            return
        if path[:2] == "<(":
            self.opaque.add(f"shell {path}", origins[index], self.place)
            return
        if path[:1] != "$" and basename(path) not in SHELLS and not path.endswith((".sh", ".bash")):
            self.scripts.append((path, origins[index], self.place))
        yield from self._unwrap(words[index:], origins[index:], environment, depth + 1)

    def _from_input(self, origins: list[int]) -> None:
        """A shell or interpreter that runs what it is piped."""
        if self._input:
            origin = origins[0] if origins else self._input_origin
            self.opaque.add(self._input, origin, self.place)

    def _file(
        self, text: str, path: str, rest: list[tuple[str, int]], origin: int,
        environment: Environment, depth: int,
    ) -> Iterator[Invocation]:  # fmt: skip
        """Run a file that is known: by its first line a shell script or Python."""
        if path.endswith(".py") or (text.startswith("#!") and "python" in text[:80]):
            yield from self._take_code(text, origin, environment)
        elif depth < MAX_DEPTH:
            yield from self._script(text, rest, origin, environment, depth + 1)

    def _script(
        self, text: str, parameters: list[tuple[str, int]], origin: int,
        environment: Environment, depth: int,
    ) -> Iterator[Invocation]:  # fmt: skip
        budget = self.environment.budget
        known = len(environment.values)
        if depth > MAX_DEPTH or not budget.script(text) or not budget.copy(known):
            self.exhausted = True
            return
        script = Script(environment, parameters, origin)
        script.files = self.files
        piped: Command | None = None
        line = ""
        for command in script.commands(text):
            taken = False
            if piped is not None:
                for found in self._pipe(piped, command, depth):
                    taken = True
                    yield found
                self._input_origin = command.origins[0]
            self._input = "" if taken or piped is None else f"{line} | {command.words[0]}"
            yield from self._command(command, depth)
            self._input = ""
            line = f"{line} | {_said(command)}" if piped is not None else _said(command)
            piped = command if command.piped else None
        self.exhausted = self.exhausted or script.exhausted

    def _pipe(self, source: Command | None, command: Command, depth: int) -> Iterator[Invocation]:
        """``echo TEXT | sh`` and ``echo WORDS | xargs PROGRAM``."""
        if source is None or source.words[0] not in ("echo", "printf", "cat"):
            return
        text = source.body or " ".join(w for w in source.words[1:] if w not in ("-e", "-n", "%s"))
        first = command.words[0].rpartition("/")[2]
        if first in SHELLS and len(command.words) <= 2 and depth < MAX_DEPTH:
            origin = command.origins[0]
            yield from self._script(text, [], origin, command.environment, depth + 1)
        elif first == "tee" and len(command.words) > 1:
            self.files[own(command.words[-1])] = text
        elif first == "xargs":
            command.words += text.split()[:1000]
            command.origins += [command.origins[0]] * (len(command.words) - len(command.origins))

    def _command(self, command: Command, depth: int) -> Iterator[Invocation]:
        first = command.words[0]
        program = first.rpartition("/")[2] if "/" in first else first
        if command.body is not None and len(command.words) <= 3:
            if _PYTHON.match(program):
                yield from self._take_code(command.body, command.origins[0], command.environment)
                return
            if program in SHELLS and depth < MAX_DEPTH:
                yield from self._script(
                    command.body, [], command.origins[0], command.environment, depth + 1
                )
                return
        if program in (".", "source") and len(command.words) > 1:
            path = command.words[1]
            text = self.text_at(path)
            if text is None and path[:2] in ("<(", "$("):
                self.opaque.add(f"source {path}", command.origins[0], self.place)
            if text is not None and depth < MAX_DEPTH:
                yield from self._script(
                    text, [], command.origins[0], command.environment, depth + 1
                )
            return
        for invocation in self._unwrap(command.words, command.origins, command.environment, depth):
            invocation.body = command.body
            invocation.target = command.target
            # The script goes on assigning; what this command saw must stay.
            if invocation.environment is command.environment and program not in QUIET:
                invocation.environment = self._snapshot(command.environment)
            yield invocation

    def _snapshot(self, environment: Environment) -> Environment:
        """A copy of what a script has assigned so far; one copy serves until it assigns again."""
        made, of, version = self._copied
        if of is environment and version == environment.version and made is not None:
            return made
        if not environment.budget.copy(len(environment.values)):
            self.exhausted = True
            return environment
        made = environment.copy()
        self._copied = (made, environment, environment.version)
        return made

    def _python(
        self, words: list[str], origins: list[int], start: int, environment: Environment
    ) -> Iterator[Invocation]:
        index = start + 1
        while index < len(words):
            word = words[index]
            if word == "-m" and index + 1 < len(words):
                yield Invocation(
                    words[index + 1], words[index + 2 :], origins[index + 2 :], environment
                )
                return
            if word.startswith("-m") and len(word) > 2 and not word.startswith("--"):
                yield Invocation(word[2:], words[index + 1 :], origins[index + 1 :], environment)
                return
            if word == "-c" and index + 1 < len(words):
                yield from self._take_code(words[index + 1], origins[index + 1], environment)
                return
            if word in ("-X", "-W", "--check-hash-based-pycs"):
                index += 2
            elif word.startswith("-") and len(word) > 1:
                index += 1
                if word[-1] == "m" and word[1] != "-" and index < len(words):  # -um, -Im
                    yield Invocation(
                        words[index], words[index + 1 :], origins[index + 1 :], environment
                    )
                    return
            else:
                break
        if index >= len(words) or words[index] == "-":
            self._from_input(origins[start:])
            return
        path = words[index]
        invocation = Invocation(path, words[index + 1 :], origins[index + 1 :], environment)
        text = self.text_at(path)
        if text is not None:
            yield from self._take_code(text, origins[index], environment)
        elif not self.is_server(invocation.program) and not _PYTHON.match(invocation.program):
            self.scripts.append((path, origins[index], self.place))
        yield invocation

    def _take_code(self, code: str, origin: int, environment: Environment) -> Iterator[Invocation]:
        """Keep Python code, and look into what it starts."""
        self.code.append(CodeSnippet(code, origin, environment, self.place))
        self.opaque.add_code(code, origin, self.place)
        self._codes += 1
        if self._codes > MAX_CODES:
            self.exhausted = True
            return
        for program in spawned(code):
            if program.words:
                places = [origin] * len(program.words)
                yield from self._unwrap(list(program.words), places, environment, 1)
            elif program.text:
                yield from self._script(program.text, [], origin, environment, 1)
            else:
                self.opaque.add(f"python {program.call}", origin, self.place)
