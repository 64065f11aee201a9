"""Parts that several resources share."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Schema, Validation

Name = Annotated[
    str, Meta(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Label = Annotated[
    str, Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
Text = Annotated[str, Meta(min_length=1, max_length=1024)]

ReferenceGlob = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=512,
        pattern=r"^(\*\*|[a-z][a-z0-9+.-]*:\S+)$",
        description=(
            "Glob over canonical references. `*` stands for any text within one path segment,"
            " `**` for any number of whole segments. It is always anchored at both ends: `hf://meta`"
            " does not match `hf://meta-evil/x`. A glob without `@` or a tag matches every version."
        ),
        extra_json_schema={
            "x-kubernetes-validations": [
                {
                    "rule": "!self.matches('[^/:]\\\\*\\\\*|\\\\*\\\\*[^/]')",
                    "message": (
                        "`**` stands for whole path segments: write it between slashes or at the"
                        " end, such as hf://org/**"
                    ),
                },
                {
                    "rule": "!self.matches('[?\\\\[\\\\]{}\\\\\\\\]')",
                    "message": (
                        "only * and ** are wildcards; remove ?, brackets, braces and backslashes"
                    ),
                },
            ]
        },
    ),
]

NamespaceReference = Annotated[
    str,
    Meta(
        min_length=4,
        max_length=512,
        pattern=r"^[a-z][a-z0-9+.-]*:(//)?[^/*\s][^*\s]*(/\*\*?)?$",
        description=(
            "A publisher's namespace on a hub or registry: literal up to an optional last segment"
            " `*` (one level) or `**` (everything below), such as `hf://mistralai/**`."
        ),
        extra_json_schema={
            "x-kubernetes-validations": [
                {
                    "rule": "!self.endsWith('/') && !self.matches('[?\\\\[\\\\]{}\\\\\\\\#]')",
                    "message": (
                        "end a publisher's reference with a name or with /** and use no other"
                        " wildcard, such as hf://mistralai/**"
                    ),
                },
            ]
        },
    ),
]


Timestamp = Annotated[datetime, Meta(tz=True)]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Schema, frozen=True, kw_only=True):
    """One aspect of a resource's state, after Kubernetes API conventions (metav1.Condition)."""

    type: Annotated[str, Meta(max_length=316, description="Aspect, such as `Ready`.")]
    status: Annotated[ConditionStatus, Meta(description="Whether it holds.")]
    reason: Annotated[str, Meta(max_length=1024, description="One CamelCase word that says why.")]
    message: Annotated[str, Meta(max_length=32768, description="The same for a person.")]
    last_transition_time: Annotated[Timestamp, Meta(description="When `status` last changed.")]
    observed_generation: Annotated[
        int, Meta(ge=0, description="The generation of the spec that this is about.")
    ] = 0


class Status(Schema, frozen=True, kw_only=True):
    """What the controller found out about a resource."""

    observed_generation: Annotated[
        int, Meta(ge=0, description="The generation of the spec that this status is about.")
    ] = 0
    conditions: Annotated[
        list[Condition],
        Meta(
            max_length=8,
            description="`Ready` says whether the resource is in use.",
            extra_json_schema={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ] = field(default_factory=list)
    warnings: Annotated[
        list[Annotated[str, Meta(max_length=1024)]],
        Meta(
            max_length=32,
            description="What is allowed but probably not meant, one sentence each.",
        ),
    ] = field(default_factory=list)


class SelectorOperator(StrEnum):
    """How a label's value is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class SelectorRequirement(Schema, frozen=True, kw_only=True):
    """One requirement of a label selector."""

    validations = (
        Validation(
            rule=(
                "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
                " : !has(self.values) || size(self.values) == 0"
            ),
            message="In and NotIn need values; Exists and DoesNotExist take none",
        ),
    )

    key: Annotated[str, Meta(min_length=1, max_length=317, description="Label key.")]
    operator: Annotated[SelectorOperator, Meta(description="How the value is compared.")]
    values: Annotated[
        list[Annotated[str, Meta(max_length=63)]],
        Meta(max_length=64, description="Values for `In` and `NotIn`."),
    ] = field(default_factory=list)


class LabelSelector(Schema, frozen=True, kw_only=True):
    """Selects by labels; all parts must hold, and an empty selector selects everything."""

    match_labels: Annotated[
        dict[str, Annotated[str, Meta(max_length=63)]],
        Meta(max_length=64, description="Labels that must have exactly these values."),
    ] = field(default_factory=dict)
    match_expressions: Annotated[
        list[SelectorRequirement], Meta(max_length=32, description="Requirements that must hold.")
    ] = field(default_factory=list)


class ObjectMeta(Schema, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The part of Kubernetes' ObjectMeta that we read."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    creation_timestamp: datetime | None = None


READY_COLUMNS = (
    Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
    Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
    Column("Age", ".metadata.creationTimestamp", "date"),
)
