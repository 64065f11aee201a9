"""ModelPublisher: who publishes models, where, and who signs for them."""

from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Column, Names, Resource, Schema, Scope
from weighmaster.api.v1alpha1.authority import Identity, PublishedKeys
from weighmaster.api.v1alpha1.jurisdictions import Jurisdiction
from weighmaster.api.v1alpha1.meta import READY_COLUMNS, NamespaceReference, ObjectMeta, Status


class ModelPublisherSpec(Schema, frozen=True, kw_only=True):
    """A publisher of models. A name in a reference is a claim; `identities` prove it."""

    display_name: Annotated[
        str, Meta(min_length=1, max_length=128, description="Name, for people.")
    ]
    jurisdiction: Annotated[
        Jurisdiction | None,
        Meta(
            description=(
                "Country of the publisher, ISO 3166-1 alpha-2. Left out, it is unknown, and rules"
                " about jurisdictions cannot be decided."
            )
        ),
    ] = None
    references: Annotated[
        list[NamespaceReference],
        Meta(
            min_length=1,
            max_length=64,
            description="The publisher's namespaces on hubs and registries.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]
    identities: Annotated[
        list[Identity], Meta(max_length=16, description="Who may sign for the publisher.")
    ] = field(default_factory=list)
    sources: Annotated[
        list[Annotated[str, Meta(max_length=512, pattern=r"^https://\S+$")]],
        Meta(max_length=16, description="Pages that the facts above were taken from."),
    ] = field(default_factory=list)


class PublisherStatus(Status, frozen=True, kw_only=True):
    """What the controller found out about a publisher."""

    keys: PublishedKeys = field(default_factory=list)


class ModelPublisher(Resource, frozen=True, kw_only=True):
    """A publisher of models: its namespaces, its jurisdiction, and who signs for it."""

    names = Names("ModelPublisher", "modelpublishers", "modelpublisher", ("mpub",), Scope.CLUSTER)
    columns = (
        Column("Publisher", ".spec.displayName"),
        Column("Jurisdiction", ".spec.jurisdiction"),
        Column("References", ".spec.references", wide=True),
        *READY_COLUMNS,
    )

    metadata: ObjectMeta
    spec: ModelPublisherSpec
    status: PublisherStatus = field(default_factory=PublisherStatus)
