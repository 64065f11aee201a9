"""What a kind tells about the pods inside its objects, and helpers to name what its fields say."""

from collections.abc import Mapping

from msgspec import Struct

from weighmaster.core import references
from weighmaster.core.detect.environment import has_variable, is_variable
from weighmaster.core.detect.naming import hub_url
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.detect.serverwords import OVERRIDES
from weighmaster.core.detect.sink import Sink
from weighmaster.core.detect.switches import remote_code_in, setting, stronger
from weighmaster.core.detect.volumes import tentative
from weighmaster.core.values import ModelReference, Process, Role, Setting


class Plan(Struct):
    """How to read the pod templates of an object.

    ``walk``: look for templates by structure. ``aliases``: paths where the kind's controller puts
    a model. ``hint``: the runtime of containers without a command. ``standing_in``: what such a
    container loads when it names nothing. ``instead``: what to walk in place of the object.
    """

    walk: bool = True
    aliases: dict[str, ModelReference] = {}
    hint: Runtime | None = None
    standing_in: ModelReference | None = None
    instead: dict[str, Json] | None = None


def uri(value: Json, *, hub: str = "") -> ModelReference | None:
    """A field that holds a URI; with ``hub`` it may also be the bare name of a repository."""
    spelt = text(value).strip()
    if not spelt:
        return None
    if is_variable(spelt):
        if hub:
            return references.unexpanded(references.hugging_face(spelt))
        return references.unresolved(spelt)
    if "://" not in spelt:
        if hub == "modelscope":
            return references.modelscope(spelt)
        if hub and references.is_repository_name(spelt):
            return references.hugging_face(spelt)
        if spelt.startswith("/"):
            return references.unresolved(spelt)
        return references.unresolved(spelt)
    scheme, _, rest = spelt.partition("://")
    if scheme == "file":
        return references.host_path("/" + rest.lstrip("/"))
    found = hub_url(spelt) if scheme in ("http", "https") else None
    reference = found or references.parse(spelt)
    return tentative(reference, spelt) if has_variable(spelt) else reference


def process_of(runtime: str, *fragments: Json) -> Process:
    """The set-up that ``env``, ``envs``, ``args`` and configuration of a custom object ask for."""
    remote = adapters = Setting.OFF
    overrides: list[str] = []
    load_format = None
    for fragment in fragments:
        for name, value in variables(fragment):
            if name in OVERRIDES and value:
                overrides.append(name)
            if "TRUST" in name and ("REMOTE_CODE" in name or "CUSTOM_CODE" in name):
                remote = stronger(remote, setting(value))
            if name in ("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "DYN_LORA_ENABLED"):
                adapters = stronger(adapters, setting(value))
            if "ARGS" in name:
                remote = stronger(remote, _in_arguments([value]))
        for words in (mapping(fragment).get("args"), mapping(fragment).get("extraArgs"),
                      mapping(fragment).get("vllmArgs"), fragment):  # fmt: skip
            remote = stronger(remote, _in_arguments(items(words)))
            load_format = _after(items(words), "load-format") or load_format
    return Process(
        runtime=runtime, remote_code=remote, runtime_adapters=adapters,
        origin_overrides=tuple(dict.fromkeys(overrides)), load_format=load_format,
    )  # fmt: skip


def variables(fragment: Json) -> list[tuple[str, str]]:
    """The variables of an ``env`` list or mapping, or of the mapping that has one."""
    found: list[tuple[str, str]] = []
    listed = fragment
    if type(fragment) is dict:
        listed = fragment.get("env") or fragment.get("envs") or fragment.get("extraEnv")
        if listed is None:
            return found
    if type(listed) is dict:
        return [(name, text(value)) for name, value in listed.items() if type(name) is str]
    for variable in items(listed):
        if type(variable) is dict and type(variable.get("name")) is str:
            name, value = variable["name"], text(variable.get("value"))
            if not value and "valueFrom" in variable:
                value = f"$({name})"
            found.append((name, value))
    return found


def _in_arguments(words: list[Json]) -> Setting:
    found = Setting.OFF
    for index, word in enumerate(words):
        if type(word) is not str or "trust" not in word:
            continue
        if word.lstrip("-").replace("_", "-") == "trust-remote-code":
            following = words[index + 1] if index + 1 < len(words) else None
            plain = type(following) is str and following[:1] != "-"
            found = stronger(found, setting(following if plain else None))
        elif "trust-remote-code" in word.replace("_", "-"):
            stated = remote_code_in(word)
            found = stronger(found, stated if "=" in word or ":" in word else Setting.ON)
            if stated is Setting.OFF and not ("=false" in word.lower() or "=0" in word):
                found = Setting.ON
    return found


def _after(words: list[Json], name: str) -> str | None:
    for index, word in enumerate(words):
        if type(word) is not str:
            continue
        option, equals, value = word.lstrip("-").partition("=")
        if option.replace("_", "-") == name:
            following = words[index + 1] if index + 1 < len(words) else None
            return value if equals else following if type(following) is str else None
    return None


class Fields:
    """Adds uses for fields of one object."""

    def __init__(self, document: Mapping[str, Json], sink: Sink, process: Process) -> None:
        self.document = document
        self.sink = sink
        self.process = process

    def add(
        self, reference: ModelReference | None, role: Role, path: Path, reason: str
    ) -> ModelReference | None:
        """Add a use, if there is a reference."""
        if reference is not None:
            self.sink.add(reference, role, path, self.process, reason)
        return reference

    @staticmethod
    def path(*keys: str | int) -> Path:
        """A path from the top of the object."""
        return below(None, *keys)
