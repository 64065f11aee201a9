"""Commands and scripts that could not be read: uses with unknown weights."""

from weighmaster.core import references
from weighmaster.core.detect import custom
from weighmaster.core.detect.runtimes import of_image
from weighmaster.core.detect.servers import Server
from weighmaster.core.detect.sink import Sink
from weighmaster.core.detect.views import View
from weighmaster.core.detect.volumes import Volumes
from weighmaster.core.values import Process, Role


def script(view: View, sink: Sink) -> None:
    """Add a script that is too long or too deeply nested."""
    view.served = True
    process = Process(runtime="unknown", container=view.container.name)
    sink.add(
        references.unresolved("script that is too long or too deeply nested to read"),
        Role.BASE, view.container.element_path(0), process, "unreadable script",
    )  # fmt: skip


def commands(view: View, volumes: Volumes, kind: str, sink: Sink) -> None:
    """Add commands that cannot be read, where a server could be among them.

    A server that is plain to see explains a script from the web beside it (an installer), but not
    why a command is disguised.
    """
    container = view.container
    runtime = None
    if not view.served:
        runtime = of_image(container.image) if container.image else None
        if runtime is None and not custom.could_serve(container, kind):
            return
    for found in view.commands.opaque.found:
        if view.served and not found.disguised:
            continue
        path = container.field(found.origin, found.place)
        server = Server(runtime or custom.CUSTOM, container, container.environment, volumes, path)
        sink.add(
            references.unresolved(found.expression), Role.BASE, path, server.process(),
            "command that cannot be read",
        )  # fmt: skip
