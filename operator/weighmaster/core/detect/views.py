"""What one container of a pod runs, before anybody asks what it means."""

from weighmaster.core.detect import downloaders
from weighmaster.core.detect.bystanders import QUIET
from weighmaster.core.detect.command import CommandReader
from weighmaster.core.detect.containers import Container
from weighmaster.core.detect.environment import Surroundings
from weighmaster.core.detect.invocation import Invocation
from weighmaster.core.detect.reading import items, mapping, text
from weighmaster.core.detect.runtimes import is_server, starts
from weighmaster.core.detect.volumes import Volumes
from weighmaster.core.values import Setting

_ORDINARY_WORDS = frozenset({"ray", "max", "tabby"})
"""Names of programs that arguments may well contain by chance."""


class View:
    """A container and its invocations."""

    __slots__ = ("commands", "container", "invocations", "remote", "served")

    def __init__(self, container: Container, commands: CommandReader) -> None:
        self.container = container
        self.commands = commands
        self.invocations: list[Invocation] = []
        self.served = False
        self.remote: Setting | None = None
        """What the files that its scripts write say about remote code, once somebody asked."""

    def file_at(self, path: str) -> str | None:
        """The text of a file: one that its scripts wrote, or one that is mounted."""
        text = self.commands.text_at(path)
        if text is not None and not self.container.around.budget.configuration(text):
            self.commands.exhausted = True
            return None
        return text


def of(container: Container, volumes: Volumes, around: Surroundings) -> View:
    """Read the command line, the hooks and the probes of ``container``."""

    def file_at(path: str) -> str | None:
        return _mounted_file(container, volumes, around, path)

    commands = CommandReader(container.environment, file_at, is_server, starts)
    view = View(container, commands)
    elements = container.elements
    if elements:
        by_image = container.arguments_from == 0
        tool = downloaders.entrypoint(container.image) if by_image else None
        if tool is not None and not is_server(elements[0]):
            words = [container.environment.expand(word) for word in elements]
            origins = list(range(len(words)))
            own = Invocation(tool, words, origins, container.environment)
            view.invocations.append(own)
        if by_image and elements[0][:1] == "-":
            _among_arguments(view)
        else:
            view.invocations += commands.read(elements)
    for words, path in container.hooks():
        view.invocations += commands.read(words, place=path)
    return view


def is_quiet(view: View) -> bool:
    """Whether the arguments of an image run something that is known to load nothing."""
    if view.container.elements[:1] and view.container.elements[0][:1] == "-":
        return False
    return any(
        invocation.program in QUIET
        or invocation.program in {"vllm", "ray"}
        or downloaders.is_downloader(invocation.program)
        for invocation in view.invocations
        if invocation.place is None
    )


def _among_arguments(view: View) -> None:
    """A server that stands among the arguments of an entrypoint we do not know."""
    words = view.container.elements
    for index, word in enumerate(words):
        program = word.rpartition("/")[2]
        if word[:1] in ("-", "{") or not is_server(program):
            continue
        if program not in _ORDINARY_WORDS or words[index - 1] == "-m":
            view.invocations += view.commands.read(words[index:], index)
            return


def _mounted_file(
    container: Container, volumes: Volumes, around: Surroundings, path: str
) -> str | None:
    """The text of a file that a ConfigMap puts at ``path``, where it is known."""
    if not around.context.config_maps or not path.startswith("/"):
        return None
    location = volumes.locate(container, path)
    if location is None or location.volume not in volumes.by_name:
        return None
    volume, _ = volumes.by_name[location.volume]
    projected = items(mapping(volume.get("projected")).get("sources"))
    inside = location.inside.lstrip("/")
    for source in [volume, *projected]:
        config_map = mapping(mapping(source).get("configMap"))
        name = text(config_map.get("name"))
        data = around.context.config_map(around.namespace, name) if name else None
        if data is None:
            continue
        key = inside
        for item in items(config_map.get("items")):
            if text(mapping(item).get("path")) == inside:
                key = text(mapping(item).get("key"))
        if key in data:
            return data[key]
    return None
