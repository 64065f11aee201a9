"""A container of a pod, and the commands it runs."""

from collections.abc import Mapping

from weighmaster.core.detect.environment import Environment, Surroundings, build
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.reading import Json, items, mapping, text


class Container:
    """One container, read lazily: most containers serve nothing."""

    __slots__ = (
        "_environment",
        "arguments_from",
        "around",
        "by_path",
        "elements",
        "image",
        "line",
        "mounts",
        "name",
        "path",
        "spec",
    )

    def __init__(self, spec: Mapping[str, Json], path: Path, around: Surroundings) -> None:
        self.spec = spec
        self.path = path
        self.line: Path = None
        """The field of the command line, where it is not the container's own."""
        self.around = around
        self.name = text(spec.get("name")) or None
        self.image = text(spec.get("image"))
        command = _words(spec.get("command"))
        self.arguments_from = len(command)
        self.elements = command + _words(spec.get("args"))
        self.mounts = items(spec.get("volumeMounts"))
        self.by_path: dict[str, tuple[str, str]] | None = None
        """The mounts by path, once somebody asked: the volume and the path inside it."""
        self._environment: Environment | None = None

    @property
    def environment(self) -> Environment:
        """Its variables."""
        if self._environment is None:
            self._environment = build(self.spec, self.path, self.around)
        return self._environment

    def element_path(self, index: int) -> Path:
        """Where the command-line element ``index`` stands."""
        if self.line is not None:
            return self.line
        if index < self.arguments_from:
            return ((self.path, "command"), index)
        return ((self.path, "args"), index - self.arguments_from)

    def field(self, origin: int, place: Path) -> Path:
        """Where the element ``origin`` of the hook at ``place`` stands, or of the command line."""
        return self.element_path(origin) if place is None else (place, origin)

    def hooks(self) -> list[tuple[list[str], Path]]:
        """Commands that lifecycle hooks and probes run in the container, and their fields."""
        found: list[tuple[list[str], Path]] = []
        lifecycle = self.spec.get("lifecycle")
        if type(lifecycle) is dict:
            for name in ("postStart", "preStop"):
                _hook(found, lifecycle.get(name), ((self.path, "lifecycle"), name))
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = self.spec.get(name)
            if type(probe) is dict and "exec" in probe:
                _hook(found, probe, (self.path, name))
        return found

    @property
    def accelerated(self) -> bool:
        """Whether it asks for an accelerator."""
        resources = mapping(self.spec.get("resources"))
        for member in ("limits", "requests"):
            for name, amount in mapping(resources.get(member)).items():
                if type(name) is str and is_accelerator(name) and text(amount) not in ("0", ""):
                    return True
        return bool(resources.get("claims"))


def is_accelerator(resource: str) -> bool:
    """Whether an extended resource is a GPU, TPU, NPU or the like."""
    domain, slash, name = resource.partition("/")
    if not slash:
        return False
    return (
        name.startswith(("gpu", "tpu", "mig-", "neuron", "gaudi", "npu", "Ascend", "dcu", "mlu"))
        or "gpu" in domain
        or domain in ("nvidia.com", "amd.com", "habana.ai", "huawei.com", "furiosa.ai")
    )


def _hook(found: list[tuple[list[str], Path]], hook: Json, path: Path) -> None:
    if type(hook) is dict:
        command = _words(mapping(hook.get("exec")).get("command"))
        if command:
            found.append((command, ((path, "exec"), "command")))


def _words(value: Json) -> list[str]:
    if type(value) is list:
        return [word if type(word) is str else text(word) for word in value]
    return [value] if type(value) is str and value else []
