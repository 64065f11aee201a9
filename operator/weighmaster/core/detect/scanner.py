"""Splitting a shell script into simple commands: quotes, substitutions, redirections.

One pass, with a stack of frames instead of recursion: an unclosed quote or parenthesis costs no
second look at the text.
"""

import re
from collections.abc import Iterator

from weighmaster.core.detect.environment import Environment

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
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|([^\s;|&<>()]+))")

Part = str | tuple[str, str | None, bool]
"""Literal text, or a variable: its name, its default, whether it is quoted."""


class Frame:
    """A simple command as it is being read, or a part of one in parentheses."""

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


class Scanner:
    """Splits a script into frames, one a simple command."""

    def __init__(self, text: str, environment: Environment) -> None:
        self.text = text
        self.environment = environment
        self.position = 0
        self.stack = [Frame("top", 0)]
        self.waiting: list[Frame] = []
        self.heredocs: list[tuple[Frame, str, bool]] = []

    def frames(self) -> Iterator[Frame]:
        """The simple commands, in the order in which they end."""
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

    def _word(self, frame: Frame, character: str) -> None:
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

    def _in_quotes(self, frame: Frame) -> None:
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
            self.stack.append(Frame("tick", self.position))
        else:
            match = _QUOTED.match(text, self.position)
            piece = match[0] if match else character
            _append(frame, piece)
            self.position += len(piece)

    def _dollar(self, frame: Frame) -> None:
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
            self.stack.append(Frame("substitution", position))
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

    def _separator(self, frame: Frame, character: str) -> Iterator[Frame]:
        self._end_word(frame)
        double = self.text.startswith(character * 2, self.position)
        self.position += 2 if double else 1
        if self.text.startswith(">", self.position) and character == "&":
            return  # "&>" redirects both streams
        operator = character * 2 if double else character
        yield from self._end_command(frame, operator if operator in ("&&", "||", "|") else "")

    def _parenthesis(self, frame: Frame, character: str) -> Iterator[Frame]:
        self.position += 1
        if character == "(":
            last = frame.parts[-1] if frame.parts else None
            if isinstance(last, str) and last.endswith("="):
                self.stack.append(Frame("array", self.position))
                return
            self._end_word(frame)
            yield from self._end_command(frame, "")
            self.stack.append(Frame("group", self.position))
            return
        self._end_word(frame)
        if len(self.stack) == 1 or frame.kind == "tick":
            frame.words = []  # the end of a pattern in "case"
            return
        self.stack.pop()
        parent = self.stack[-1]
        if frame.kind == "array":
            # The parent keeps "NAME=" as its word and the elements beside it.
            array = Frame("array", frame.start)
            head = parent.parts[0] if parent.parts else ""
            name = head.rstrip("+=") if isinstance(head, str) else ""
            array.words = [[name], *frame.words]
            parent.parts = None
            yield array
            return
        yield from self._end_command(frame, "")
        if frame.kind == "substitution":
            _append(parent, self.text[frame.start : min(self.position, frame.start + 64)])

    def _tick(self, frame: Frame) -> Iterator[Frame]:
        self.position += 1
        if frame.kind == "tick":
            self._end_word(frame)
            self.stack.pop()
            yield from self._end_command(frame, "")
            _append(self.stack[-1], "$(...)")
        else:
            if frame.parts is None:
                frame.parts = []
            self.stack.append(Frame("tick", self.position))

    def _redirection(self, frame: Frame, character: str) -> None:
        if frame.parts and len(frame.parts) == 1 and frame.parts[0] in ("0", "1", "2"):
            frame.parts = None  # the number of a file descriptor
        self._end_word(frame)
        if self.text.startswith("(", self.position + 1):  # <(...): a file that a command writes
            frame.parts = []
            self.stack.append(Frame("substitution", self.position))
            self.position += 2
            return
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

    def _end_word(self, frame: Frame) -> None:
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

    def _end_command(self, frame: Frame, operator: str) -> Iterator[Frame]:
        if frame.kind == "array":
            return  # a line break inside NAME=( ... )
        done = Frame(frame.kind, frame.start)
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


def _append(frame: Frame, piece: str) -> None:
    if frame.parts is None:
        frame.parts = [piece]
    elif frame.parts and isinstance(frame.parts[-1], str) and len(frame.parts[-1]) < 4096:
        frame.parts[-1] += piece
    else:
        frame.parts.append(piece)


def _variable(frame: Frame, name: str, default: str | None) -> None:
    if frame.parts is None:
        frame.parts = []
    frame.parts.append((name, default, frame.quoted))
