"""A reader of shell scripts: which simple commands could this script run, with which words?

It is no interpreter. Every command is taken as reachable; a variable that is assigned under a
condition keeps all of its values. It makes one pass over the text, works with a stack instead of
recursion, and stops at a budget of words, so that time stays linear for any input.
"""

import re
from collections.abc import Iterator

from weighmaster.core.detect.environment import MAX_VALUE, Environment

WORDS = 20_000
"""Expanded words a script may come to before the reader gives up on it."""
ALTERNATIVES = 16

_PLAIN = re.compile(r"[^\s\\'\"$`;&|()<>#]+")
_QUOTED = re.compile(r"[^\"\\$`]+")
_VARIABLE = re.compile(
    r"\$(?:([A-Za-z_]\w*)|([@*#?$!0-9-])|\{([A-Za-z_]\w*|[@*0-9])(?:\[[@*0-9]\])?\})"
)
_DEFAULTED = re.compile(
    r"\$\{([A-Za-z_]\w*|[0-9])(?::?[-=+?])((?:[^{}$`]|\$\{[A-Za-z_]\w{0,99}\}|\$[A-Za-z_])*)\}"
)
_BRACED = re.compile(r"\$\{[^{}\n]{0,200}\}")
_KUBERNETES = re.compile(r"\$\(([A-Za-z_]\w*)\)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]=]{0,40}\])?(\+?)=")
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|([^\s;|&<>()]+))")

_OPENING = frozenset({"if", "while", "until", "for", "case", "select"})
_CLOSING = frozenset({"fi", "done", "esac"})
_LEADING = (
    frozenset(
        {"then", "else", "elif", "do", "!", "{", "}", "time", "coproc", "if", "while", "until"}
    )
    | _CLOSING
)
_DECLARING = frozenset({"export", "declare", "local", "readonly", "typeset"})

Part = str | tuple[str, str | None, bool]
"""Literal text, or a variable: its name, its default, whether it is quoted."""


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


class _Frame:
    __slots__ = ("body", "kind", "parts", "quoted", "redirect", "start", "target", "words")

    def __init__(self, kind: str, start: int) -> None:
        self.kind = kind
        self.start = start
        self.quoted = False
        self.words: list[list[Part]] = []
        self.parts: list[Part] | None = None
        self.redirect = ""
        self.target: str | None = None
        self.body: str | None = None


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
        reader = _Reader(text, self.environment)
        for frame in reader.frames():
            if self.budget < 0:
                self.exhausted = True
                return
            yield from self._run(frame)
            self.guarded = frame.redirect in ("&&", "||")

    def _run(self, frame: _Frame) -> Iterator[Command]:
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

    def _leading(self, frame: _Frame) -> list[list[Part]]:
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

    def _expand(self, words: list[list[Part]], frame: _Frame) -> Iterator[Command]:
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
            if frame.target and body is not None:
                self.files[frame.target] = body
            yield command

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


class _Reader:
    """Splits a script into frames, one a simple command."""

    def __init__(self, text: str, environment: Environment) -> None:
        self.text = text
        self.environment = environment
        self.position = 0
        self.stack = [_Frame("top", 0)]
        self.waiting: list[_Frame] = []
        self.heredocs: list[tuple[_Frame, str, bool]] = []

    def frames(self) -> Iterator[_Frame]:
        text, end = self.text, len(self.text)
        while self.position < end:
            frame = self.stack[-1]
            if frame.quoted:
                self._in_quotes(frame)
                continue
            character = text[self.position]
            if character in " \t\r":
                self._end_word(frame)
                self.position += 1
            elif character == "\n":
                self._end_word(frame)
                self.position += 1
                self._read_heredocs()
                yield from self._end_command(frame, "")
            elif character in ";&|":
                yield from self._separator(frame, character)
            elif character in "()":
                yield from self._parenthesis(frame, character)
            elif character in "<>":
                self._redirection(frame, character)
            elif character == "#" and frame.parts is None:
                stop = text.find("\n", self.position)
                self.position = end if stop < 0 else stop
            elif character == "`":
                yield from self._tick(frame)
            else:
                self._word(frame, character)
        for frame in reversed(self.stack):
            self._end_word(frame)
            yield from self._end_command(frame, "")

    def _word(self, frame: _Frame, character: str) -> None:
        text = self.text
        if character == "\\":
            following = text[self.position + 1 : self.position + 2]
            self.position += 2
            if following == "\r" and text.startswith("\n", self.position):
                self.position += 1  # a CRLF file
            elif following not in ("\n", ""):
                _append(frame, following)
        elif character == "'":
            stop = text.find("'", self.position + 1)
            stop = len(text) if stop < 0 else stop
            _append(frame, text[self.position + 1 : stop])
            self.position = stop + 1
        elif character == '"':
            frame.quoted = True
            if frame.parts is None:
                frame.parts = []
            self.position += 1
        elif character == "$":
            self._dollar(frame)
        else:
            match = _PLAIN.match(text, self.position)
            piece = match[0] if match else character
            _append(frame, piece)
            self.position += len(piece)

    def _in_quotes(self, frame: _Frame) -> None:
        text = self.text
        character = text[self.position]
        if character == '"':
            frame.quoted = False
            self.position += 1
        elif character == "\\":
            following = text[self.position + 1 : self.position + 2]
            self.position += 2
            if following != "\n":
                _append(frame, following if following in '"\\$`' else "\\" + following)
        elif character == "$":
            self._dollar(frame)
        elif character == "`":
            self.position += 1
            self.stack.append(_Frame("tick", self.position))
        else:
            match = _QUOTED.match(text, self.position)
            piece = match[0] if match else character
            _append(frame, piece)
            self.position += len(piece)

    def _dollar(self, frame: _Frame) -> None:
        text, position = self.text, self.position
        if text.startswith("$(", position):
            match = _KUBERNETES.match(text, position)
            if match and (match[1] in self.environment.origins or match[1].isupper()):
                # The kubelet replaces $(NAME) before the shell sees it.
                _variable(frame, match[1], None)
                self.position = match.end()
                return
            if frame.parts is None:
                frame.parts = []
            self.position += 2
            self.stack.append(_Frame("substitution", position))
            return
        match = _VARIABLE.match(text, position)
        if match:
            _variable(frame, match[1] or match[2] or match[3], None)
            self.position = match.end()
            return
        match = _DEFAULTED.match(text, position)
        if match:
            _variable(frame, match[1], match[2])
            self.position = match.end()
            return
        match = _BRACED.match(text, position)
        piece = match[0] if match else "$"
        if piece == "$" and text.startswith(("$'", '$"'), position) and not frame.quoted:
            piece = ""
            self.position += 1
        _append(frame, piece)
        self.position += len(piece)

    def _separator(self, frame: _Frame, character: str) -> Iterator[_Frame]:
        self._end_word(frame)
        double = self.text.startswith(character * 2, self.position)
        self.position += 2 if double else 1
        if self.text.startswith(">", self.position) and character == "&":
            return  # "&>" redirects both streams
        operator = character * 2 if double else character
        yield from self._end_command(frame, operator if operator in ("&&", "||", "|") else "")

    def _parenthesis(self, frame: _Frame, character: str) -> Iterator[_Frame]:
        self.position += 1
        if character == "(":
            last = frame.parts[-1] if frame.parts else None
            if isinstance(last, str) and last.endswith("="):
                self.stack.append(_Frame("array", self.position))
                return
            self._end_word(frame)
            yield from self._end_command(frame, "")
            self.stack.append(_Frame("group", self.position))
            return
        self._end_word(frame)
        if len(self.stack) == 1 or frame.kind == "tick":
            frame.words = []  # the end of a pattern in "case"
            return
        self.stack.pop()
        parent = self.stack[-1]
        if frame.kind == "array":
            # The parent keeps "NAME=" as its word and the elements beside it.
            array = _Frame("array", frame.start)
            head = parent.parts[0] if parent.parts else ""
            name = head.rstrip("+=") if isinstance(head, str) else ""
            array.words = [[name], *frame.words]
            parent.parts = None
            yield array
            return
        yield from self._end_command(frame, "")
        if frame.kind == "substitution":
            _append(parent, self.text[frame.start : min(self.position, frame.start + 64)])

    def _tick(self, frame: _Frame) -> Iterator[_Frame]:
        self.position += 1
        if frame.kind == "tick":
            self._end_word(frame)
            self.stack.pop()
            yield from self._end_command(frame, "")
            _append(self.stack[-1], "$(...)")
        else:
            if frame.parts is None:
                frame.parts = []
            self.stack.append(_Frame("tick", self.position))

    def _redirection(self, frame: _Frame, character: str) -> None:
        if frame.parts and len(frame.parts) == 1 and frame.parts[0] in ("0", "1", "2"):
            frame.parts = None  # the number of a file descriptor
        self._end_word(frame)
        if character == "<" and self.text.startswith("<<", self.position):
            if self.text.startswith("<<<", self.position):
                self.position += 3
                frame.redirect = "<<<"
                return
            match = _HEREDOC.match(self.text, self.position)
            if match:
                delimiter = match[2] or match[3] or (match[4] or "").replace("\\", "")
                self.heredocs.append((frame, delimiter, bool(match[1])))
                self.position = match.end()
                return
            self.position += 2
            return
        while self.text.startswith((character, "|", "&"), self.position):
            self.position += 1
            if (
                self.text.startswith(("-", "1", "2"), self.position)
                and self.text[self.position - 1] == "&"
            ):
                self.position += 1
                return
        frame.redirect = character

    def _end_word(self, frame: _Frame) -> None:
        if frame.parts is None:
            return
        parts, frame.parts = frame.parts, None
        if frame.redirect:
            first = parts[0] if len(parts) == 1 else ""
            if frame.redirect == "<<<":
                frame.body = first if isinstance(first, str) else ""
            elif frame.redirect == ">" and isinstance(first, str):
                frame.target = first
            frame.redirect = ""
            return
        frame.words.append(parts or [""])

    def _end_command(self, frame: _Frame, operator: str) -> Iterator[_Frame]:
        if frame.kind == "array":
            return  # a line break inside NAME=( ... )
        done = _Frame(frame.kind, frame.start)
        done.words, frame.words = frame.words, []
        done.target, frame.target = frame.target, None
        done.body, frame.body = frame.body, None
        done.redirect = operator
        frame.redirect = ""
        waits = False
        for index, (owner, delimiter, strip) in enumerate(self.heredocs):
            if owner is frame:
                self.heredocs[index] = (done, delimiter, strip)
                waits = True
        if waits:
            self.waiting.append(done)
            return
        if self.waiting and not self.heredocs:
            yield from self.waiting
            self.waiting = []
        if done.words:
            yield done

    def _read_heredocs(self) -> None:
        text = self.text
        for owner, delimiter, strip in self.heredocs:
            start = self.position
            while True:
                stop = text.find("\n", self.position)
                line_end = len(text) if stop < 0 else stop
                # A delimiter is compared at its own length: lines may be long.
                line = text[self.position : min(line_end, self.position + len(delimiter) + 200)]
                if stop < 0 or (line.strip() if strip else line.strip("\r ")) == delimiter:
                    owner.body = text[start : self.position if line.strip() == delimiter else None]
                    self.position = min(len(text), line_end + 1)
                    break
                self.position = line_end + 1
        self.heredocs = []


def _append(frame: _Frame, piece: str) -> None:
    if frame.parts is None:
        frame.parts = [piece]
    elif frame.parts and isinstance(frame.parts[-1], str) and len(frame.parts[-1]) < 4096:
        frame.parts[-1] += piece
    else:
        frame.parts.append(piece)


def _variable(frame: _Frame, name: str, default: str | None) -> None:
    if frame.parts is None:
        frame.parts = []
    frame.parts.append((name, default, frame.quoted))
