"""From command lines to invocations.

Which programs does a container run, with which words?
"""

import re
from collections.abc import Callable, Iterator
from posixpath import basename

from weighmaster.core.detect.environment import Environment
from weighmaster.core.detect.shell import Command, Script

MAX_DEPTH = 6
"""Shells in shells that are followed."""

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "rbash"})
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*\Z")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_TAKING_VALUE = frozenset({"-u", "--user", "-n", "-C", "--chdir", "-S", "-g", "-k", "-s", "-c"})

WRAPPERS = frozenset(
    {
        "env", "exec", "nohup", "setsid", "nice", "ionice", "time", "timeout", "stdbuf", "sudo",
        "tini", "dumb-init", "catchsegv", "numactl", "taskset", "command", "builtin", "gosu",
        "su-exec", "unbuffer", "xvfb-run", "chrt", "prlimit", "catatonit", "s6-setuidgid", "doas",
        "runuser", "setpriv", "unshare", "chroot", "bash-c",
    }
)  # fmt: skip
"""Programs that run the command that follows."""

QUIET = frozenset(
    {
        "echo", "printf", "grep", "egrep", "fgrep", "pip", "pip3", "apt", "apt-get", "apk", "yum",
        "dnf", "microdnf", "ls", "cd", "mkdir", "rm", "chmod", "chown", "ps", "pgrep", "pkill",
        "kill", "killall", "test", "[", "[[", "sed", "awk", "which", "tail", "head", "cat", "wc",
        "sort", "find", "sleep", "touch", "kubectl", "docker", "podman", "jq", "tee", "tr", "cut",
        "du", "df", "stat", "tar", "unzip", "gunzip", "export", "type", "whereis", "man", "true",
        "false", ":", "wait", "trap", "return", "exit", "let", "ulimit", "sysctl", "set",
        "conda-pack", "npm", "node", "make", "cmake", "go", "cargo", "dd", "nvidia-smi", "hash",
        "envsubst", "read", "basename", "dirname", "realpath", "sha256sum", "md5sum", "unset",
    }
)  # fmt: skip
"""Programs whose words are not commands, whatever they say."""


class Invocation:
    """One program with its arguments.

    ``program`` is its base name, or the module for ``python -m``. ``origins`` tells for each
    word which element of the container's command line it comes from.
    """

    __slots__ = ("body", "environment", "origins", "path", "program", "target", "words")

    def __init__(
        self, path: str, words: list[str], origins: list[int], environment: Environment
    ) -> None:
        self.path = path
        self.program = basename(path) if "/" in path else path
        self.words = words
        self.origins = origins
        self.environment = environment
        self.body: str | None = None
        self.target: str | None = None


class CodeSnippet:
    """Python code that a container runs."""

    __slots__ = ("code", "environment", "origin")

    def __init__(self, code: str, origin: int, environment: Environment) -> None:
        self.code = code
        self.origin = origin
        self.environment = environment


def _env_split(words: list[str], start: int) -> tuple[int, str] | None:
    """The string that ``env -S`` splits into words, and where the words after it start."""
    for index in range(start, min(len(words), start + 10)):
        word = words[index]
        if word in ("-S", "--split-string") and index + 1 < len(words):
            return index + 2, words[index + 1]
        if word.startswith("-S"):
            return index + 1, word[2:]
        if word.startswith("--split-string="):
            return index + 1, word.partition("=")[2]
        if not word.startswith("-") and "=" not in word:
            return None
    return None


class CommandReader:
    """Reads the command lines of one container.

    ``file_at`` gives the text of a file that is mounted into the container, where it is known.
    ``servers`` and ``modules`` say which words name a server wherever they stand.
    """

    def __init__(
        self,
        environment: Environment,
        file_at: Callable[[str], str | None],
        is_server: Callable[[str], bool],
    ) -> None:
        self.environment = environment
        self.file_at = file_at
        self.is_server = is_server
        self.code: list[CodeSnippet] = []
        self.files: dict[str, str] = {}
        self.scripts: list[tuple[str, int]] = []
        self.exhausted = False

    def read(self, elements: list[str], first: int = 0) -> list[Invocation]:
        """The invocations of one command line; ``first`` is the origin of its first element."""
        environment = self.environment
        words = [environment.expand(word) if "$" in word else word for word in elements]
        origins = list(range(first, first + len(words)))
        return list(self._unwrap(words, origins, environment, 0))

    def _unwrap(  # noqa: PLR0912 - one kind of program a branch
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
            if program == "eval" and depth < MAX_DEPTH:
                text = " ".join(words[start + 1 :])
                yield from self._script(text, [], origins[start], environment, depth + 1)
                return
            if program not in WRAPPERS:
                break
            if program == "env" and depth < MAX_DEPTH:
                found = _env_split(words, start + 1)
                if found is not None:
                    at, text = found
                    rest = list(zip(words[at:], origins[at:], strict=True))
                    text = f'{text} "$@"' if rest else text
                    yield from self._script(text, rest, origins[at - 1], environment, depth + 1)
                    return
            start = self._after_wrapper(words, start + 1, environment)
        if start >= len(words):
            return
        program = words[start]
        invocation = Invocation(program, words[start + 1 :], origins[start + 1 :], environment)
        if invocation.program in QUIET:
            yield invocation
            return
        if not self.is_server(invocation.program):
            inner = self._hidden(words, start + 1)
            if inner is not None:
                yield from self._unwrap(words[inner:], origins[inner:], environment, depth)
                return
            if program.endswith((".sh", ".bash", ".py")):
                self.scripts.append((program, origins[start]))
            content = self.files.get(program) or self.file_at(program)
            if content is not None:
                yield from self._file(
                    content, program, list(zip(words, origins, strict=True))[start + 1 :],
                    origins[start], environment, depth,
                )  # fmt: skip
                return
        yield invocation

    @staticmethod
    def _after_wrapper(words: list[str], start: int, environment: Environment) -> int:
        """Where the wrapped command starts: after flags, numbers, assignments and ``--``."""
        while start < len(words):
            word = words[start]
            if word == "--":
                return start + 1
            if word.startswith("-"):
                start += 2 if word in _TAKING_VALUE else 1
            elif _ASSIGNMENT.match(word):
                name, _, value = word.partition("=")
                environment.assign(name, value)
                start += 1
            elif word[:1].isdigit():
                start += 1
            else:
                break
        return start

    def _hidden(self, words: list[str], start: int) -> int | None:
        """Where a server stands behind a program we do not know, if it does."""
        for index in range(start, len(words)):
            word = words[index]
            if word == "-m":
                continue
            program = word.rpartition("/")[2] if "/" in word else word
            if self.is_server(program):
                return index - 1 if words[index - 1] == "-m" and index - 1 > start else index
            if program in SHELLS and index + 1 < len(words) and words[index + 1][:1] == "-":
                return index
            if _PYTHON.match(program) and index + 1 < len(words):
                return index
        return None

    def _shell(
        self, words: list[str], origins: list[int], environment: Environment, depth: int
    ) -> Iterator[Invocation]:
        if depth >= MAX_DEPTH:
            self.exhausted = True
            return
        index = 0
        inline = False
        while index < len(words):
            word = words[index]
            if word in SHELLS and index == 0:  # busybox sh
                index += 1
            elif word == "--":
                index += 1
                break
            elif word[:1] in ("-", "+") and len(word) > 1:
                index += 1
                if word[0] == "-" and word[1] != "-" and "c" in word:
                    inline = True
                if word.endswith("o") or word in ("--rcfile", "--init-file"):
                    index += 1
            else:
                break
        if index >= len(words):
            return
        if inline:
            rest = list(zip(words[index + 2 :], origins[index + 2 :], strict=True))
            yield from self._script(words[index], rest, origins[index], environment, depth + 1)
            return
        path = words[index]
        rest = list(zip(words[index + 1 :], origins[index + 1 :], strict=True))
        text = self.files.get(path) or self.file_at(path)
        if text is not None:
            yield from self._script(text, rest, origins[index], environment, depth + 1)
            return
        yield from self._unwrap(words[index:], origins[index:], environment, depth + 1)

    def _file(
        self, text: str, path: str, rest: list[tuple[str, int]], origin: int,
        environment: Environment, depth: int,
    ) -> Iterator[Invocation]:  # fmt: skip
        """Run a file that is known: by its first line a shell script or Python."""
        if path.endswith(".py") or (text.startswith("#!") and "python" in text[:80]):
            self.code.append(CodeSnippet(text, origin, environment))
        elif depth < MAX_DEPTH:
            yield from self._script(text, rest, origin, environment, depth + 1)

    def _script(
        self, text: str, parameters: list[tuple[str, int]], origin: int,
        environment: Environment, depth: int,
    ) -> Iterator[Invocation]:  # fmt: skip
        if depth > MAX_DEPTH:
            self.exhausted = True
            return
        script = Script(environment, parameters, origin)
        script.files = self.files
        piped: Command | None = None
        for command in script.commands(text):
            yield from self._pipe(piped, command, depth)
            yield from self._command(command, depth)
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
        elif first == "xargs":
            command.words += text.split()[:1000]
            command.origins += [command.origins[0]] * (len(command.words) - len(command.origins))

    def _command(self, command: Command, depth: int) -> Iterator[Invocation]:
        first = command.words[0]
        program = first.rpartition("/")[2] if "/" in first else first
        if command.body is not None and len(command.words) <= 3:
            if _PYTHON.match(program):
                self.code.append(CodeSnippet(command.body, command.origins[0], command.environment))
                return
            if program in SHELLS and depth < MAX_DEPTH:
                yield from self._script(
                    command.body, [], command.origins[0], command.environment, depth + 1
                )
                return
        if program in (".", "source") and len(command.words) > 1:
            text = self.files.get(command.words[1]) or self.file_at(command.words[1])
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
                invocation.environment = command.environment.copy()
            yield invocation

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
                self.code.append(CodeSnippet(words[index + 1], origins[index + 1], environment))
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
        if index >= len(words):
            return
        path = words[index]
        invocation = Invocation(path, words[index + 1 :], origins[index + 1 :], environment)
        text = self.files.get(path) or self.file_at(path)
        if text is not None:
            self.code.append(CodeSnippet(text, origins[index], environment))
        elif not self.is_server(invocation.program):
            self.scripts.append((path, origins[index]))
        yield invocation
