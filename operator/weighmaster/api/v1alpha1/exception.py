"""ModelException: an approval, with a reason, an approver and an end."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Names, Resource, Schema, Scope, Validation
from weighmaster.api.v1alpha1.meta import (
    READY_COLUMNS,
    Label,
    Name,
    ObjectMeta,
    ReferenceGlob,
    Status,
    Text,
    Timestamp,
)


class PolicyKind(StrEnum):
    """Kinds of policy."""

    CLUSTER = "ClusterModelPolicy"
    NAMESPACED = "ModelPolicy"


class ExceptedPolicy(Schema, frozen=True, kw_only=True):
    """Rules of one policy."""

    validations = (
        Validation(
            rule=(
                "has(self.kind) && self.kind == 'ModelPolicy' ? has(self.namespace)"
                " : !has(self.namespace)"
            ),
            message="a ModelPolicy is named with its namespace, a ClusterModelPolicy without one",
        ),
    )

    kind: Annotated[PolicyKind, Meta(description="Kind of the policy.")] = PolicyKind.CLUSTER
    namespace: Annotated[Label | None, Meta(description="Namespace of a ModelPolicy.")] = None
    name: Annotated[Name, Meta(description="Name of the policy.")]
    rules: Annotated[
        list[Label],
        Meta(min_length=1, max_length=64, description="Names of the rules; there is no wildcard."),
    ]


class ModelExceptionSpec(Schema, frozen=True, kw_only=True):
    """What is excepted, why, by whom, and until when.

    An exception counts where one and the same exception names the policy, the rule, the namespace
    and the reference. Two exceptions never combine.
    """

    policies: Annotated[
        list[ExceptedPolicy], Meta(min_length=1, max_length=32, description="Policies and rules.")
    ]
    namespaces: Annotated[
        list[Label],
        Meta(min_length=1, max_length=256, description="Namespaces; there is no wildcard."),
    ]
    references: Annotated[
        list[ReferenceGlob],
        Meta(
            min_length=1,
            max_length=128,
            description="Globs over canonical references.",
            extra_json_schema={
                "x-kubernetes-validations": [
                    {
                        "rule": "!self.exists(r, r == '**')",
                        "message": (
                            "an exception names what it excepts: write hf://org/model, or at least"
                            " a scheme such as hf://**"
                        ),
                    }
                ]
            },
        ),
    ]
    reason: Annotated[Text, Meta(description="Why, for whoever reads this in a year.")]
    approved_by: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)],
        Meta(description="Who approved it: a team, a role or a ticket."),
    ]
    expires_at: Annotated[
        Timestamp,
        Meta(
            description=(
                "End, RFC 3339, at most one year after the exception was created. An expired"
                " exception counts nowhere."
            ),
        ),
    ]


class ModelException(Resource, frozen=True, kw_only=True):
    """An approval to run what a rule would refuse, for a while."""

    names = Names("ModelException", "modelexceptions", "modelexception", ("mex",), Scope.CLUSTER)
    columns = (
        Column("Approved By", ".spec.approvedBy"),
        Column("Expires", ".spec.expiresAt", "string"),
        Column("Reason", ".spec.reason", wide=True),
        *(column for column in READY_COLUMNS if column.name != "Reason"),
    )

    metadata: ObjectMeta
    spec: ModelExceptionSpec
    status: Status = field(default_factory=Status)
