"""Shell scripts: where the words of their commands end.

This reader is another one than detection's, and simpler: it gives simple commands and the places
where their words end, or nothing. A word put where a word of a simple command ends is one more word
of that command, whatever the words contain. What is in substitutions, here-documents and groups
that it does not understand gives no command. So the two readers have to agree before anything is
written: this one on where a word may stand, detection on what it does there.

Grammar: POSIX.1-2024, Shell Command Language, 2.3 (tokens), 2.2 (quoting), 2.7 (redirection).
"""

import re
from typing import NamedTuple

MAX_SCRIPT = 65_536
"""Characters of a script that is rewritten."""

_PLAIN = re.compile(r"[^\s\\'\"$`;&|()<>#]+")
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|([A-Za-z0-9_.!-]+))")
_OBSCURE = ("case", "<<", "#")
"""What makes the end of a substitution hard to find: patterns, here-documents, comments."""
_DESCRIPTOR = re.compile(r"[0-9]+\Z")


class Word(NamedTuple):
    """A word: its text without quotes (expansions stay as they are), and its place."""

    text: str
    start: int
    end: int


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """The script cannot be read for certain."""


def commands(script: str) -> list[list[Word]]:
    """The simple commands of a script, by their words; empty if it cannot be read for certain."""
    if len(script) > MAX_SCRIPT or "\r" in script:
        return []
    try:
        return _Reader(script).read()
    except _Unreadable:
        return []


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.found: list[list[Word]] = []
        self.words: list[Word] = []
        self.parts: list[str] | None = None
        self.start = 0
        self.redirected = False
        self.heredocs: list[tuple[str, bool]] = []

    def read(self) -> list[list[Word]]:
        text = self.text
        while self.position < len(text):
            character = text[self.position]
            if character in " \t\r":
                self._end_word()
                self.position += 1
            elif character == "\n":
                self._end_command()
                self.position += 1
                self._skip_heredocs()
            elif character in ";&|()":
                self._operator(character)
            elif character in "<>":
                self._redirection(character)
            elif character == "#" and self.parts is None:
                stop = text.find("\n", self.position)
                self.position = len(text) if stop < 0 else stop
            else:
                self._part(character)
        self._end_command()
        if self.heredocs:
            raise _Unreadable
        return self.found

    def _part(self, character: str) -> None:
        """One part of a word."""
        text, start = self.text, self.position
        if character == "\\" and text.startswith("\n", start + 1):
            self.position += 2  # a line that goes on
            return
        if self.parts is None:
            self.parts, self.start = [], start
        if character == "\\":
            self.parts.append(text[start + 1 : start + 2])
            self.position += 2
        elif character == "'":
            stop = self._find("'", start + 1)
            self.parts.append(text[start + 1 : stop])
            self.position = stop + 1
        elif character == '"':
            self.position = self._quoted(start + 1)
            self.parts.append(text[start + 1 : self.position - 1])
        elif character in "$`":
            self.position = self._expansion(start)
            self.parts.append(text[start : self.position])
        else:
            match = _PLAIN.match(text, start)
            self.position = match.end() if match else start + 1
            self.parts.append(text[start : self.position])

    def _quoted(self, position: int) -> int:
        """The position behind a double-quoted text that starts here."""
        text = self.text
        while position < len(text):
            character = text[position]
            if character == '"':
                return position + 1
            if character == "\\":
                position += 2
            elif character in "$`":
                position = self._expansion(position)
            else:
                position += 1
        raise _Unreadable

    def _expansion(self, position: int) -> int:
        """The position behind an expansion that starts here."""
        text = self.text
        if text[position] == "`":
            return self._closed(position + 1, "`")
        following = text[position + 1 : position + 2]
        if following == "(":
            return self._closed(position + 2, ")")
        if following == "{":
            return self._closed(position + 2, "}")
        if following == "'":  # $'...' has escapes of its own
            raise _Unreadable
        return position + 1

    def _closed(self, position: int, close: str) -> int:
        """The position behind the end of a substitution, whatever is in it."""
        text, stack = self.text, [close]
        while position < len(text):
            character = text[position]
            if character == stack[-1]:
                stack.pop()
                position += 1
                if not stack:
                    return position
            elif character == "\\":
                position += 2
            elif character == "'" and stack[-1] == ")":
                position = self._find("'", position + 1) + 1
            elif character in "'`" or text.startswith(_OBSCURE, position):
                raise _Unreadable
            elif character == '"':
                position = self._quoted_inside(position + 1)
            elif character == "(" and stack[-1] == ")":
                stack.append(")")
                position += 1
            elif text.startswith(("$(", "${"), position):
                stack.append(")" if text[position + 1] == "(" else "}")
                position += 2
            else:
                position += 1
        raise _Unreadable

    def _quoted_inside(self, position: int) -> int:
        """The same as ``_quoted``, without expansions: nesting has to end somewhere."""
        stop = position
        while stop < len(self.text) and self.text[stop] != '"':
            if self.text[stop] == "`" or self.text.startswith(("$(", "${"), stop):
                stop = self._flat(stop)
            stop += 2 if self.text[stop : stop + 1] == "\\" else 1
        if stop >= len(self.text):
            raise _Unreadable
        return stop + 1

    def _flat(self, position: int) -> int:
        """The last character of a substitution that has neither quotes nor others in it."""
        close = {"`": "`", "(": ")", "{": "}"}
        opening = self.text[position + 1] if self.text[position] == "$" else "`"
        start = position + (2 if self.text[position] == "$" else 1)
        stop = self._find(close[opening], start)
        if re.search(r"[\"'`$\\(){}]", self.text[start:stop]):
            raise _Unreadable
        return stop

    def _find(self, what: str, start: int) -> int:
        stop = self.text.find(what, start)
        if stop < 0:
            raise _Unreadable
        return stop

    def _operator(self, character: str) -> None:
        if character == "(" and self.parts is not None:
            # NAME=(...), name(), a pattern: none of these is a simple command.
            self.parts = None
        self._end_command()
        self.position += 1
        if character == "&" and self.text.startswith(">", self.position):
            self._redirection(">")

    def _redirection(self, character: str) -> None:
        text = self.text
        if self.parts is not None and _DESCRIPTOR.fullmatch(text[self.start : self.position]):
            self.parts = None
        self._end_word()
        if text.startswith("(", self.position + 1):  # <(...)
            raise _Unreadable
        if character == "<" and text.startswith("<<", self.position):
            if text.startswith("<<<", self.position):
                self.position += 3
                self.redirected = True
                return
            match = _HEREDOC.match(text, self.position)
            if match is None:
                raise _Unreadable
            self.heredocs.append((match[2] or match[3] or match[4], bool(match[1])))
            self.position = match.end()
            return
        self.position += 1
        while text.startswith((character, "|", "&"), self.position):
            self.position += 1
        self.redirected = True

    def _end_word(self) -> None:
        if self.parts is None:
            return
        word = Word("".join(self.parts), self.start, self.position)
        self.parts = None
        if self.redirected:
            self.redirected = False
        else:
            self.words.append(word)

    def _end_command(self) -> None:
        self._end_word()
        self.redirected = False
        if self.words:
            self.found.append(self.words)
            self.words = []

    def _skip_heredocs(self) -> None:
        for delimiter, strip in self.heredocs:
            while True:
                if self.position >= len(self.text):
                    raise _Unreadable
                stop = self.text.find("\n", self.position)
                stop = len(self.text) if stop < 0 else stop
                line = self.text[self.position : stop]
                self.position = min(stop + 1, len(self.text))
                if (line.lstrip("\t") if strip else line) == delimiter:
                    break
        self.heredocs = []
