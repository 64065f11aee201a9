"""Reading one pod: which of its containers load weights, and which weights."""

import re
from collections.abc import Mapping

from weighmaster.core import references, staged
from weighmaster.core.detect import custom, downloaders, naming, remains, scripts, unread, views
from weighmaster.core.detect.bystanders import QUIET, is_bystander
from weighmaster.core.detect.containers import Container
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.environment import Surroundings
from weighmaster.core.detect.gate import is_interesting
from weighmaster.core.detect.invocation import Invocation
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.reading import Json, mapping, text
from weighmaster.core.detect.runtimes import (
    classic,
    is_harmless_image,
    language,
    of_image,
    of_program,
)
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.detect.servers import Server
from weighmaster.core.detect.sink import Sink
from weighmaster.core.detect.switches import remote_code_in, stronger
from weighmaster.core.detect.views import View
from weighmaster.core.detect.volumes import Download, Volumes
from weighmaster.core.values import ModelReference, Process, Role, Setting

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")

MAX_CONTAINERS = 500
"""Containers of one pod that are read, when one of them may load weights."""

MAX_DOWNLOADS = 200
"""Downloads of one pod that are told apart; every path is compared with each."""

_PYTHON = Runtime(name="python")
_INITIALIZER = re.compile(r"storage-initializer")


class Pod:
    """A pod template and where it stands."""

    __slots__ = (
        "aliases",
        "around",
        "hint",
        "kind",
        "line",
        "path",
        "single",
        "spec",
        "standing_in",
    )

    def __init__(
        self, spec: Mapping[str, Json], path: Path, around: Surroundings, kind: str
    ) -> None:
        self.spec = spec
        self.path = path
        self.around = around
        self.kind = kind
        self.aliases: dict[str, ModelReference] = {}
        """Paths at which a controller provides a model that the object names elsewhere."""
        self.hint: Runtime | None = None
        """The runtime that containers without a command belong to, where the kind tells."""
        self.single: tuple[dict[str, Json], Path] | None = None
        """The only container, where the mapping holds it without a list."""
        self.line: Path = None
        """The field that holds the command of the only container, where it is not its own."""
        self.standing_in: ModelReference | None = None
        """What a server that names no model loads, where the kind tells."""


def around(document: Mapping[str, Json], metadata: Json, context: Context) -> Surroundings:
    """The surroundings of a pod template in ``document``."""
    namespace = text(mapping(document.get("metadata")).get("namespace"))
    return Surroundings(context, namespace, mapping(metadata))


def read(pod: Pod, sink: Sink) -> None:
    """Add every model use of ``pod``."""
    spec = pod.spec
    found: list[Container] = []
    interesting = False
    if pod.single is not None:
        container, path = pod.single
        interesting = is_interesting(container, pod.hint is not None)
        found.append(Container(container, path, pod.around))
        found[0].line = pod.line
    for name in CONTAINER_LISTS if pod.single is None else ():
        listed = spec.get(name)
        if type(listed) is not list:
            continue
        for index, container in enumerate(listed):
            if type(container) is dict:
                if not interesting:
                    interesting = is_interesting(container, pod.hint is not None)
                found.append(Container(container, ((pod.path, name), index), pod.around))
    volumes = spec.get("volumes")
    if not interesting and not _carry_models(volumes):
        return
    pod.around.budget = sink.budget
    if len(found) > MAX_CONTAINERS:
        reference = references.unresolved(f"pod of more than {MAX_CONTAINERS} containers")
        process = Process(runtime="unknown")
        sink.add(reference, Role.BASE, (pod.path, "containers"), process, "too many containers")
        del found[MAX_CONTAINERS:]
    _PodReader(pod, found, sink).read()


def _carry_models(volumes: Json) -> bool:
    if type(volumes) is not list:
        return False
    return any(
        type(volume) is dict and ("image" in volume or "csi" in volume) for volume in volumes
    )


class _PodReader:
    def __init__(self, pod: Pod, containers: list[Container], sink: Sink) -> None:
        self.pod = pod
        self.sink = sink
        self.volumes = Volumes(pod.spec.get("volumes"), pod.aliases)
        self.volumes.processes_shared = pod.spec.get("shareProcessNamespace") is True
        self.views = [views.of(container, self.volumes, pod.around) for container in containers]

    def read(self) -> None:
        start = len(self.sink.uses)
        for view in self.views:
            self._collect_downloads(view)
        for view in self.views:
            self._serve(view)
        for view in self.views:
            if not view.served:
                self._guess(view)
        for view in self.views:
            if view.commands.opaque.found:
                unread.commands(view, self.volumes, self.pod.kind, self.sink)
        remains.volumes(self.pod.path, self.volumes, self.sink)
        remains.downloads(self.volumes, self.sink, batch=self.pod.kind in custom.BATCH_KINDS)
        self.sink.place(start, self.volumes.places)

    # Downloads.

    def _collect_downloads(self, view: View) -> None:
        container = view.container
        for invocation in view.invocations:
            if not downloaders.is_downloader(invocation.program):
                continue
            place = naming.Place(container, invocation.environment, self.volumes)
            path = container.field(invocation.origin, invocation.place)
            for download in downloaders.read(invocation, place, path):
                self._keep(container, download)
        for snippet in view.commands.code:
            place = naming.Place(container, snippet.environment, self.volumes)
            path = container.field(snippet.origin, snippet.place)
            found_calls = scripts.read(snippet, place)
            if not found_calls and scripts.fetches(snippet.code):
                unread = references.unresolved("Python code that downloads")
                self._keep(container, Download(unread, "", path, "Python download"))
            for found in found_calls:
                if found.fetching:
                    self._keep(
                        container, Download(found.reference, found.destination, path, found.call)
                    )
        if "MODELKIT_REF" in container.environment.values:
            place = naming.Place(container, container.environment, self.volumes)
            kit = downloaders.modelkit(place, (container.path, "env"))
            if kit is not None:
                self._keep(container, kit)
        self._collect_staged(container)
        if _INITIALIZER.search(container.image) and container.elements:
            place = naming.Place(container, container.environment, self.volumes)
            words = [container.environment.expand(word) for word in container.elements]
            for download in downloaders.pairs(words, place, container.element_path):
                self._keep(container, download)

    def _collect_staged(self, container: Container) -> None:
        listed = container.path[0] if container.path is not None else None
        if container.name == staged.CONTAINER and listed == (self.pod.path, "initContainers"):
            for download in downloaders.staging(container.environment, container.path):
                self._keep(container, download)

    def _keep(self, container: Container, download: Download) -> None:
        if len(self.volumes.downloads) >= MAX_DOWNLOADS:
            reference = references.unresolved(f"more than {MAX_DOWNLOADS} downloads")
            process = Process(runtime="download", container=container.name)
            self.sink.add(reference, Role.FETCH, container.path, process, "too many downloads")
            return
        download.container = container
        if download.destination.startswith("/"):
            location = self.volumes.locate(container, download.destination)
            if location is not None:
                download.place = (location.volume, location.inside)
        self.volumes.downloads.append(download)

    # Servers.

    def _serve(self, view: View) -> None:
        for invocation in view.invocations:
            if invocation.program in QUIET or self.sink.full:
                continue
            match = of_program(invocation.program, invocation.words, invocation.path)
            if match is not None:
                runtime, skip = match
                self._start(view, runtime, invocation, skip)
            elif invocation.program == "ollama":
                self._ollama(view, invocation)
        self._code(view)
        if view.commands.exhausted:
            unread.script(view, self.sink)

    def _start(self, view: View, runtime: Runtime, invocation: Invocation, skip: int) -> None:
        container = view.container
        view.served = True
        fallback = container.field(invocation.origin, invocation.place)
        server = Server(runtime, container, invocation.environment, self.volumes, fallback)
        server.hook = invocation.place
        server.read(invocation.words[skip:], invocation.origins[skip:], view.file_at)
        server.read_variables()
        self._remote_texts(server, view)
        server.report(self.sink, self._default(runtime, container, server))

    @staticmethod
    def _remote_texts(server: Server, view: View) -> None:
        if view.remote is None:
            view.remote = Setting.OFF
            for content in view.commands.files.values():
                view.remote = stronger(view.remote, remote_code_in(content))
        server.remote = stronger(server.remote, view.remote)

    def _default(
        self, runtime: Runtime, container: Container, server: Server
    ) -> ModelReference | None:
        """What a runtime that is told nothing loads."""
        if self.pod.standing_in is not None:
            return self.pod.standing_in
        if runtime.absent == "nothing":
            return None
        if runtime.directory:
            directory = runtime.directory.replace(
                "$MODEL_NAME", server.environment.get("MODEL_NAME") or "model"
            )
            location = self.volumes.locate(container, directory)
            if location is not None or self.volumes.aliases:
                found = self.volumes.resolve(container, directory)
                if found:
                    return found[0]
        if runtime.absent == "dynamic":
            return references.dynamic(runtime.name)
        if runtime.absent == "default":
            return references.default(runtime.name)
        if runtime.absent == "image" and container.image:
            if runtime is language.NIM:
                return references.image(container.image, "nim")
            return references.image_embedded(container.image)
        if runtime is language.VLLM and container.environment.origin("MODEL"):
            return references.unresolved(container.environment.origin("MODEL") or "")
        return references.unresolved(f"{runtime.name} without a model")

    def _ollama(self, view: View, invocation: Invocation) -> None:
        words = [word for word in invocation.words if word[:1] != "-"]
        if words[:1] == ["serve"]:
            view.served = True
            if not self._pulls(view):
                path = view.container.field(invocation.origin, invocation.place)
                self._dynamic(view, language.OLLAMA, path)
        elif words[:1] in (["pull"], ["run"]):
            view.served = True

    def _pulls(self, view: View) -> bool:
        """Whether an Ollama container names what it serves by pulling it itself."""
        return any(
            download.destination == "ollama:" and download.container is view.container
            for download in self.volumes.downloads
        )

    def _dynamic(self, view: View, runtime: Runtime, path: Path) -> None:
        server = Server(runtime, view.container, view.container.environment, self.volumes, path)
        server.read_variables()
        server.report(self.sink, references.dynamic(runtime.name))

    def _code(self, view: View) -> None:
        container = view.container
        for snippet in view.commands.code:
            place = naming.Place(container, snippet.environment, self.volumes)
            server = Server(
                _PYTHON, container, snippet.environment, self.volumes,
                container.field(snippet.origin, snippet.place),
            )  # fmt: skip
            server.remote = remote_code_in(snippet.code)
            for found in scripts.read(snippet, place):
                if not found.fetching:
                    view.served = True
                    self.sink.add(
                        found.reference, Role.BASE, server.fallback, server.process(), found.call
                    )

    # Containers whose command says nothing.

    def _guess(self, view: View) -> None:
        container = view.container
        image = container.image
        runtime = of_image(image) if image else None
        entrypoint = container.arguments_from == 0
        if is_harmless_image(image):
            return
        if runtime is None and self.pod.hint is not None and entrypoint:
            runtime = self.pod.hint
        if runtime is None and not entrypoint and view.commands.scripts:
            names = [*container.environment.values, *container.environment.origins]
            if any(name.startswith("VLLM_") for name in names):
                runtime = language.VLLM
        if runtime is not None:
            if entrypoint:
                self._entrypoint(view, runtime)
            elif view.commands.scripts:
                if not custom.is_rehearsal(view.commands.scripts[-1][0]):
                    self._script(view, runtime)
            elif runtime in (classic.EMBEDDED, classic.DYNAMIC) and custom.is_web(container):
                self._entrypoint(view, runtime)
            else:
                self._stranger(view, runtime)
            if view.served:
                return
        for use in custom.read(
            container, view.invocations, view.commands, self.pod.kind, self.volumes
        ):
            view.served = True
            use.report(self.sink, use.default)

    def _entrypoint(self, view: View, runtime: Runtime) -> None:
        """The image's own start, with the container's arguments."""
        container = view.container
        words = list(container.elements)
        if (words and words[0] in ("sleep", "bash", "sh", "tail")) or views.is_quiet(view):
            return
        environment = container.environment
        words = [environment.expand(word) for word in words]
        origins = list(range(len(words)))
        while words and (
            words[0] in ("serve", "vllm", "server", "--server", "start", "run", "exec")
        ):
            words, origins = words[1:], origins[1:]
        view.served = True
        if runtime is language.OLLAMA:
            if not self._pulls(view):
                self._dynamic(view, runtime, (container.path, "image"))
            return
        fallback: Path = (container.path, "image")
        server = Server(runtime, container, environment, self.volumes, fallback)
        server.read(words, origins, view.file_at)
        server.read_variables()
        if runtime is language.VLLM or runtime is classic.JETSTREAM:
            self._by_variable(server)
        server.report(self.sink, self._default(runtime, container, server))

    @staticmethod
    def _by_variable(server: Server) -> None:
        """Images that wrap a server pass the usual variables on to it."""
        if any(role is Role.BASE for role, *_ in server.named):
            return
        for name in ("MODEL_ID", "MODEL_PATH", "MODEL", "HF_MODEL_ID", "MODEL_NAME", "VLLM_MODEL"):
            environment = server.environment
            if name in environment.values or name in environment.origins:
                path = environment.path(name, server.fallback)
                server.named.append((Role.BASE, environment.get(name), path, name))
                return

    def _stranger(self, view: View, runtime: Runtime) -> None:
        """A server's image that starts a program we know nothing of."""
        if custom.is_rehearsal("\n".join(view.container.elements)):
            return
        for invocation in view.invocations:
            if invocation.place is None and not is_bystander(invocation):
                self._unseen(view, runtime, (invocation.path, invocation.origin, None))
                return

    def _script(self, view: View, runtime: Runtime) -> None:
        """A server's image that starts a script we cannot see."""
        listed = view.commands.scripts
        self._unseen(view, runtime, next((each for each in listed if each[2] is None), listed[0]))

    def _unseen(self, view: View, runtime: Runtime, started: tuple[str, int, Path]) -> None:
        script, origin, place = started
        container = view.container
        view.served = True
        path = container.field(origin, place)
        server = Server(runtime, container, container.environment, self.volumes, path)
        server.read_variables()
        if runtime is language.VLLM or runtime is language.SGLANG:
            self._by_variable(server)
        server.report(self.sink, references.unresolved(script.rpartition("/")[2]))
