"""A reader of shell scripts.

Which simple commands could a script run, with which words?

It is no interpreter. Every command is taken as reachable; a variable that is assigned under a
condition keeps all of its values. It makes one pass over the text, works with a stack instead of
recursion, and stops at a budget of words, so that time stays linear for any input.
"""

import re
from collections.abc import Iterator

from weighmaster.core.detect.carriers import own
from weighmaster.core.detect.environment import MAX_VALUE, Environment
from weighmaster.core.detect.scanner import Frame, Part, Scanner

WORDS = 20_000
"""Expanded words a script may come to before the reader gives up on it."""
ALTERNATIVES = 16

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]=]{0,40}\])?(\+?)=")

_OPENING = frozenset({"if", "while", "until", "for", "case", "select"})
_CLOSING = frozenset({"fi", "done", "esac"})
_LEADING = (
    frozenset(
        {"then", "else", "elif", "do", "!", "{", "}", "time", "coproc", "if", "while", "until"}
    )
    | _CLOSING
)
_DECLARING = frozenset({"export", "declare", "local", "readonly", "typeset"})


class Command:
    """A simple command with its words expanded."""

    __slots__ = ("body", "environment", "origins", "piped", "target", "words")

    def __init__(
        self, words: list[str], origins: list[int], environment: Environment, body: str | None
    ) -> None:
        self.words = words
        self.origins = origins
        self.environment = environment
        self.body = body
        self.target: str | None = None
        self.piped = False


class Script:
    """One script, its variables and its positional parameters."""

    def __init__(
        self, environment: Environment, parameters: list[tuple[str, int]], origin: int
    ) -> None:
        self.environment = environment.copy()
        self.choices: dict[str, list[str]] = {}
        self.arrays: dict[str, list[str]] = {}
        self.parameters = parameters
        self.origin = origin
        self.depth = 0
        self.guarded = False
        self.budget = WORDS
        self.files: dict[str, str] = {}
        self.exhausted = False

    def commands(self, text: str) -> Iterator[Command]:
        """Read ``text`` and give its commands in order."""
        reader = Scanner(text, self.environment)
        for frame in reader.frames():
            if self.budget < 0:
                self.exhausted = True
                return
            yield from self._run(frame)
            self.guarded = frame.redirect in ("&&", "||")

    def _run(self, frame: Frame) -> Iterator[Command]:
        if frame.kind == "array":
            head = frame.words[0][0]
            self.take_array(head if isinstance(head, str) else "", frame.words[1:])
            return
        words = self._leading(frame)
        if not words:
            return
        first = words[0][0] if words[0] and isinstance(words[0][0], str) else ""
        if first == "for" and len(words) > 1:
            self._loop(words)
            return
        names = [self._assign(word) for word in self._assignments(words, first)]
        if len(names) == len(words) or first in _DECLARING:
            return
        if first == "set" and len(words) > 1:
            self._set(words)
            return
        if first == "shift":
            self.parameters = self.parameters[1:]
            return
        yield from self._expand(words[len(names) :], frame)

    def _leading(self, frame: Frame) -> list[list[Part]]:
        words = frame.words
        while words and len(words[0]) == 1 and isinstance(words[0][0], str):
            first = words[0][0]
            if first in _OPENING:
                self.depth += 1
            elif first in _CLOSING:
                self.depth = max(0, self.depth - 1)
            if first not in _LEADING:
                break
            words = words[1:]
        return words

    def _assignments(self, words: list[list[Part]], first: str) -> list[list[Part]]:
        if first in _DECLARING:
            return [w for w in words[1:] if w and isinstance(w[0], str) and _ASSIGNMENT.match(w[0])]
        taken = []
        for word in words:
            if not (word and isinstance(word[0], str) and _ASSIGNMENT.match(word[0])):
                break
            taken.append(word)
        return taken

    def _assign(self, word: list[Part]) -> str:
        head = word[0]
        match = _ASSIGNMENT.match(head if isinstance(head, str) else "")
        if not match:  # pragma: no cover - the caller has looked
            return ""
        name = match[1]
        values = self._texts([match.string[match.end() :], *word[1:]])
        if match[3]:
            values = [self.environment.get(name) + value for value in values]
        if self.depth or self.guarded or len(values) > 1:
            known = self.choices.setdefault(name, [])
            if not known and name in self.environment.values:
                known.append(self.environment.values[name])
            known.extend(v for v in values if v not in known[:ALTERNATIVES])
            del known[ALTERNATIVES:]
        else:
            self.choices.pop(name, None)
        self.environment.assign(name, values[-1][:MAX_VALUE])
        return name

    def _loop(self, words: list[list[Part]]) -> None:
        head = words[1][0] if words[1] else ""
        if not isinstance(head, str):
            return
        values: list[str] = []
        for word in words[3:]:
            values.extend(self._texts(word))
        self.choices[head] = values[:ALTERNATIVES]
        if len(values) > ALTERNATIVES:
            self.choices[head].append(f"$({head})")
        if values:
            self.environment.assign(head, values[0])

    def _set(self, words: list[list[Part]]) -> None:
        texts = [text for word in words[1:] for text in self._texts(word)[:1]]
        if "--" in texts:
            rest = texts[texts.index("--") + 1 :]
            self.parameters = [(text, self.origin) for text in rest]

    def _texts(self, word: list[Part]) -> list[str]:
        """Every text the word may come to."""
        count = 1
        for part in word:
            if not isinstance(part, str):
                count = max(count, len(self.choices.get(part[0], ())))
        return [self._text(word, index) for index in range(min(count, ALTERNATIVES + 1))]

    def _text(self, word: list[Part], index: int) -> str:
        size = 0
        out: list[str] = []
        for part in word:
            piece = part if isinstance(part, str) else self._value(part, index)
            size += len(piece)
            if size > MAX_VALUE + len(out):
                out.append("$(...)")
                break
            out.append(piece)
        return "".join(out)

    def _value(self, part: tuple[str, str | None, bool], index: int) -> str:
        name, default, _ = part
        if name in ("@", "*"):
            return " ".join(value for value, _ in self.parameters[:100])
        if name.isdigit():
            number = int(name[:3])
            if 0 < number <= len(self.parameters):
                return self.parameters[number - 1][0]
            return default if default is not None else f"${name}"
        choices = self.choices.get(name)
        if choices:
            return choices[min(index, len(choices) - 1)]
        value = self.environment.values.get(name)
        if value:
            return value
        if name in self.arrays:
            return " ".join(self.arrays[name])
        if name in self.environment.origins or (default is None and value is None):
            return f"${{{name}}}"
        return self.environment.expand(_plain(default or "", self.environment))

    def _expand(self, words: list[list[Part]], frame: Frame) -> Iterator[Command]:
        count = 1
        for word in words:
            for part in word:
                if not isinstance(part, str) and part[0] in self.choices:
                    count = max(count, len(self.choices[part[0]]))
        for index in range(count):
            texts: list[str] = []
            origins: list[int] = []
            for word in words:
                self._add(word, index, texts, origins)
                if len(texts) > self.budget:
                    break
            self.budget -= len(texts)
            if not texts:
                continue
            body = frame.body
            command = Command(texts, origins, self.environment, body)
            command.target = frame.target
            command.piped = frame.redirect == "|"
            if frame.target:
                self._write(frame.target, texts, body)
            yield command

    def _write(self, path: str, words: list[str], body: str | None) -> None:
        """Keep what is written to a file, behind what has been: it may be appended."""
        if body is None and words[0] in ("echo", "printf"):
            body = " ".join(word for word in words[1:] if word not in ("-e", "-n", "--", "%s"))
            body = body.replace("\\n", "\n").replace("\\t", "\t")
        if body is None:
            return
        before = self.files.get(own(path), "")
        if before and not self.environment.budget.grow(len(before) + len(body)):
            self.exhausted = True
            return
        self.files[own(path)] = f"{before}\n{body}" if before else body

    def _add(self, word: list[Part], index: int, texts: list[str], origins: list[int]) -> None:
        """Append what one word expands to: several words where the shell splits it."""
        if len(word) == 1 and not isinstance(word[0], str):
            name, _, quoted = word[0]
            if name in ("@", "*"):
                room = max(0, self.budget - len(texts)) + 1
                texts.extend(value for value, _ in self.parameters[:room])
                origins.extend(origin for _, origin in self.parameters[:room])
                return
            if name in self.arrays:
                room = max(0, self.budget - len(texts)) + 1
                texts.extend(self.arrays[name][:room])
                origins.extend([self.origin] * len(self.arrays[name][:room]))
                return
            value = self._value(word[0], index)
            pieces = [value] if quoted else value.split()
            texts.extend(pieces)
            origins.extend([self.origin] * len(pieces))
            return
        texts.append(self._text(word, index))
        origins.append(self.origin)

    def take_array(self, name: str, words: list[list[Part]]) -> None:
        """Remember ``NAME=(...)``."""
        texts: list[str] = []
        for word in words[:1000]:
            self._add(word, 0, texts, [])
        known = self.arrays.setdefault(name, [])
        if len(known) < 1000:
            known.extend(texts)


def _plain(text: str, environment: Environment) -> str:
    """A default with the variables in it replaced."""
    if "$" not in text:
        return text.strip("\"'")

    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return environment.values.get(name, match[0])

    return re.sub(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", replace, text[:MAX_VALUE])[:MAX_VALUE]
