"""Authorities: who may sign."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from weighmaster.api.resource import Schema, Validation
from weighmaster.api.v1alpha1.meta import Name, Text

Pem = Annotated[
    str,
    Meta(
        min_length=32,
        max_length=65536,
        pattern=r"^\s*-----BEGIN [A-Z ]+-----",
        description="PEM text, beginning with `-----BEGIN`.",
    ),
]

AnchoredPattern = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=512,
        pattern=r"^\^.+\$$",
        description=(
            "Regular expression (RE2 syntax) over the whole subject; it must begin with `^` and"
            " end with `$`, and it is matched in full whatever it says."
        ),
    ),
]


class ObjectKeyRef(Schema, frozen=True, kw_only=True):
    """A key of a Secret or ConfigMap in Weighmaster's own namespace."""

    name: Annotated[Name, Meta(description="Name of the object.")]
    key: Annotated[str, Meta(min_length=1, max_length=253, description="Key within its data.")] = (
        "value"
    )


_ONE_SOURCE = Validation(
    rule="[has(self.pem), has(self.secretRef), has(self.configMapRef)].filter(x, x).size() == 1",
    message="give exactly one of pem, secretRef and configMapRef",
)


class PemSource(Schema, frozen=True, kw_only=True):
    """PEM text, inline or kept in an object of Weighmaster's own namespace."""

    validations = (_ONE_SOURCE,)

    pem: Annotated[Pem | None, Meta(description="The text itself.")] = None
    secret_ref: Annotated[
        ObjectKeyRef | None, Meta(description="A Secret in Weighmaster's namespace.")
    ] = None
    config_map_ref: Annotated[
        ObjectKeyRef | None, Meta(description="A ConfigMap in Weighmaster's namespace.")
    ] = None


class PublisherAuthority(Schema, frozen=True, kw_only=True):
    """An identity of the model's own publisher (see ModelPublisher `identities`)."""


class ExtendedKeyUsage(StrEnum):
    """What a signing certificate must be made for; `Any` accepts one that does not say."""

    CODE_SIGNING = "CodeSigning"
    ANY = "Any"


class CertificateAuthority(Schema, frozen=True, kw_only=True):
    """A certificate chain up to given roots, for a given identity. Never the web PKI."""

    roots: Annotated[PemSource, Meta(description="Root certificates; nothing else is trusted.")]
    subject: Annotated[
        Text,
        Meta(
            description="Identity in the leaf: a SAN (URI, e-mail, DNS) or else its full subject."
        ),
    ]
    extended_key_usage: Annotated[
        ExtendedKeyUsage, Meta(description="Required extended key usage of the leaf.")
    ] = ExtendedKeyUsage.CODE_SIGNING


class TrustRoot(Schema, frozen=True, kw_only=True):
    """A Sigstore trusted root other than the public good instance's."""

    config_map_ref: Annotated[
        ObjectKeyRef, Meta(description="A ConfigMap in Weighmaster's namespace.")
    ]


class KeylessAuthority(Schema, frozen=True, kw_only=True):
    """A keyless (Fulcio) identity: who issued it, and for whom."""

    validations = (
        Validation(
            rule="has(self.subject) != has(self.subjectPattern)",
            message="give exactly one of subject and subjectPattern",
        ),
    )

    issuer: Annotated[
        str,
        Meta(
            min_length=9,
            max_length=512,
            pattern=r"^https://\S+$",
            description="OIDC issuer, exactly as in the certificate.",
        ),
    ]
    subject: Annotated[Text | None, Meta(description="Subject (SAN), exactly.")] = None
    subject_pattern: Annotated[
        AnchoredPattern | None, Meta(description="Subject (SAN), by anchored pattern.")
    ] = None
    trust_root: Annotated[
        TrustRoot | None, Meta(description="Defaults to the Sigstore public good instance.")
    ] = None


class Identity(Schema, frozen=True, kw_only=True):
    """Someone who may sign, named by a key, a certificate chain or a keyless identity."""

    validations = (
        Validation(
            rule=(
                "[has(self.key), has(self.certificate), has(self.keyless)].filter(x, x).size() == 1"
            ),
            message="give exactly one of key, certificate and keyless",
        ),
    )

    key: Annotated[PemSource | None, Meta(description="A public key (EC P-256, P-384, P-521).")] = (
        None
    )
    certificate: Annotated[
        CertificateAuthority | None, Meta(description="A certificate chain with an identity.")
    ] = None
    keyless: Annotated[
        KeylessAuthority | None, Meta(description="A keyless identity: issuer and subject.")
    ] = None


class PublishedKey(Schema, frozen=True, kw_only=True):
    """A public key, or root certificates, that an authority keeps in a Secret or ConfigMap."""

    id: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-f]{16}$",
            description="The authority, as records know it: a digest of how it is written.",
        ),
    ]
    pem: Annotated[
        str,
        Meta(max_length=131072, description="The key or the roots, written anew as PEM."),
    ]


PublishedKeys = Annotated[
    list[PublishedKey],
    Meta(
        max_length=64,
        description=(
            "Keys and roots that the spec keeps in Secrets and ConfigMaps, for the webhook, which"
            " may not read these. Whoever may write them chooses whose signatures count."
        ),
        extra_json_schema={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
        },
    ),
]


class Authority(Identity, frozen=True, kw_only=True):
    """Someone who may sign: an identity, or whoever the model's own publisher names."""

    validations = (
        Validation(
            rule=(
                "[has(self.publisher), has(self.key), has(self.certificate), has(self.keyless)]"
                ".filter(x, x).size() == 1"
            ),
            message="give exactly one of publisher, key, certificate and keyless",
        ),
    )

    publisher: Annotated[
        PublisherAuthority | None,
        Meta(description="An identity of the model's own publisher; write `publisher: {}`."),
    ] = None
