"""Builders of the small manifests that the detection tests are made of."""

from typing import Any

Json = Any


def deployment(*containers: Json, **spec: Json) -> dict[str, Json]:
    """A Deployment of these containers."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model", "namespace": "ml"},
        "spec": {"template": {"spec": {"containers": list(containers), **spec}}},
    }


def job(*containers: Json, **spec: Json) -> dict[str, Json]:
    """A Job of these containers."""
    made = deployment(*containers, **spec)
    return {**made, "apiVersion": "batch/v1", "kind": "Job"}


def container(*command: str, **fields: Json) -> dict[str, Json]:
    """A container that runs ``command``."""
    made: dict[str, Json] = {"name": "server", "image": "registry.example/app:1"}
    if command:
        made["command"] = list(command)
    made.update(fields)
    return made


def image(name: str, *arguments: str, **fields: Json) -> dict[str, Json]:
    """A container that starts an image's own entrypoint."""
    return container(image=name, args=list(arguments), **fields)


def shell(script: str, **fields: Json) -> dict[str, Json]:
    """A container that runs a shell script."""
    return container("/bin/sh", "-c", script, **fields)


def variables(**values: str) -> list[Json]:
    """An ``env`` list."""
    return [{"name": name, "value": value} for name, value in values.items()]


def mounted(path: str, sub_path: str | None = None) -> list[Json]:
    """One mount of the volume ``models``."""
    mount = {"name": "models", "mountPath": path}
    return [{**mount, "subPath": sub_path} if sub_path else mount]


def volume(**source: Json) -> list[Json]:
    """The volume ``models``."""
    return [{"name": "models", **source}]


CLAIM = volume(persistentVolumeClaim={"claimName": "weights"})
EMPTY_DIR = volume(emptyDir={})
