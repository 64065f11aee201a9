"""The staging container: how it must be, and which containers are it."""

from collections.abc import Mapping, Sequence
from posixpath import normpath

from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.enforce.staging.forms import TOKENS
from weighmaster.core.enforce.staging.restating import NotStageable
from weighmaster.core.enforce.verification.container import (
    Container,
    mounts_without_token,
    security_of,
)
from weighmaster.core.enforce.verification.members import Member
from weighmaster.core.installation import Installation
from weighmaster.core.mounted import TERMINATION_LOG
from weighmaster.core.staged import (
    COMMAND,
    CONTAINER,
    MODELS,
    TOKEN,
    VARIABLE,
    VOLUME,
    Downloads,
    decode_downloads,
    encode_downloads,
)


def staging_container(
    installation: Installation,
    downloads: Downloads,
    token: Json,
    reader: Mapping[str, Json],
) -> Container:
    """The container that downloads, with everything that the API server would fill in.

    ``token`` says where the hub's token is, None for models that need none. ``reader`` is the
    security context that the server runs with, whose files they are to be.
    """
    resources = {"cpu": installation.staging_cpu, "memory": installation.staging_memory}
    environment: list[Json] = [{"name": VARIABLE, "value": encode_downloads(downloads)}]
    if token is not None:
        environment.append({"name": TOKEN, "valueFrom": token})
    return {
        "name": CONTAINER,
        "image": installation.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(COMMAND),
        "env": environment,
        "resources": {"requests": resources, "limits": resources},
        "securityContext": security_of(reader),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": VOLUME, "mountPath": MODELS}],
    }


def read_container(container: Mapping[str, Json], image: str | None) -> Downloads | None:
    """The downloads of a staging container; None for one that is not, whatever its name.

    ``image`` is the one that Weighmaster injects now; a pod of before an upgrade has another
    version of it.
    """
    named = text(container.get("image"))
    if image is None or named.partition("@")[0] != image.partition("@")[0] or "@" not in named:
        return None
    environment = [mapping(each) for each in items(container.get("env"))]
    mounts = [mapping(each) for each in mounts_without_token(container)]
    plain = (
        container.get("name") == CONTAINER
        and container.get("command") == list(COMMAND)
        and not container.get("args")
        and not container.get("envFrom")
        and not container.get("lifecycle")
        and not container.get("workingDir")
        and container.get("terminationMessagePath") == TERMINATION_LOG
        and container.get("terminationMessagePolicy") == "File"
        and [each.get("name") for each in environment] in ([VARIABLE], [VARIABLE, TOKEN])
        and [(each.get("name"), normpath(text(each.get("mountPath")))) for each in mounts]
        == [(VOLUME, MODELS)]
    )
    if not plain:
        return None
    try:
        return decode_downloads(text(environment[0].get("value")))
    except ValueError:
        return None


def token_of(loaders: Sequence[Member]) -> Json:
    """Where the token is that servers would have asked the hub with; None where they have none.

    Raises NotStageable for one that stands in the manifest, or that is not in a Secret: it would
    have to be copied.
    """
    found: list[Json] = []
    for loader in loaders:
        given = {
            text(mapping(each).get("name")): mapping(each) for each in items(loader.spec.get("env"))
        }
        for name in TOKENS:
            variable = given.get(name)
            if variable is None or not (variable.get("value") or variable.get("valueFrom")):
                continue
            source = mapping(variable.get("valueFrom"))
            if list(source) != ["secretKeyRef"]:
                raise NotStageable(
                    f"{loader.path} has the hub's token in {name}, and it is only handed on from a"
                    " Secret; name it by secretKeyRef"
                )
            found.append(source)
            break
    if any(each != found[0] for each in found):
        raise NotStageable("its servers have different tokens for the hub; give them the same")
    return found[0] if found else None
