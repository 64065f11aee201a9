"""Restating: a container's command line and variables, with paths where it named models of a hub.

It only changes literals whose meaning is plain; the rest gives a reason why it cannot be. What
comes of it is read again by detection before it is used.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.enforce.pinning.lines import is_option
from weighmaster.core.enforce.pinning.places import Keys
from weighmaster.core.enforce.pinning.plans import is_plain_to_the_shell
from weighmaster.core.enforce.staging.forms import FORMS, OFFLINE, Form, why_not
from weighmaster.core.enforce.staging.scripts import in_script, plain
from weighmaster.core.values import ModelUse, Role

Container = Mapping[str, Any]

_CONFIGURED = "--config"
"""The option of servers that read further options out of a file."""

_MEDDLING = re.compile(r"OFFLINE|(?:\A|[\s;&|/])(?:env\s+-|sudo\s|su\s)")
"""What command lines say that change the variables by which hub access is switched off."""


_KUBELET = r"(?<!\$)\$\({}\)"
_SHELL = r"\$(?:\({0}\)|\{{{0}\}}|{0}(?!\w))"
"""How variables are spelt in words, and in scripts, in which a shell expands them as well."""


class NotStageable(Exception):  # noqa: N818 - caught by the package that plans staging
    """A pod whose servers cannot be told to load from folders; the text says why, for a person.

    ``awaits`` is the reference whose evidence may change that.
    """

    def __init__(self, message: str, awaits: str | None = None) -> None:
        super().__init__(message)
        self.awaits = awaits


class Named(Struct, frozen=True):
    """A use, the place in its container that names it, and the path that is to stand there."""

    use: ModelUse
    place: Keys
    path: str

    @property
    def repository(self) -> str:
        """The model's name as the container has it."""
        return self.use.reference.location.partition("://")[2]

    @property
    def form(self) -> Form:
        """The form of its runtime; raises NotStageable where there is none for its role."""
        runtime = self.use.process.runtime
        form = FORMS.get(runtime)
        if form is None:
            raise NotStageable(why_not(runtime))
        if self.use.role not in form.roles:
            raise NotStageable(f"{runtime} is not known to load a {self.use.role} from a folder")
        return form


def restate(container: Container, named: Sequence[Named]) -> Container:
    """A container that loads what it names from paths. Raises NotStageable."""
    line = _Line(container)
    variables = list(items(container.get("env")))
    served = [each for each in named if each.use.role not in _BESIDE_SERVED]
    if len(served) > 1 and served[0].form.name is not None:
        raise NotStageable("it serves several models, whose names cannot be told apart")
    for each in named:
        match each.place:
            case ("command" | "args", int()):
                line.replace(each, keeps=each in served)
            case ("env", int(index), "value"):
                _in_variable(variables, index, each)
            case _:
                raise NotStageable("it is not named in a plain argument or variable")
    made = {**container, **line.made()}
    if variables:
        made["env"] = variables
    return made


_BESIDE_SERVED = frozenset({Role.TOKENIZER, Role.DRAFT, Role.ADAPTER})


class _Line:
    """The command line of a container: each element, and the words that it becomes."""

    def __init__(self, container: Container) -> None:
        command, arguments = items(container.get("command")), items(container.get("args"))
        self._container = container
        self._split = len(command)
        self._words = [text(word) for word in (*command, *arguments)]
        self._made: list[list[str]] = [[word] for word in self._words]
        if _MEDDLING.search(" ".join(self._words)):
            raise NotStageable("its command line changes whether hubs may be asked")

    def replace(self, named: Named, *, keeps: bool) -> None:
        """Write the path of one use, and take away what only a hub's models have."""
        form, at = named.form, self._index(named.place)
        if any(character.isspace() for character in self._words[at].strip()) and not _is_json(
            self._words[at]
        ):
            self._in_script(named, at, keeps=keeps)
            return
        word, *kept = self._made[at]
        option, equals, value = word.partition("=") if word[:1] == "-" else ("", "", word)
        renamed = form.renamed.get(plain(option))
        made = f"{renamed or option}{equals}{self._replaced(value, named)}"
        self._made[at] = [made, *kept]
        before = self._words[at - 1] if at else ""
        if not option and (renamed := form.renamed.get(plain(before))):
            self._made[at - 1] = [renamed]
        for revision in form.revisions:
            self._remove(revision)
        if keeps:
            self._made[at] += self._name(named, self._words)

    def _in_script(self, named: Named, at: int, *, keeps: bool) -> None:
        script = self._made[at][0]
        made = None
        if is_plain_to_the_shell(self._container, named.place, script):
            made = in_script(
                script,
                self._spelt(named, _SHELL),
                named.form,
                lambda word: self._replaced(word, named, _SHELL),
                lambda words: self._name(named, words) if keeps else [],
            )
        if made is None:
            raise NotStageable(
                "it is named in a script, not plainly in the command that starts the server; name"
                " it in a list of arguments"
            )
        self._made[at] = [made]

    def _name(self, named: Named, words: Sequence[str]) -> list[str]:
        """The word that says under which name the model is served, unless something says it."""
        form, option = named.form, named.form.name
        if option is None or not form.unnamed.isdisjoint(words):
            return []
        variables = map(mapping, items(self._container.get("env")))
        given = [word for each in variables for word in text(each.get("value")).split()]
        if any(is_option(word, option) for word in (*words, *given)):
            return []
        if any(is_option(word, _CONFIGURED) for word in words):
            raise NotStageable(
                f"a configuration file may say under which name it is served; say it by {option}"
            )
        return [f"{option}={named.repository}"]

    def _replaced(self, value: str, named: Named, variable: str = _KUBELET) -> str:
        """A text with the path in place of the model's name, or of a variable that is it."""
        spelt = self._spelt(named, variable)
        return _replaced(spelt.sub(lambda _: named.repository, value), named)

    def _spelt(self, named: Named, variable: str) -> re.Pattern[str]:
        """The model's name, or a variable that is it, in the spellings of who expands it."""
        names = [
            text(each.get("name"))
            for each in map(mapping, items(self._container.get("env")))
            if text(each.get("value")) == named.repository
        ]
        spellings = [variable.format(re.escape(name)) for name in names if name.isidentifier()]
        return re.compile("|".join([re.escape(named.repository), *spellings]))

    def made(self) -> dict[str, list[str]]:
        """The fields of the container."""
        fields = {"command": self._made[: self._split], "args": self._made[self._split :]}
        return {
            name: [word for words in listed for word in words]
            for name, listed in fields.items()
            if listed
        }

    def _index(self, place: Keys) -> int:
        listed, index = place[0], place[1]
        return int(index) + (self._split if listed == "args" else 0)

    def _remove(self, option: str) -> None:
        for at, word in enumerate(self._words):
            if not is_option(word, option):
                continue
            self._made[at] = []
            following = self._words[at + 1] if at + 1 < len(self._words) else "-"
            if "=" not in word and following[:1] != "-":
                self._made[at + 1] = []


def _in_variable(variables: list[Json], index: int, named: Named) -> None:
    """Write the path of a use into the variable that names it."""
    form, variable = named.form, mapping(variables[index])
    name = text(variable.get("name"))
    if name not in form.variables:
        raise NotStageable(
            f"it is named by the variable {name}, which is not known to take a path; name it in a"
            " plain argument"
        )
    variables[index] = {**variable, "value": _replaced(text(variable.get("value")), named)}
    kept = form.variables[name]
    if kept is not None and not any(mapping(each).get("name") == kept for each in variables):
        variables.append({"name": kept, "value": named.repository})


def _replaced(value: str, named: Named) -> str:
    """A text with the path in place of the model's name, which must stand there once."""
    name = re.compile(rf"(?<![\w./@:-]){re.escape(named.repository)}(?:[@:][\w./-]+)?(?![\w./@:-])")
    found = list(name.finditer(value))
    if len(found) != 1:
        raise NotStageable("its name does not stand there as a literal, once")
    start, end = found[0].span()
    made = named.path
    if named.use.role is Role.ADAPTER and value[:1] not in "{[" and value[:start][-1:] != "=":
        if not named.form.adapters:
            raise NotStageable("an adapter needs a name of its own: name=org/adapter")
        made = f"{named.repository}={named.path}"
    return f"{value[:start]}{made}{value[end:]}"


def with_variables(container: Container) -> Container:
    """A container whose servers ask no hub for anything."""
    listed = items(container.get("env"))
    made: list[Json] = []
    for variable in listed:
        name = text(mapping(variable).get("name"))
        if name not in OFFLINE:
            made.append(variable)
        elif not any(mapping(each).get("name") == name for each in made):
            made.append({"name": name, "value": OFFLINE[name]})
    present = {text(mapping(each).get("name")) for each in made}
    made += [{"name": name, "value": OFFLINE[name]} for name in OFFLINE if name not in present]
    return container if made == listed else {**container, "env": made}


def _is_json(word: str) -> bool:
    return word.partition("=")[2][:1] in ("{", "[") or word[:1] in ("{", "[")
