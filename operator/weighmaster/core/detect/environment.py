"""The environment of a container as the kubelet builds it."""

import re
from collections.abc import Iterable, Mapping

from weighmaster.core.detect.budget import Budget
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.reading import Json, items, mapping, text

MAX_ASSIGNED = 131_072
"""Characters of a variable that is read: Linux passes no longer one (MAX_ARG_STRLEN)."""

TOO_LONG = "a variable that is too long"

MAX_VALUE = 16_384
"""Characters; references in references grow a value exponentially."""

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_WHOLE = re.compile(r"\$(?:\(([A-Za-z_]\w*)\)|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))\Z")
_ANY = re.compile(r"\$(?:\(([A-Za-z_]\w*)\)|\{([A-Za-z_]\w*)|([A-Za-z_]\w*))")


class Environment:
    """Variables by name: ``values`` of those that are known, and where the others come from."""

    __slots__ = ("_places", "_root", "budget", "listed", "origins", "sources", "values", "version")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.version = 0
        """How often something has been assigned."""
        self.values: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self._root: Path = None
        self._places: dict[str, int | str] | None = None
        self.listed: list[Json] | dict[str, Json] = []
        """The ``env`` that the variables come from."""
        self.sources: list[tuple[str, str]] = []
        """Whole ConfigMaps and Secrets whose content is not known, with what their names get."""

    def copy(self) -> "Environment":
        """A copy for a script to assign to."""
        other = Environment(self.budget)
        other.values = dict(self.values)
        other.origins = dict(self.origins)
        other._root = self._root
        other._places = self._places
        other.listed = self.listed
        other.sources = self.sources
        return other

    def root(self, path: Path) -> None:
        """Note where the container stands."""
        self._root = path

    def path(self, name: str, fallback: Path) -> Path:
        """The field that sets a variable; ``fallback`` for one that no field sets."""
        if self._places is None:
            self._places = _places(self.listed)
        at = self._places.get(name)
        if at is None:
            return fallback
        entry: Path = ((self._root, "env"), at)
        if type(at) is str:
            return entry
        return (entry, "valueFrom" if name in self.origins else "value")

    def assign(self, name: str, value: str) -> None:
        """Set a variable to a known value, or to an unknown one if no process could get it."""
        self.version += 1
        if len(value) > MAX_ASSIGNED:
            self.values.pop(name, None)
            self.origins[name] = TOO_LONG
            return
        self.values[name] = value
        self.origins.pop(name, None)

    def get(self, name: str) -> str:
        """The value of a variable: empty if it is unset, ``$(NAME)`` if its value is unknown."""
        value = self.values.get(name)
        if value is not None:
            return value
        return f"$({name})" if name in self.origins else ""

    def expand(self, value: str) -> str:
        """Replace ``$(NAME)`` as the kubelet does; unknown names stay as they are."""
        if "$" not in value or self.budget.grown < 0:
            return value

        def replace(match: re.Match[str]) -> str:
            if match[1] == "$":
                return "$"
            known = self.values.get(match[2])
            return match[0] if known is None else known

        size = len(value) + sum(len(self.values.get(m[2], "")) for m in _REFERENCE.finditer(value))
        if size > MAX_VALUE + len(value) or not self.budget.grow(size - len(value)):
            return value
        return _REFERENCE.sub(replace, value)

    def origin_of(self, value: str) -> str | None:
        """Where the value of an expression that is one variable would come from, if anywhere."""
        match = _WHOLE.match(value)
        if not match:
            return None
        return self.origin(match[1] or match[2] or match[3])

    def origin(self, name: str) -> str | None:
        """Where the value of ``name`` would come from, such as ``configmap/settings#MODEL``."""
        found = self.origins.get(name)
        if found is None and name not in self.values:
            for prefix, source in self.sources:
                if name.startswith(prefix):
                    return f"{source}#{name.removeprefix(prefix)}"
        return found

    def unseen(self, names: Iterable[str]) -> tuple[str, ...]:
        """The ConfigMaps and Secrets that may set one of some variables, unseen by anybody."""
        if not self.sources:
            return ()
        open_names = [n for n in names if n not in self.values and n not in self.origins]
        return tuple(
            source
            for prefix, source in self.sources
            if any(name.startswith(prefix) for name in open_names)
        )


def is_variable(value: str) -> bool:
    """Whether the whole of ``value`` is a reference to one variable."""
    return bool(_WHOLE.match(value))


def has_variable(value: str) -> bool:
    """Whether some part of ``value`` is a reference to a variable."""
    return "$" in value and bool(_ANY.search(value))


class Surroundings:
    """Where a pod lives: what its environment may refer to."""

    __slots__ = ("budget", "context", "metadata", "namespace")

    def __init__(self, context: Context, namespace: str, metadata: Mapping[str, Json]) -> None:
        self.budget = Budget()
        self.context = context
        self.namespace = namespace
        self.metadata = metadata


def _places(listed: list[Json] | dict[str, Json]) -> dict[str, int | str]:
    """At which index (or key) of ``env`` each variable stands; few are ever asked for."""
    if type(listed) is dict:
        return {name: name for name in listed if type(name) is str}
    return {
        variable["name"]: index
        for index, variable in enumerate(listed)
        if type(variable) is dict and type(variable.get("name")) is str
    }


def build(container: Mapping[str, Json], path: Path, around: Surroundings) -> Environment:
    """The environment of ``container``: first ``envFrom``, then ``env`` in order."""
    environment = Environment(around.budget)
    for source in items(container.get("envFrom")):
        if type(source) is dict:
            _take_all(environment, source, around)
    environment.root(path)
    variables = container.get("env")
    if type(variables) is dict:
        return _plain(environment, variables)
    if type(variables) is not list:
        return environment
    environment.listed = variables
    values, origins = environment.values, environment.origins
    for variable in variables:
        if type(variable) is not dict:
            continue
        name, value = variable.get("name"), variable.get("value")
        if type(name) is not str:
            continue
        if type(value) is not str:
            if value is None and "value" not in variable and "valueFrom" in variable:
                _take(environment, name, mapping(variable["valueFrom"]), around)
                continue
            value = text(value)
        if len(value) > MAX_ASSIGNED:
            values.pop(name, None)
            origins[name] = TOO_LONG
            continue
        values[name] = environment.expand(value) if "$" in value else value
        if origins:
            origins.pop(name, None)
    return environment


def _plain(environment: Environment, variables: dict[str, Json]) -> Environment:
    """KubeAI and others write variables as a plain mapping."""
    for name, value in variables.items():
        if type(name) is str:
            environment.assign(name, environment.expand(text(value)))
    environment.listed = variables
    return environment


def _take_all(environment: Environment, source: Mapping[str, Json], around: Surroundings) -> None:
    prefix = text(source.get("prefix"))
    for kind, member in (("configmap", "configMapRef"), ("secret", "secretRef")):
        name = text(mapping(source.get(member)).get("name"))
        if not name:
            continue
        data = around.context.config_map(around.namespace, name) if kind == "configmap" else None
        if data is None:
            environment.sources.append((prefix, f"{kind}/{name}"))
            continue
        for key, value in data.items():
            environment.assign(prefix + key, text(value))


def _take(
    environment: Environment, name: str, source: Mapping[str, Json], around: Surroundings
) -> None:
    environment.values.pop(name, None)
    for kind, member in (("configmap", "configMapKeyRef"), ("secret", "secretKeyRef")):
        reference = mapping(source.get(member))
        if not reference:
            continue
        config_map, key = text(reference.get("name")), text(reference.get("key"))
        data = around.context.config_map(around.namespace, config_map)
        if kind == "configmap" and data is not None and key in data:
            environment.assign(name, text(data[key]))
        else:
            environment.origins[name] = f"{kind}/{config_map}#{key}"
        return
    field = text(mapping(source.get("fieldRef")).get("fieldPath"))
    value = _field(field, around.metadata)
    if value is not None:
        environment.assign(name, value)
    else:
        environment.origins[name] = f"field/{field}" if field else "valueFrom"


def _field(path: str, metadata: Mapping[str, Json]) -> str | None:
    """A downward API field, where the template itself gives its value."""
    for member in ("annotations", "labels"):
        start = f"metadata.{member}['"
        if path.startswith(start) and path.endswith("']"):
            value = mapping(metadata.get(member)).get(path[len(start) : -2])
            return value if type(value) is str else None
    return None
