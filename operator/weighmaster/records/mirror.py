"""A mirror: objects as they are stored, by resource. A Sink for reflectors."""

from collections.abc import Callable

from weighmaster.cluster.client import Json
from weighmaster.cluster.reflector import ObjectKey, object_key


class Mirror:
    """Keeps what reflectors see, and says when it changes."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._objects: dict[str, dict[ObjectKey, Json]] = {}
        self._on_change = on_change

    def replace(self, resource: str, objects: list[Json]) -> None:
        """Take a full listing in place of everything before."""
        self._objects[resource] = {object_key(stored): stored for stored in objects}
        self._on_change()

    def update(self, resource: str, stored: Json) -> None:
        """Take a new or changed object."""
        self._objects.setdefault(resource, {})[object_key(stored)] = stored
        self._on_change()

    def remove(self, resource: str, key: ObjectKey) -> None:
        """Forget an object."""
        self._objects.get(resource, {}).pop(key, None)
        self._on_change()

    def of(self, resource: str) -> list[Json]:
        """All objects of a resource."""
        return list(self._objects.get(resource, {}).values())
