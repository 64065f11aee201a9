"""ModelRecord: what people supply and what has been found out about one reference."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Names, Resource, Schema, Scope, Validation
from weighmaster.api.v1alpha1.authority import ObjectKeyRef
from weighmaster.api.v1alpha1.jurisdictions import Jurisdiction
from weighmaster.api.v1alpha1.meta import Name, ObjectMeta, Status, Text, Timestamp

Sha256 = Annotated[str, Meta(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]
Reference = Annotated[str, Meta(min_length=3, max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*:\S+$")]


Bundle = Annotated[str, Meta(max_length=524288)]
LicenseExpression = Annotated[str, Meta(max_length=256)]
Issuer = Annotated[str, Meta(max_length=512)]


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
        list[Reference], Meta(max_length=64, description="References of its base models.")
    ] = field(default_factory=list)


class ModelRecordSpec(Schema, frozen=True, kw_only=True):
    """What people supply about one reference."""

    validations = (
        Validation(
            rule="self.reference == oldSelf.reference",
            message="a record is about one reference; create another record for another one",
        ),
    )

    reference: Annotated[Reference, Meta(description="The canonical reference; it cannot change.")]
    signature: Annotated[
        DetachedBundle | None, Meta(description="A detached signature bundle.")
    ] = None
    asserted: Annotated[Assertions | None, Meta(description="Stated by people.")] = None
    credentials_secret: Annotated[
        Name | None,
        Meta(description="Secret in Weighmaster's namespace with credentials for the hub."),
    ] = None


class EvidenceState(StrEnum):
    """Where the gathering of evidence stands."""

    PENDING = "Pending"
    RESOLVED = "Resolved"
    FAILED = "Failed"
    UNAVAILABLE = "Unavailable"


class FormatCount(Schema, frozen=True, kw_only=True):
    """Files of one format."""

    format: Annotated[str, Meta(max_length=64, description="Format, such as `safetensors`.")]
    files: Annotated[int, Meta(ge=0, description="How many.")]
    bytes: Annotated[int, Meta(ge=0, description="Their size together, in bytes.")]
    basis: Annotated[Basis, Meta(description="How this is known.")]


class VerifiedSignature(Schema, frozen=True, kw_only=True):
    """A signature that was verified."""

    method: Annotated[str, Meta(max_length=32, description="key, certificate or keyless.")]
    identity: Annotated[str, Meta(max_length=1024, description="Who signed.")]
    issuer: Annotated[
        Issuer | None,
        Meta(description="Who vouches for the identity."),
    ] = None


class Failure(Schema, frozen=True, kw_only=True):
    """Something that could not be found out, or was found wrong."""

    reason: Annotated[str, Meta(max_length=64, description="Reason code.")]
    message: Annotated[Text, Meta(description="The same for a person.")]


class ModelRecordStatus(Status, frozen=True, kw_only=True):
    """Evidence about the reference, bounded in size: counts and digests, no file lists."""

    state: Annotated[EvidenceState | None, Meta(description="Where the gathering stands.")] = None
    resolved: Annotated[
        Reference | None, Meta(description="The immutable reference it resolved to.")
    ] = None
    manifest_digest: Annotated[
        Sha256 | None, Meta(description="Digest of the content manifest, names included.")
    ] = None
    publisher: Annotated[Name | None, Meta(description="The ModelPublisher it belongs to.")] = None
    jurisdiction: Annotated[Jurisdiction | None, Meta(description="The publisher's country.")] = (
        None
    )
    license: Annotated[LicenseExpression | None, Meta(description="SPDX expression.")] = None
    remote_code: Annotated[
        bool | None, Meta(description="Whether the model brings code of its own.")
    ] = None
    base_models: Annotated[
        list[Reference], Meta(max_length=64, description="References of its base models.")
    ] = field(default_factory=list)
    formats: Annotated[list[FormatCount], Meta(max_length=32, description="Files by format.")] = (
        field(default_factory=list)
    )
    signatures: Annotated[
        list[VerifiedSignature], Meta(max_length=16, description="Signatures that verified.")
    ] = field(default_factory=list)
    failures: Annotated[list[Failure], Meta(max_length=32, description="What went wrong.")] = field(
        default_factory=list
    )
    fetched_at: Annotated[Timestamp | None, Meta(description="When the evidence was gathered.")] = (
        None
    )
    expires_at: Annotated[Timestamp | None, Meta(description="When it must be gathered again.")] = (
        None
    )


class ModelRecord(Resource, frozen=True, kw_only=True):
    """One reference and the evidence about it. Gathering is not in this version yet."""

    names = Names("ModelRecord", "modelrecords", "modelrecord", ("mrec",), Scope.CLUSTER)
    columns = (
        Column("Reference", ".spec.reference"),
        Column("Publisher", ".status.publisher"),
        Column("Signed By", ".status.signatures[*].identity"),
        Column("License", ".status.license"),
        Column("State", ".status.state"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: ObjectMeta
    spec: ModelRecordSpec
    status: ModelRecordStatus = field(default_factory=ModelRecordStatus)
