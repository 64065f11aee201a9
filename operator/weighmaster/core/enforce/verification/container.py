"""The verifying container: how it must be, and which containers are it."""

from collections.abc import Mapping, Sequence
from posixpath import normpath
from typing import Any

from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.enforce.confinement.quantities import parse_quantity
from weighmaster.core.enforce.verification.members import Member
from weighmaster.core.installation import Installation
from weighmaster.core.mounted import (
    COMMAND,
    CONTAINER,
    MOUNTS,
    TERMINATION_LOG,
    VARIABLE,
    Expectation,
    decode_expectations,
    encode_expectations,
)

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
"""Where the API server mounts a token into every container, whatever it needs."""

USER = 65532
"""Who it runs as where the pod's servers run as root, or do not say."""

Container = dict[str, Any]


def verifying_container(
    installation: Installation,
    expectations: tuple[Expectation, ...],
    mounts: Sequence[tuple[str, str]],
    reader: Mapping[str, Json],
) -> Container:
    """The container that checks expectations, with everything that the API server would fill in.

    ``reader`` is the security context that the server runs with: files on a volume may be there for
    its user and group only.
    """
    resources = {"cpu": installation.verifier_cpu, "memory": installation.verifier_memory}
    return {
        "name": CONTAINER,
        "image": installation.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(COMMAND),
        "env": [{"name": VARIABLE, "value": encode_expectations(expectations)}],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": security_of(reader),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {
                "name": volume,
                "mountPath": f"{MOUNTS}/{number}",
                "readOnly": True,
                **({"subPath": sub_path} if sub_path else {}),
            }
            for number, (volume, sub_path) in enumerate(mounts)
        ],
    }


def security_of(reader: Mapping[str, Json]) -> Container:
    """What the restricted Pod Security Standard asks for, as the reader's user if that is not root.

    Group 0 gives nothing but what files on the volume grant it; volumes are often root's.
    """
    user, group = reader.get("runAsUser"), reader.get("runAsGroup")
    own = isinstance(user, int) and not isinstance(user, bool) and user > 0
    known = isinstance(group, int) and not isinstance(group, bool)
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsGroup": group if known else 0,
        "runAsNonRoot": True,
        "runAsUser": user if own else USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def is_as_wanted(container: Mapping[str, Json], wanted: Container) -> bool:
    """Whether a container is the wanted one, but for what admission plugins do to every container.

    These are LimitRanger (more kinds of resources), AlwaysPullImages and ServiceAccount (a token).
    """
    resources = mapping(container.get("resources"))
    for kind, amounts in wanted["resources"].items():
        found = mapping(resources.get(kind))
        if any(
            parse_quantity(found.get(name)) != parse_quantity(wished)
            for name, wished in amounts.items()
        ):
            return False
    ours = {
        **container,
        "resources": wanted["resources"],
        "imagePullPolicy": wanted["imagePullPolicy"],
        "volumeMounts": mounts_without_token(container),
    }
    return ours == wanted


def mounts_without_token(container: Mapping[str, Json]) -> list[Json]:
    """The mounts that people have given a container."""
    return [
        mount
        for mount in items(container.get("volumeMounts"))
        if normpath(text(mapping(mount).get("mountPath")) or ".") != TOKEN_MOUNT
    ]


def read_container(
    container: Mapping[str, Json], image: str | None
) -> tuple[Expectation, ...] | None:
    """The expectations of a verifying container; None for one that is not, whatever its name.

    ``image`` is the one that Weighmaster injects now; a pod of before an upgrade has another
    version of it. What such a container says can be believed: nothing runs in it but Weighmaster,
    told only what its one variable says.
    """
    named = text(container.get("image"))
    if image is None or named.partition("@")[0] != image.partition("@")[0] or "@" not in named:
        return None
    environment = [mapping(each) for each in items(container.get("env"))]
    mounts = [text(mapping(each).get("mountPath")) for each in mounts_without_token(container)]
    plain = (
        container.get("name") == CONTAINER
        and container.get("command") == list(COMMAND)
        and not container.get("args")
        and not container.get("envFrom")
        and not container.get("lifecycle")
        and not container.get("workingDir")
        and container.get("terminationMessagePath") == TERMINATION_LOG
        and container.get("terminationMessagePolicy") == "File"
        and [each.get("name") for each in environment] == [VARIABLE]
        and all(normpath(path).startswith(f"{MOUNTS}/") for path in mounts)
    )
    if not plain:
        return None
    try:
        return decode_expectations(text(environment[0].get("value")))
    except ValueError:
        return None


def reader_context(spec: Mapping[str, Json], readers: Sequence[Member]) -> dict[str, Json]:
    """The user and group that the first of some servers runs as, as far as its pod says."""
    pod = mapping(spec.get("securityContext"))
    own = mapping(readers[0].spec.get("securityContext")) if readers else {}
    return {
        key: own.get(key, pod.get(key))
        for key in ("runAsUser", "runAsGroup")
        if own.get(key, pod.get(key)) is not None
    }
