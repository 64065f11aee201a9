"""SandboxProfile: the confinement in which a model that does not comply may still run."""

import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Names, Resource, Schema, Scope, Validation
from weighmaster.api.v1alpha1.meta import READY_COLUMNS, Name, ObjectMeta, Status
from weighmaster.api.v1alpha1.network import NetworkRules

MAX_PROFILE_NAME = 63
"""Characters: the name becomes the value of a label."""

Quantity = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$",
        description="Kubernetes quantity, such as `4` or `16Gi`.",
    ),
]

Duration = Annotated[str, Meta(max_length=16, pattern=r"^([1-9][0-9]*(s|m|h|d))+$")]


MAX_SECONDS = 2**31 - 1
"""What ``activeDeadlineSeconds`` may be."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(duration: str) -> int:
    """The seconds of a duration, such as ``36h`` or ``1d12h``; at most ``MAX_SECONDS``."""
    parts = re.findall(r"([0-9]+)([smhd])", duration)
    return min(sum(int(count) * _UNITS[unit] for count, unit in parts), MAX_SECONDS)


class TolerationOperator(StrEnum):
    """How a taint's value is compared."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Schema, frozen=True, kw_only=True):
    """A taint that sandboxed pods tolerate (core/v1 Toleration)."""

    validations = (
        Validation(
            rule="self.operator == 'Exists' ? !has(self.value) || self.value == '' : has(self.key)",
            message="Exists takes no value, and Equal needs a key",
        ),
        Validation(
            rule=("!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'"),
            message="tolerationSeconds needs the effect NoExecute",
        ),
    )

    key: Annotated[
        str, Meta(max_length=317, description="Key of the taint; any when not given.")
    ] = ""
    operator: Annotated[TolerationOperator, Meta(description="How the value is compared.")] = (
        TolerationOperator.EQUAL
    )
    value: Annotated[str, Meta(max_length=63, description="Value of the taint.")] = ""
    effect: Annotated[
        TaintEffect | None, Meta(description="Effect of the taint; any when not given.")
    ] = None
    toleration_seconds: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="How long the taint is tolerated.")
    ] = None


class SecretHandling(StrEnum):
    """What happens to secrets that a sandboxed pod mounts or reads."""

    REFUSE = "Refuse"
    STRIP = "Strip"


class Release(StrEnum):
    """What happens to pods that were admitted confined and would not be any more."""

    TELL = "Tell"
    ROLLOUT = "Rollout"


class EnvironmentVariable(Schema, frozen=True, kw_only=True):
    """An environment variable with a plain value."""

    name: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: Annotated[str, Meta(max_length=4096)]


class Access(Schema, frozen=True, kw_only=True):
    """Who may exec, attach, port-forward or debug in sandboxed pods; nobody by default."""

    users: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=253)]],
        Meta(max_length=64, description="User names."),
    ] = field(default_factory=list)
    groups: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=253)]],
        Meta(max_length=64, description="Group names."),
    ] = field(default_factory=list)


class SandboxProfileSpec(Schema, frozen=True, kw_only=True):
    """The parts of the confinement that differ between clusters and teams."""

    runtime_class_name: Annotated[
        Name | None, Meta(description="RuntimeClass, such as gvisor or kata.")
    ] = None
    node_selector: Annotated[
        dict[str, Annotated[str, Meta(max_length=63)]],
        Meta(max_length=64, description="Labels of the nodes that sandboxed pods run on."),
    ] = field(default_factory=dict)
    tolerations: Annotated[
        list[Toleration], Meta(max_length=32, description="Tolerations for those nodes.")
    ] = field(default_factory=list)
    network_policy: Annotated[
        NetworkRules, Meta(description="Traffic that stays allowed; none by default, not even DNS.")
    ] = field(default_factory=NetworkRules)
    secrets: Annotated[
        SecretHandling, Meta(description="`Refuse` pods with secrets, or `Strip` these.")
    ] = SecretHandling.REFUSE
    resources: Annotated[
        dict[str, Quantity],
        Meta(
            max_length=32,
            description=(
                "Upper limits by resource name, per container. Of extended resources, such as"
                " `nvidia.com/gpu`, containers get no more than this, and none that they do not"
                " ask for."
            ),
            extra_json_schema={
                "x-kubernetes-validations": [
                    {
                        "rule": (
                            "self.all(name, name in ['cpu', 'memory', 'ephemeral-storage']"
                            " || name.startsWith('hugepages-') || name.contains('/'))"
                        ),
                        "message": (
                            "containers have cpu, memory, ephemeral-storage, hugepages-<size> and"
                            " extended resources such as nvidia.com/gpu"
                        ),
                    }
                ]
            },
        ),
    ] = field(default_factory=dict)
    env: Annotated[
        list[EnvironmentVariable],
        Meta(
            max_length=64,
            description="Variables to set, over those of the same name.",
            extra_json_schema={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = field(default_factory=list)
    run_as_user: Annotated[
        int,
        Meta(
            ge=1,
            le=2**31 - 1,
            description=(
                "User id for pods that would run as root, or that do not say as whom: images whose"
                " own user is root would not start otherwise."
            ),
        ),
    ] = 65534
    ttl: Annotated[
        Duration | None, Meta(description="How long a sandboxed pod may live, such as `72h`.")
    ] = None
    release: Annotated[
        Release,
        Meta(
            description=(
                "How pods that were admitted confined get out once they are approved: `Tell` says"
                " by an event what to do, `Rollout` restarts the Deployment, StatefulSet or"
                " DaemonSet that owns them. Quarantined pods are released as they are."
            )
        ),
    ] = Release.TELL
    access: Annotated[Access, Meta(description="Who may reach into sandboxed pods.")] = field(
        default_factory=Access
    )


class SandboxProfile(Resource, frozen=True, kw_only=True):
    """The confinement in which a model that does not comply may still run, to be audited."""

    names = Names(
        "SandboxProfile", "sandboxprofiles", "sandboxprofile", ("sandboxp",), Scope.CLUSTER
    )
    validations = (
        Validation(
            rule=f"size(self.metadata.name) <= {MAX_PROFILE_NAME}",
            message="a profile's name is a label of pods: at most 63 characters",
        ),
    )
    columns = (
        Column("Runtime Class", ".spec.runtimeClassName"),
        Column("Secrets", ".spec.secrets"),
        Column("TTL", ".spec.ttl"),
        *READY_COLUMNS,
    )

    metadata: ObjectMeta
    spec: SandboxProfileSpec
    status: Status = field(default_factory=Status)
