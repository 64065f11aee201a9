"""Command lines: where in a list of words, or in a script, the revision of a model is written."""

import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from weighmaster.core.detect.options import look, scan
from weighmaster.core.detect.runtimes import is_server, of_program
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.enforce.pinning.edits import Edit, Insert, Splice
from weighmaster.core.enforce.pinning.forms import LOADED_AS_BASE, Form
from weighmaster.core.enforce.pinning.places import Keys, words_at
from weighmaster.core.enforce.pinning.scripts import Word, commands
from weighmaster.core.values import ModelUse, Role

_DOWNLOADERS = frozenset(
    {"hf", "huggingface-cli", "huggingface_hub.commands.huggingface_cli", "huggingface_hub.cli.hf"}
)
_PROGRAMS = {
    "dynamo": re.compile(r"dynamo\.(?:vllm|sglang)\b"),
    "llm-server": re.compile(
        r"(?:.*/)?inference_api\.py\Z|fastchat\.serve\.(?:model_worker|vllm_worker)\Z"
    ),
}
"""Those programs of a runtime that take a revision, where not all do."""


PLAIN = Form()
"""For places that have one form only, which needs no telling."""


class Asked(Struct, frozen=True):
    """What is to be written: the revision of the model of a use, in the form that it takes."""

    use: ModelUse
    form: Form
    revision: str

    @property
    def repository(self) -> str:
        """The model's name as manifests have it."""
        return self.use.reference.location.partition("://")[2]

    def beside(self, words: Iterable[str]) -> list[str]:
        """Options that go with the model's, unless they are among the words of a command line."""
        if self.use.reference.revision is not None:
            return []  # then what else is loaded is a use of its own
        given = list(words)
        return [
            option
            for option in self.form.also
            if not any(is_option(word, option) for word in given)
        ]

    def words(self, options: Sequence[str]) -> tuple[str, ...]:
        """The options as words of a command line; each is one word, so that nothing parts them."""
        value = self.form.value.format(self.revision)
        return tuple(f"{option}={value}" for option in options)


def in_words(document: object, path: Keys, asked: Asked) -> list[Edit] | None:
    """Edits of the command line that has the model's name as its word ``path``; None for none."""
    index = path[-1]
    if not isinstance(index, int):
        return None
    places = _command_line(path)
    if not _takes_revision(asked, (word for each in places for word in words_at(document, each))):
        return None
    edits, missing = replaced(document, places, asked)
    if edits is None:
        return None
    missing += asked.beside(word for place in places for word in words_at(document, place))
    if missing:
        edits.append(Insert(path[:-1], index + 1, asked.words(missing)))
    return edits


def replaced(
    document: object, places: Sequence[Keys], asked: Asked
) -> tuple[list[Edit] | None, list[str]]:
    """Edits of the revisions that a command line gives already, and the options it does not give.

    No edits at all where a revision is given in a way that cannot be edited.
    """
    edits: list[Edit] = []
    missing = []
    for option in asked.form.options:
        given = False
        for place in places:
            words = words_at(document, place)
            for index, word in enumerate(words):
                if not is_option(word, option):
                    continue
                given = True
                name, equals, _ = word.partition("=")
                if asked.form.value != PLAIN.value:
                    return None, []  # a configuration: what else it says has to stay
                if equals:
                    edits.append(Splice((*place, index), len(name) + 1, len(word), asked.revision))
                elif index + 1 < len(words) and words[index + 1][:1] != "-":
                    following = words[index + 1]
                    edits.append(Splice((*place, index + 1), 0, len(following), asked.revision))
                else:
                    return None, []
        if not given:
            missing.append(option)
    return edits, missing


def in_script(script: str, path: Keys, asked: Asked) -> list[Edit] | None:
    """Edits of a script that starts the server, or fetches the model; None where there are none."""
    if asked.form.value != PLAIN.value:
        return None
    edits: list[Edit] = []
    for words in commands(script):
        for anchor, rest in _starts(words, asked):
            found = _in_command(script, path, anchor, rest, asked)
            if found is None:
                return None
            edits += found
    return edits or None


def _in_command(
    script: str, path: Keys, anchor: Word, rest: Sequence[Word], asked: Asked
) -> list[Edit] | None:
    edits: list[Edit] = []
    missing = []
    for option in asked.form.options:
        given = [index for index, word in enumerate(rest) if is_option(word.text, option)]
        for index in given:
            word = rest[index]
            name, equals, _ = word.text.partition("=")
            start = word.start + len(name) + 1
            if equals and script[word.start : start] == f"{name}=":
                edits.append(Splice(path, start, word.end, asked.revision))
            elif not equals and index + 1 < len(rest):
                value = rest[index + 1]
                edits.append(Splice(path, value.start, value.end, asked.revision))
            else:
                return None
        if not given:
            missing.append(option)
    missing += asked.beside(word.text for word in rest)
    if missing:
        text = "".join(f" {word}" for word in asked.words(missing))
        edits.append(Splice(path, anchor.end, anchor.end, text))
    return edits


def _starts(words: Sequence[Word], asked: Asked) -> Iterator[tuple[Word, Sequence[Word]]]:
    """The word after which a command's revision is written, and the words of the program."""
    use = asked.use
    for index, word in enumerate(words):
        program = word.text.rpartition("/")[2]
        rest = words[index + 1 :]
        if use.process.runtime == "download":
            if program in _DOWNLOADERS:
                yield from _download(rest, asked)
                return
        elif is_server(program):
            match = of_program(program, [each.text for each in rest], word.text)
            if match is not None and match[0].name == use.process.runtime:
                if not _takes_revision(asked, [word.text]):
                    return
                runtime, skip = match
                start = rest[skip - 1] if skip else word
                anchor = _naming_word(rest[skip:], runtime, asked)
                if anchor is not None:
                    yield anchor or start, rest[skip:]
            return


def _takes_revision(asked: Asked, words: Iterable[str]) -> bool:
    """Whether one of these words starts a program that takes a revision."""
    programs = _PROGRAMS.get(asked.use.process.runtime)
    return programs is None or any(programs.match(word) for word in words)


def _naming_word(words: Sequence[Word], runtime: Runtime, asked: Asked) -> Word | tuple[()] | None:
    """The word that names the model: nothing if none does, None if it names another one."""
    found = scan([word.text for word in words], list(range(len(words))), runtime)
    named = [
        (option.value or "", option.origin)
        for option in found.options
        if _same_role(look(option.name, runtime)[1], asked.use.role)
    ]
    if runtime.positional and _same_role(runtime.role, asked.use.role):
        named += found.positionals[:1]
    for value, origin in named:
        if value == asked.repository or "$" in value:
            return words[origin]
    return None if named else ()


def _download(words: Sequence[Word], asked: Asked) -> Iterator[tuple[Word, Sequence[Word]]]:
    start = next((i for i, word in enumerate(words[:6]) if word.text == "download"), None)
    if start is None:
        return
    for word in words[start + 1 :]:
        if word.text == asked.repository or (word.text[:1] == "$" and "=" not in word.text):
            yield word, words[start + 1 :]
            return


def _same_role(named: Role | None, role: Role) -> bool:
    if named is None:
        return False
    return named is role or (named in LOADED_AS_BASE and role in LOADED_AS_BASE)


def is_option(word: str, option: str) -> bool:
    """Whether a word is an option, in either spelling, with or without its value."""
    name = word.partition("=")[0]
    return name[:1] == "-" and name.lstrip("-").replace("_", "-") == option.lstrip("-").replace(
        "_", "-"
    )


def _command_line(path: Keys) -> list[Keys]:
    """The lists that make up the command line which has a word at ``path``."""
    holder = path[:-2]
    if path[-2] not in ("command", "args") or "lifecycle" in path or holder[-1:] == ("exec",):
        return [path[:-1]]
    return [(*holder, "command"), (*holder, "args")]
