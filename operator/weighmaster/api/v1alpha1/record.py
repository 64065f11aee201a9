"""ModelRecord: what people supply and what has been found out about one reference."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Names, Resource, Schema, Scope, Validation
from weighmaster.api.v1alpha1.authority import ObjectKeyRef
from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.api.v1alpha1.jurisdictions import Jurisdiction
from weighmaster.api.v1alpha1.meta import Label, Name, ObjectMeta, Status, Text, Timestamp
from weighmaster.api.v1alpha1.rules import PredicateType

Sha256 = Annotated[str, Meta(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]
Reference = Annotated[str, Meta(min_length=3, max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*:\S+$")]


Digest16 = Annotated[str, Meta(min_length=16, max_length=16, pattern=r"^[0-9a-f]{16}$")]
AuthorityId = Digest16
SignerIdentity = Annotated[str, Meta(max_length=1024)]
ReasonCode = Annotated[str, Meta(max_length=64)]
Bundle = Annotated[str, Meta(max_length=524288)]
LicenseExpression = Annotated[str, Meta(max_length=256)]
Issuer = Annotated[str, Meta(max_length=512)]
Fingerprints = Annotated[str, Meta(max_length=16384)]
MAX_PREDICATE = 16 * 1024
"""Bytes of one predicate, as JSON."""

Predicate = Annotated[str, Meta(max_length=MAX_PREDICATE)]


class Basis(StrEnum):
    """How something is known."""

    VERIFIED = "verified"
    FETCHED = "fetched"
    ASSERTED = "asserted"


class DetachedBundle(Schema, frozen=True, kw_only=True):
    """A signature bundle kept outside the model's own repository."""

    validations = (
        Validation(
            rule=(
                "[has(self.inline), has(self.secretRef), has(self.configMapRef)]"
                ".filter(x, x).size() == 1"
            ),
            message="give exactly one of inline, secretRef and configMapRef",
        ),
    )

    inline: Annotated[
        Bundle | None,
        Meta(description="The sigstore bundle, JSON text."),
    ] = None
    secret_ref: Annotated[ObjectKeyRef | None, Meta(description="A Secret that holds it.")] = None
    config_map_ref: Annotated[
        ObjectKeyRef | None, Meta(description="A ConfigMap that holds it.")
    ] = None


class Assertions(Schema, frozen=True, kw_only=True):
    """What people state about the model; evidence that is fetched or verified outranks it."""

    license: Annotated[LicenseExpression | None, Meta(description="SPDX licence expression.")] = (
        None
    )
    base_models: Annotated[
        Annotated[list[Reference], Meta(max_length=64)] | None,
        Meta(
            description=(
                "References of its base models. An empty list states that it was made from none;"
                " no list states nothing."
            )
        ),
    ] = None


RELATIVE_SCHEMES = ("pvc", "kserve-storage")
"""Schemes whose names mean something else in every namespace."""

_RELATIVE = " || ".join(f"self.reference.startsWith('{scheme}:')" for scheme in RELATIVE_SCHEMES)


class ModelRecordSpec(Schema, frozen=True, kw_only=True):
    """What people supply about one reference."""

    validations = (
        Validation(
            rule="self.reference == oldSelf.reference",
            message="a record is about one reference; create another record for another one",
        ),
        Validation(
            rule=f"({_RELATIVE}) == has(self.__namespace__)",
            message=(
                "give a namespace for pvc and kserve-storage references, whose names mean something"
                " else in every namespace, and for no others"
            ),
        ),
        Validation(
            rule=(
                "has(self.__namespace__) == has(oldSelf.__namespace__)"
                " && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)"
            ),
            message="a record is about one namespace's name; create another record for another one",
        ),
    )

    reference: Annotated[Reference, Meta(description="The canonical reference; it cannot change.")]
    namespace: Annotated[
        Label | None,
        Meta(description="The namespace that the name is relative to, for pvc and kserve-storage."),
    ] = None
    signature: Annotated[
        DetachedBundle | None, Meta(description="A detached signature bundle.")
    ] = None
    asserted: Annotated[Assertions | None, Meta(description="Stated by people.")] = None
    credentials_secret: Annotated[
        Name | None,
        Meta(description="Secret in Weighmaster's namespace with credentials for the hub."),
    ] = None


class EvidenceState(StrEnum):
    """Where the gathering of evidence stands.

    ``Asserted``: nothing can be fetched for such references, and people have stated facts.
    """

    PENDING = "Pending"
    RESOLVED = "Resolved"
    ASSERTED = "Asserted"
    FAILED = "Failed"
    UNAVAILABLE = "Unavailable"


class FormatCount(Schema, frozen=True, kw_only=True):
    """Files of one format."""

    format: Annotated[str, Meta(max_length=64, description="Format, such as `safetensors`.")]
    files: Annotated[int, Meta(ge=0, description="How many.")]
    bytes: Annotated[int, Meta(ge=0, description="Their size together, in bytes.")]
    basis: Annotated[Basis, Meta(description="How this is known.")]


class SignatureMethod(StrEnum):
    """How a signature is made."""

    KEY = "key"
    CERTIFICATE = "certificate"
    KEYLESS = "keyless"


class AuthorityResult(Schema, frozen=True, kw_only=True):
    """Whether one authority, of a policy or a publisher, has signed the model."""

    id: Annotated[
        AuthorityId, Meta(description="Digest of the authority as the policy or publisher has it.")
    ]
    verified: Annotated[bool, Meta(description="Whether a signature of it holds for the content.")]
    method: Annotated[
        SignatureMethod | None, Meta(description="How the signature that holds is made.")
    ] = None
    identity: Annotated[
        SignerIdentity | None, Meta(description="Who signed, as the signature proves it.")
    ] = None
    issuer: Annotated[Issuer | None, Meta(description="Who vouches for the identity.")] = None
    coverage: Annotated[
        Coverage | None, Meta(description="Which files the signature covers at least.")
    ] = None
    reason: Annotated[
        ReasonCode | None, Meta(description="Why no signature of it holds: a reason code.")
    ] = None
    message: Annotated[Text | None, Meta(description="The same for a person.")] = None


class AttestationState(StrEnum):
    """Whether an authority attested something; `Unknown` says neither."""

    ATTESTED = "Attested"
    NOT_ATTESTED = "NotAttested"
    UNKNOWN = "Unknown"


class AttestedStatement(Schema, frozen=True, kw_only=True):
    """One statement about the model, whose signature holds."""

    digest: Annotated[Sha256, Meta(description="Digest of the statement that was signed.")]
    method: Annotated[SignatureMethod, Meta(description="How the signature is made.")]
    identity: Annotated[SignerIdentity, Meta(description="Who signed, as the signature proves it.")]
    issuer: Annotated[Issuer | None, Meta(description="Who vouches for the identity.")] = None
    issued_at: Annotated[
        Timestamp | None,
        Meta(
            description=(
                "When the keyless certificate was issued that it was signed with; other signatures"
                " prove no time."
            )
        ),
    ] = None
    predicate: Annotated[
        Predicate | None, Meta(description="What is attested: the predicate, JSON text.")
    ] = None
    reason: Annotated[
        ReasonCode | None, Meta(description="Why the predicate is not here: a reason code.")
    ] = None
    message: Annotated[Text | None, Meta(description="The same for a person.")] = None
    withdrawn_at: Annotated[
        Timestamp | None,
        Meta(
            description=(
                "Since when it is found no more. It counts against the model until its signer"
                " attests anew, or the record is deleted."
            )
        ),
    ] = None


class AttestationResult(Schema, frozen=True, kw_only=True):
    """Whether one authority attested one thing of the model."""

    predicate_type: PredicateType
    authority: Annotated[
        AuthorityId, Meta(description="Digest of the authority as the policy or publisher has it.")
    ]
    state: Annotated[AttestationState, Meta(description="Whether it did.")]
    statements: Annotated[
        list[AttestedStatement],
        Meta(max_length=16, description="What it stated, but for what it superseded itself."),
    ] = field(default_factory=list)
    reason: Annotated[
        ReasonCode | None, Meta(description="Why it is not `Attested`: a reason code.")
    ] = None
    message: Annotated[Text | None, Meta(description="The same for a person.")] = None


class Failure(Schema, frozen=True, kw_only=True):
    """Something that could not be found out, or was found wrong."""

    reason: Annotated[str, Meta(max_length=64, description="Reason code.")]
    message: Annotated[Text, Meta(description="The same for a person.")]


class ContentOutcome(StrEnum):
    """How a verification before start came out."""

    VERIFIED = "Verified"
    REFUSED = "Refused"


class ContentResult(Schema, frozen=True, kw_only=True):
    """What the last verification before start found in the pods of one namespace."""

    namespace: Annotated[Label, Meta(description="Namespace of the pod.")]
    outcome: Annotated[ContentOutcome, Meta(description="How it came out.")]
    at: Annotated[Timestamp, Meta(description="When it ended.")]
    pod: Annotated[str, Meta(max_length=253, description="Name of the pod.")]
    reason: Annotated[ReasonCode | None, Meta(description="Why it was refused: a reason code.")] = (
        None
    )
    message: Annotated[Text | None, Meta(description="The same for a person.")] = None
    files: Annotated[
        list[Annotated[str, Meta(max_length=1024)]],
        Meta(max_length=8, description="The first files that it was refused for."),
    ] = field(default_factory=list)


class ModelRecordStatus(Status, frozen=True, kw_only=True):
    """Evidence about the reference, bounded in size: counts and digests, no file lists."""

    state: Annotated[EvidenceState | None, Meta(description="Where the gathering stands.")] = None
    resolved: Annotated[
        Reference | None, Meta(description="The immutable reference it resolved to.")
    ] = None
    manifest_digest: Annotated[
        Sha256 | None, Meta(description="Digest of the content manifest, names included.")
    ] = None
    loadable_digest: Annotated[
        Sha256 | None,
        Meta(
            description=(
                "Digest of the files that a server may load, names included: all but documentation,"
                " signatures and what hubs keep beside a model."
            )
        ),
    ] = None
    fingerprints: Annotated[
        Fingerprints | None,
        Meta(
            description=(
                "The same files one by one, where they are at most 512: the first 24 bytes of a"
                " SHA-256 over name and digest of each, sorted, in base64."
            )
        ),
    ] = None
    publisher: Annotated[Name | None, Meta(description="The ModelPublisher it belongs to.")] = None
    jurisdiction: Annotated[Jurisdiction | None, Meta(description="The publisher's country.")] = (
        None
    )
    license: Annotated[LicenseExpression | None, Meta(description="SPDX expression.")] = None
    license_basis: Annotated[Basis | None, Meta(description="How the licence is known.")] = None
    remote_code: Annotated[
        bool | None, Meta(description="Whether the model brings code of its own.")
    ] = None
    base_models: Annotated[
        list[Reference], Meta(max_length=64, description="References of its base models.")
    ] = field(default_factory=list)
    formats: Annotated[list[FormatCount], Meta(max_length=32, description="Files by format.")] = (
        field(default_factory=list)
    )
    foreign_code: Annotated[
        list[Reference], Meta(max_length=64, description="Other models whose code it loads.")
    ] = field(default_factory=list)
    lineage_known: Annotated[
        bool, Meta(description="Whether `baseModels` is all there is to say about its lineage.")
    ] = False
    lineage_basis: Annotated[Basis | None, Meta(description="How the lineage is known.")] = None
    size_bytes: Annotated[int | None, Meta(description="Size of all files together, in bytes.")] = (
        None
    )
    signed_by: Annotated[
        SignerIdentity | None, Meta(description="Who signed, for people; rules read `authorities`.")
    ] = None
    authorities: Annotated[
        list[AuthorityResult],
        Meta(
            max_length=256,
            description="Every authority that was looked for, and what was found.",
            extra_json_schema={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["id"],
            },
        ),
    ] = field(default_factory=list)
    attestations: Annotated[
        list[AttestationResult],
        Meta(
            max_length=64,
            description="Every attestation that a policy asks for, and what was found.",
            extra_json_schema={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["predicateType", "authority"],
            },
        ),
    ] = field(default_factory=list)
    content: Annotated[
        list[ContentResult],
        Meta(
            max_length=32,
            description=(
                "What verification before start has found, the latest of each namespace. Of a"
                " reference to a shared volume, `Refused` keeps further pods of the namespace out"
                " until a pod verifies it or somebody sets the annotation"
                " `weighmaster.dev/content-repaired-at` to a later time."
            ),
            extra_json_schema={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["namespace"],
            },
        ),
    ] = field(default_factory=list)
    failures: Annotated[list[Failure], Meta(max_length=32, description="What went wrong.")] = field(
        default_factory=list
    )
    supplied: Annotated[
        Digest16 | None,
        Meta(description="Digest of the `signature` and `asserted` that this takes into account."),
    ] = None
    fetched_at: Annotated[Timestamp | None, Meta(description="When the evidence was gathered.")] = (
        None
    )
    expires_at: Annotated[Timestamp | None, Meta(description="When it must be gathered again.")] = (
        None
    )


class ModelRecord(Resource, frozen=True, kw_only=True):
    """One reference and the evidence about it."""

    names = Names("ModelRecord", "modelrecords", "modelrecord", ("mrec",), Scope.CLUSTER)
    columns = (
        Column("Reference", ".spec.reference"),
        Column("Publisher", ".status.publisher"),
        Column("Signed By", ".status.signedBy"),
        Column("License", ".status.license"),
        Column("State", ".status.state"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: ObjectMeta
    spec: ModelRecordSpec
    status: ModelRecordStatus = field(default_factory=ModelRecordStatus)
