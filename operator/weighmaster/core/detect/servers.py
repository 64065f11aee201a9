"""A command line (or an image's own start) of a known runtime, read as model uses."""

import json
import re
import shlex
from collections.abc import Callable, Collection

from weighmaster.core import references
from weighmaster.core.detect import naming
from weighmaster.core.detect.containers import Container
from weighmaster.core.detect.environment import Environment, has_variable, is_variable
from weighmaster.core.detect.options import Option, Scan, look, role_of, scan
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.revisions import (
    at_revision,
    beside,
    is_fetched,
    revision_of,
)
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.detect.serverwords import (
    COMPILED,
    CONFIG_OPTIONS,
    OVERRIDES,
    OVERRIDING,
    TASK_SWITCHES,
    TASKS,
    VALUED,
    told,
    variables_of,
)
from weighmaster.core.detect.sink import Sink
from weighmaster.core.detect.switches import remote_code_in, setting, stronger
from weighmaster.core.detect.volumes import STORED, Volumes
from weighmaster.core.detect.yamltree import parse_text
from weighmaster.core.values import ModelReference, Process, Role, Setting

_NAMED_MODULE = re.compile(r"[\w.@:-]+=(?=.)|[\w.-]+/[\w.-]+=(?=/)")
"""The second is an adapter that is called by a name of the hub, and lies at a path."""


FileAt = Callable[[str], str | None]
"""Gives the text of a file, where it is known."""


def _no_file(path: str) -> str | None:
    del path
    return None


def _always(path: Path) -> Callable[[Option], Path]:
    def path_of(option: Option) -> Path:
        del option
        return path

    return path_of


class Server:
    """One start of a server: its command line, its environment, and where both stand."""

    def __init__(
        self, runtime: Runtime, container: Container, environment: Environment, volumes: Volumes,
        fallback: Path,
    ) -> None:  # fmt: skip
        self.runtime = runtime
        self.container = container
        self.environment = environment
        self.place = naming.Place(container, environment, volumes)
        self.fallback = fallback
        self.hook: Path = None
        """The ``command`` of the hook that starts it."""
        self.named: list[tuple[Role, str, Path, str]] = []
        self.revisions: dict[Role, str] = {}
        self.code: tuple[str, Path] | None = None
        """The revision of the code that comes with the model, and where it is given."""
        self.file = ""
        self.remote = Setting.OFF
        self.adapters = Setting.OFF
        self.load_format: str | None = None
        self.task: Role | None = None
        self.explicit = False

    def read(self, words: list[str], origins: list[int], file_at: FileAt) -> None:
        """Take what the command line says."""
        found = scan(words, origins, self.runtime)
        self._options(found, self._element, file_at)
        if self.runtime.positional:
            for value, origin in found.positionals[:1]:
                how = "argument" if is_variable(value) and not has_model_config(self) else ""
                self.name(self.runtime.role, value, self.container.field(origin, self.hook), how)
            for option in found.options:
                if option.value is not None and "/" in option.value:
                    self._swallowed(option, option.value)
        elif found.positionals and self.runtime.name == "jetstream":
            for value, origin in found.positionals:
                self._assignment(value, self.container.field(origin, self.hook))

    def _swallowed(self, option: Option, value: str) -> None:
        """A word that an unknown option may not have wanted is what the server would load."""
        name = option.name
        known = name in VALUED or name in self.runtime.revisions
        if known or role_of(name, self.runtime) is not None:
            return
        if references.is_repository_name(value):
            self.name(self.runtime.role, value, self._element(option), "")

    def _assignment(self, value: str, path: Path) -> None:
        """``name=value`` without dashes (MaxText)."""
        name, equals, rest = value.partition("=")
        role = role_of(name.replace("_", "-"), self.runtime) if equals else None
        if role is not None:
            self.name(role, rest, path, name)

    def _element(self, option: Option) -> Path:
        return self.container.field(option.origin, self.hook)

    def _options(self, found: Scan, path_of: Callable[[Option], Path], file_at: FileAt) -> None:
        telling = told(self.runtime)
        for option in found.options:
            spelt = option.name
            name, role = look(spelt, self.runtime) if len(spelt) < 100 else (spelt, None)
            if role is not None:
                self._reference(name, option.value or "", role, path_of(option))
            elif name in telling:
                self._switch(name, option.value)
                if option.value:
                    self._valued(name, option.value, path_of(option), file_at)

    def _switch(self, name: str, value: str | None) -> None:
        runtime = self.runtime
        if name in runtime.remote_code or name == "trust-remote-code":
            self.remote = stronger(self.remote, setting(value))
        elif name in runtime.adapters:
            self.adapters = stronger(self.adapters, setting(value))
        elif name == "is-embedding" or (runtime.name == "llama.cpp" and name in TASK_SWITCHES):
            self.task = TASK_SWITCHES.get(name, Role.EMBEDDING)

    def _valued(self, name: str, value: str, path: Path, file_at: FileAt) -> None:
        if name in self.runtime.revisions:
            self.revisions[self.runtime.revisions[name]] = value
        elif name in self.runtime.files:
            self.file = value
        elif name == "code-revision":
            self.code = value, path
        elif name in ("load-format", "weight-loader"):
            self.load_format = value
        elif name in ("task", "runner", "convert", "pooling-task"):
            self.task = TASKS.get(value, self.task)
        elif name == "model-loader-extra-config":
            self._loader(value, path)
        elif name in CONFIG_OPTIONS:
            self._config(value, path, file_at)
        elif name == "model-control-mode":
            self.explicit = value == "explicit"
        elif name == "hf-overrides" and "trust_remote_code" in value:
            self.remote = Setting.ON

    def _reference(self, name: str, value: str, role: Role, path: Path) -> None:
        if name in self.runtime.documents:
            self._document(value, role, path)
        elif name in self.runtime.lists:
            self._list(value, role, path)
        elif value:
            if self.runtime.name == "llama.cpp" and name in ("lora", "lora-scaled"):
                for part in value.split(",")[:100]:
                    file, colon, scale = part.rpartition(":")
                    self.name(role, file if colon and scale[:1].isdigit() else part, path, name)
                return
            self.name(role, value, path, name)

    def _document(self, value: str, role: Role, path: Path) -> None:
        """A JSON value with a reference under ``model`` (``--speculative-config``)."""
        document = _json(value)
        if not isinstance(document, dict):
            if value and has_variable(value):
                self.name(role, value, path, "speculative configuration")
            return
        model = document.get("model")
        if isinstance(model, str) and model not in ("ngram", "[ngram]"):
            self.name(role, model, path, "speculative configuration")
        revision = document.get("revision")
        if isinstance(revision, str):
            self.revisions[role] = revision
        if document.get("trust_remote_code") is True:
            self.remote = Setting.ON

    def _list(self, value: str, role: Role, path: Path) -> None:
        """``name=path``, JSON objects, or plain references, separated by commas or spaces."""
        if value[:1] in "{[":
            document = _json(value)
            for entry in document if isinstance(document, list) else [document]:
                if not isinstance(entry, dict):
                    continue
                reference = entry.get("path") or entry.get("local_path") or entry.get("lora_path")
                if isinstance(reference, str):
                    self.name(role, reference, path, "LoRA module")
                elif "name" not in entry and "lora_name" not in entry:
                    for inner in entry.values():
                        if isinstance(inner, str):
                            self.name(role, inner, path, "LoRA module")
            return
        for part in value.split(",")[:200]:
            match = _NAMED_MODULE.match(part)
            name = part[match.end() :] if match else part
            if self.runtime.name == "torchserve" and name in ("all", "ALL"):
                continue
            self.name(role, name, path, "LoRA module" if role is Role.ADAPTER else "model list")

    def _loader(self, value: str, path: Path) -> None:
        document = _json(value)
        inner = document.get("tensorizer_config") if isinstance(document, dict) else None
        for options in (document, inner):
            if isinstance(options, dict):
                for name in ("tensorizer_uri", "tensorizer_dir", "model_uri"):
                    if isinstance(where := options.get(name), str):
                        self.name(Role.BASE, where, path, "tensorizer")

    def _config(self, value: str, path: Path, file_at: FileAt) -> None:
        """A configuration file: the same options by name, where its text is known."""
        content = file_at(value)
        if content is None:
            if self.runtime.name in ("vllm", "aphrodite"):
                self.named.append((Role.BASE, "", path, f"configuration file {value}"))
            return
        self.remote = stronger(self.remote, remote_code_in(content))
        document = parse_text(content)
        if not isinstance(document, dict):
            return
        words = []
        for key, inner in document.items():
            if isinstance(key, str) and key not in ("config", "cli-config"):
                if isinstance(inner, dict):
                    words += [f"--{key}={json.dumps(inner)}"]
                elif isinstance(inner, list):
                    words += [f"--{key}", *[str(item) for item in inner if isinstance(item, str)]]
                elif isinstance(inner, bool):
                    words += [f"--{key}={str(inner).lower()}"]
                elif isinstance(inner, str):
                    words += [f"--{key}={inner}"]
        found = scan(words, [0] * len(words), self.runtime)
        self._options(found, _always(path), _no_file)

    def read_variables(self) -> None:
        """Take what the environment says."""
        self._more_arguments()
        environment, runtime = self.environment, self.runtime
        known = environment.values
        for name, role in runtime.variables.items():
            if not self._is_set(name):
                continue
            path = environment.path(name, self.fallback)
            if role is Role.ADAPTER:
                self._list(environment.get(name), role, path)
            elif self._ask(role):
                self.name(role, environment.get(name), path, name)
        revisions, files, remote = variables_of(runtime)
        for name, role in revisions:
            if known.get(name):
                self.revisions.setdefault(role, known[name])
        for name in files:
            if known.get(name):
                self.file = known[name]
        for name in COMPILED:
            if name in known and known[name].startswith("/"):
                self.name(Role.BASE, known[name], environment.path(name, self.fallback), name)
        self.remote = self._switched(self.remote, remote)
        self.adapters = self._switched(self.adapters, runtime.adapters)

    def _more_arguments(self) -> None:
        """Variables whose value is appended to the command line."""
        for name in self.runtime.extra:
            value = self.environment.values.get(name)
            if value:
                words = split(value)
                path = self.environment.path(name, self.fallback)
                found = scan(words, [0] * len(words), self.runtime)
                self._options(found, _always(path), _no_file)

    def _is_set(self, name: str) -> bool:
        return name in self.environment.values or name in self.environment.origins

    def _switched(self, state: Setting, names: Collection[str]) -> Setting:
        values, origins = self.environment.values, self.environment.origins
        for name in names:
            if name in values or name in origins:
                state = stronger(state, setting(self.environment.get(name)))
        own = self.runtime.remote_code | self.runtime.adapters
        if self.environment.unseen([name for name in names if name.isupper() and name in own]):
            state = stronger(state, Setting.UNKNOWN)
        return state

    def _ask(self, role: Role) -> bool:
        """Whether the environment still has a say: options win over variables."""
        return not any(named[0] is role for named in self.named)

    def name(self, role: Role, value: str, path: Path, how: str) -> None:
        """Note a value that names weights; ``how`` is the option or variable that holds it."""
        self.named.append((role, value, path, how))

    def process(self) -> Process:
        """How the server is set up."""
        values, origins = self.environment.values, self.environment.origins
        overrides: tuple[str, ...] = ()
        if not (values.keys().isdisjoint(OVERRIDING) and origins.keys().isdisjoint(OVERRIDING)):
            overrides = tuple(name for name in OVERRIDES if values.get(name) or name in origins)
        return Process(
            runtime=self.runtime.name,
            container=self.container.name,
            remote_code=self.remote,
            runtime_adapters=self.adapters,
            origin_overrides=overrides,
            unseen_settings=self.environment.unseen(OVERRIDES),
            load_format=self.load_format,
        )

    def report(self, sink: Sink, default: ModelReference | None) -> None:
        """Add the uses; ``default`` is what the server loads when it names nothing."""
        process = self.process()
        based = False
        volumes = self.place.volumes
        for named, value, path, how in self.named:
            if sink.full:
                return
            volumes.stores.clear()
            volumes.fields.clear()
            found = self._read(value, how)
            role = named
            if named is self.runtime.role or named is Role.BASE:
                role = self.task or named
                based = based or bool(found)
            for reference in found:
                # What a download names stands in the download.
                field = volumes.fields.get(reference.canonical, path)
                if is_fetched(reference, value):
                    revision = revision_of(role, self.runtime, self.revisions)
                    loaded = at_revision(reference, revision, self.file)
                    sink.add(loaded, role, field, process, self._why(how))
                    if named is self.runtime.role or named is Role.BASE:
                        self._beside(loaded, path, process, sink)
                else:
                    sink.add(reference, role, field, process, self._why(how))
            for reference in volumes.stores:
                sink.add(reference, role, path, process, STORED)
        if not based and default is not None:
            sink.add(
                default, self.task or self.runtime.role, self.fallback, process,
                f"{self.runtime.name} without a model name",
            )  # fmt: skip

    def _beside(self, base: ModelReference, path: Path, process: Process, sink: Sink) -> None:
        code = self.code if self.remote is not Setting.OFF else None
        tokenized = any(role is Role.TOKENIZER for role, *_ in self.named)
        for other in beside(base, path, self.runtime, self.revisions, code):
            if other.role is not Role.TOKENIZER or not tokenized:
                sink.add(other.reference, other.role, other.path, process, other.reason)

    def _read(self, value: str, how: str) -> list[ModelReference]:
        if not value and how.startswith("configuration file"):
            return [references.unresolved(how.removeprefix("configuration "))]
        if how == "argument":  # more arguments, from a variable: they may name anything
            return [references.unresolved(self.environment.origin_of(value) or value)]
        if self.explicit:
            return [references.dynamic(self.runtime.name)]
        return naming.read(value, self._bare(how), self.place)

    def _bare(self, how: str) -> str:
        if self.runtime.name != "llama.cpp":
            return self.runtime.bare
        return "hub" if "hf" in how or "HF" in how or "docker" in how else "path"

    def _why(self, how: str) -> str:
        name = self.runtime.name
        if not how:
            return f"{name} model argument"
        return f"{name} {how}" if how[0].isupper() or " " in how else f"{name} --{how}"


def has_model_config(server: Server) -> bool:
    """Whether a configuration file may name the model: nothing else has so far."""
    return not any(role is Role.BASE for role, *_ in server.named)


def split(text: str) -> list[str]:
    """Words of a string of arguments."""
    try:
        return shlex.split(text[:65_536])
    except ValueError:
        return text[:65_536].split()


def _json(value: str) -> object:
    if len(value) > 65_536 or value.count("[") + value.count("{") > 500:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        # Shells and templates leave quotes behind; YAML reads what JSON refuses.
        return parse_text(value.replace("\\n", " ").replace('\\"', '"').strip("'\""))
