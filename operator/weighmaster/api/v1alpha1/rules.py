"""Rules: what a policy asks of each model use it matches."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Schema, Validation
from weighmaster.api.v1alpha1.authority import Authority
from weighmaster.api.v1alpha1.content import ContentRule, Coverage
from weighmaster.api.v1alpha1.jurisdictions import Jurisdiction
from weighmaster.api.v1alpha1.meta import Label, LabelSelector, Name

Names = Annotated[list[Name], Meta(max_length=256)]
CelExpression = Annotated[str, Meta(min_length=1, max_length=4096)]


class Permission(StrEnum):
    """Whether something may happen."""

    ALLOW = "Allow"
    FORBID = "Forbid"


class ReferenceRequirement(StrEnum):
    """A property of the reference itself."""

    KNOWN = "Known"
    PINNED = "Pinned"


class Pin(StrEnum):
    """What to do with a reference that can move."""

    NONE = "None"
    REWRITE = "Rewrite"


class ReferenceRule(Schema, frozen=True, kw_only=True):
    """The weights are named, and named so that they cannot change."""

    validations = (
        Validation(
            rule="!has(self.pin) || self.pin != 'Rewrite' || 'Pinned' in self.require",
            message="pin: Rewrite needs Pinned in require: what cannot be rewritten has to fail",
        ),
    )

    require: Annotated[
        list[ReferenceRequirement],
        Meta(
            min_length=1,
            max_length=2,
            description=(
                "`Known`: the manifest names the weights. `Pinned`: by immutable content, a commit"
                " or a digest."
            ),
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]
    pin: Annotated[
        Pin,
        Meta(
            description=(
                "`Rewrite` writes the revision or digest that a reference stands for into the"
                " workload when it is admitted, once for all of its pods. Only for the actions"
                " `Sandbox` and `Deny`; others say what would be written."
            )
        ),
    ] = Pin.NONE


def _some_list(demand: str) -> Validation:
    return Validation(
        rule="has(self.allow) && size(self.allow) > 0 || has(self.deny) && size(self.deny) > 0",
        message=f"{demand} in allow or deny; empty lists would check nothing",
    )


class PublisherLists(Schema, frozen=True, kw_only=True):
    """Publishers by name (ModelPublisher)."""

    validations = (_some_list("name at least one publisher"),)

    allow: Annotated[Names, Meta(description="Only these publishers' models.")] = field(
        default_factory=list
    )
    deny: Annotated[Names, Meta(description="Never these publishers' models.")] = field(
        default_factory=list
    )


class JurisdictionLists(Schema, frozen=True, kw_only=True):
    """Publishers by jurisdiction, ISO 3166-1 alpha-2."""

    validations = (_some_list("name at least one country"),)

    allow: Annotated[
        list[Jurisdiction], Meta(max_length=249, description="Only from these countries.")
    ] = field(default_factory=list)
    deny: Annotated[
        list[Jurisdiction], Meta(max_length=249, description="Never from these countries.")
    ] = field(default_factory=list)


class Assurance(StrEnum):
    """How sure the publisher must be."""

    NAMESPACE = "Namespace"
    SIGNATURE = "Signature"


class Lineage(StrEnum):
    """Whether base models count."""

    IGNORE = "Ignore"
    INCLUDE = "Include"


class AssertionScope(StrEnum):
    """For which references facts count that people assert in a ModelRecord."""

    PINNED_ONLY = "PinnedOnly"
    ANY_REFERENCE = "AnyReference"


_ASSERTIONS = (
    "`AnyReference`: what people assert in a ModelRecord also counts for references that can move"
    " and that nothing can be fetched of, such as `s3://bucket/path`. It is a statement about the"
    " name, whatever lies there."
)


class OriginRule(Schema, frozen=True, kw_only=True):
    """Who published the model, and from where."""

    validations = (
        Validation(
            rule="has(self.publishers) || has(self.publisherSelector) || has(self.jurisdictions)",
            message="give at least one of publishers, publisherSelector and jurisdictions",
        ),
        Validation(
            rule=(
                "!has(self.assertions) || self.assertions == 'PinnedOnly'"
                " || (has(self.lineage) && self.lineage == 'Include')"
            ),
            message="assertions are about lineage; they need lineage Include",
        ),
    )

    publishers: Annotated[
        PublisherLists | None, Meta(description="By publisher name; deny wins over allow.")
    ] = None
    publisher_selector: Annotated[
        LabelSelector | None, Meta(description="By labels of the ModelPublisher.")
    ] = None
    jurisdictions: Annotated[
        JurisdictionLists | None, Meta(description="By the publisher's country; deny wins.")
    ] = None
    assurance: Annotated[
        Assurance,
        Meta(
            description=(
                "`Namespace`: the reference lies in one of the publisher's namespaces, which is a"
                " claim; a commit of a hub needs evidence that it is on a branch, since it may be"
                " a pull request's. `Signature`: one of the publisher's identities signed the"
                " weights."
            )
        ),
    ]
    lineage: Annotated[
        Lineage,
        Meta(description="`Include`: base models must satisfy this rule too; unknown ones fail."),
    ] = Lineage.IGNORE
    assertions: Annotated[AssertionScope, Meta(description=_ASSERTIONS)] = (
        AssertionScope.PINNED_ONLY
    )


Authorities = Annotated[
    list[Authority],
    Meta(min_length=1, max_length=16, description="Who may sign; each counts once."),
]


class SignatureRule(Schema, frozen=True, kw_only=True):
    """The weights are signed."""

    validations = (
        Validation(
            rule="!has(self.threshold) || self.threshold <= size(self.authorities)",
            message="threshold asks for more signatures than there are authorities",
        ),
    )

    authorities: Authorities
    threshold: Annotated[
        int, Meta(ge=1, le=16, description="How many authorities must have signed.")
    ] = 1
    coverage: Annotated[
        Coverage, Meta(description="`All` files, or the `Weights` and the code and configuration.")
    ] = Coverage.ALL


class Format(StrEnum):
    """How weights are stored."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    ONNX = "onnx"
    PICKLE = "pickle"
    TORCHSCRIPT = "torchscript"
    KERAS = "keras"
    SAVED_MODEL = "saved-model"
    TFLITE = "tflite"
    TENSORRT = "tensorrt"
    NUMPY = "numpy"
    MSGPACK = "msgpack"
    NEMO = "nemo"
    MAR = "mar"
    OPENVINO = "openvino"


class FormatRule(Schema, frozen=True, kw_only=True):
    """The weights are stored in one of these formats."""

    allow: Annotated[
        list[Format],
        Meta(
            min_length=1,
            max_length=16,
            description="By content where content is known, else by file name or loader setting.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]


class CodeRule(Schema, frozen=True, kw_only=True):
    """What may run, or change, beside the weights."""

    validations = (
        Validation(
            rule=(
                "[has(self.remote) && self.remote == 'Forbid',"
                " has(self.runtimeAdapters) && self.runtimeAdapters == 'Forbid',"
                " has(self.originOverrides) && self.originOverrides == 'Forbid'].exists(x, x)"
            ),
            message="forbid at least one of remote, runtimeAdapters and originOverrides",
        ),
    )

    remote: Annotated[
        Permission, Meta(description="Code that comes with a model (`--trust-remote-code`).")
    ] = Permission.ALLOW
    runtime_adapters: Annotated[
        Permission, Meta(description="Adapters loaded over the API after the start.")
    ] = Permission.ALLOW
    origin_overrides: Annotated[
        Permission,
        Meta(description="Settings that change where models come from, such as `HF_ENDPOINT`."),
    ] = Permission.ALLOW


class LicenseRule(Schema, frozen=True, kw_only=True):
    """The model's licence is one of these."""

    allow: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=128)]],
        Meta(min_length=1, max_length=64, description="SPDX licence expressions."),
    ]
    assertions: Annotated[AssertionScope, Meta(description=_ASSERTIONS)] = (
        AssertionScope.PINNED_ONLY
    )


PredicateType = Annotated[
    str, Meta(min_length=1, max_length=512, description="Predicate type URI, exactly.")
]


class AttestationRule(Schema, frozen=True, kw_only=True):
    """Somebody attested something about the model (an in-toto statement in a DSSE envelope)."""

    predicate_type: PredicateType
    authorities: Authorities
    expression: Annotated[
        CelExpression,
        Meta(
            description=(
                "CEL over `predicate`; it must be true for every statement of these authorities"
                " that has this type. By itself, `true` asks only that there is one."
            )
        ),
    ] = "true"


class ExpressionRule(Schema, frozen=True, kw_only=True):
    """A CEL expression over `model` and `workload`; see the reference page for both."""

    cel: Annotated[CelExpression, Meta(description="It must be true.")]
    message: Annotated[
        str, Meta(min_length=1, max_length=512, description="What to tell people when it is not.")
    ]


MEMBERS = (
    "reference",
    "origin",
    "signature",
    "format",
    "code",
    "license",
    "attestation",
    "content",
    "expression",
)


class Rule(Schema, frozen=True, kw_only=True):
    """One demand, with a name of its own."""

    validations = (
        Validation(
            rule="[" + ", ".join(f"has(self.{m})" for m in MEMBERS) + "].filter(x, x).size() == 1",
            message="give a rule exactly one of " + ", ".join(MEMBERS),
        ),
    )

    name: Annotated[Label, Meta(description="Name, unique within the policy.")]
    reference: Annotated[
        ReferenceRule | None, Meta(description="The weights are named, and pinned.")
    ] = None
    origin: Annotated[OriginRule | None, Meta(description="Who published them.")] = None
    signature: Annotated[SignatureRule | None, Meta(description="Who signed them.")] = None
    format: Annotated[FormatRule | None, Meta(description="How they are stored.")] = None
    code: Annotated[CodeRule | None, Meta(description="What may run beside them.")] = None
    license: Annotated[LicenseRule | None, Meta(description="Their licence.")] = None
    attestation: Annotated[
        AttestationRule | None, Meta(description="What has been attested about them.")
    ] = None
    content: Annotated[
        ContentRule | None, Meta(description="The bytes themselves, before the start.")
    ] = None
    expression: Annotated[ExpressionRule | None, Meta(description="Anything else, in CEL.")] = None
