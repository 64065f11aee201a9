"""What is known beside the object itself."""

from collections.abc import Mapping

from msgspec import Struct


class Context(Struct, frozen=True):
    """Other objects of the same apply that an object may take names from.

    ``config_maps`` holds the data of ConfigMaps by namespace and name; a namespace that a manifest
    leaves out is the empty string. ``models`` holds references that other model objects (NIMCache,
    OpenModel) declare, by kind and name.
    """

    config_maps: Mapping[tuple[str, str], Mapping[str, str]] = {}

    def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """The data of a ConfigMap, if it is known."""
        if not self.config_maps:
            return None
        found = self.config_maps.get((namespace, name))
        if found is None and namespace:
            # Manifests of one apply often leave the namespace out of some of their documents.
            found = self.config_maps.get(("", name))
        return found


EMPTY = Context()
