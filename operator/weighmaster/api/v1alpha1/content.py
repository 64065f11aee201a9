"""The rule about the bytes themselves."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from weighmaster.api.resource import Schema, Validation
from weighmaster.api.v1alpha1.authority import Authority


class Coverage(StrEnum):
    """Which files a signature must cover."""

    ALL = "All"
    WEIGHTS = "Weights"


class Verify(StrEnum):
    """When bytes are verified."""

    BEFORE_START = "BeforeStart"


class Downloads(StrEnum):
    """What becomes of models that servers fetch themselves."""

    REFUSE = "Refuse"
    STAGE = "Stage"


class ContentRule(Schema, frozen=True, kw_only=True):
    """The very bytes the server will load are verified before it starts."""

    validations = (
        Validation(
            rule=(
                "has(self.authorities)"
                " ? !has(self.threshold) || self.threshold <= size(self.authorities)"
                " : !has(self.threshold) || self.threshold == 1"
            ),
            message="threshold asks for more signatures than there are authorities",
        ),
    )

    verify: Annotated[
        Verify,
        Meta(
            description=(
                "`BeforeStart`: by an init container that Weighmaster adds to the pod, and with the"
                " volume read-only from then on. What the server fetches itself is verified as"
                " `downloads` says."
            )
        ),
    ]
    downloads: Annotated[
        Downloads,
        Meta(
            description=(
                "`Refuse`: what the server would fetch itself fails the rule. `Stage`: it is"
                " downloaded by an init container that Weighmaster adds to the pod, at exactly the"
                " pinned revision, and verified meanwhile; the server is given its path, and has no"
                " access to hubs. Only models of the Hugging Face hub, and what cannot be staged"
                " fails the rule."
            )
        ),
    ] = Downloads.REFUSE
    authorities: Annotated[
        list[Authority],
        Meta(
            max_length=16,
            description=(
                "Who must have signed weights that no hub vouches for, such as those on a volume,"
                " with the signature beside them. Without any, such weights fail the rule."
            ),
        ),
    ] = field(default_factory=list)
    threshold: Annotated[
        int, Meta(ge=1, le=16, description="How many authorities must have signed those.")
    ] = 1
    coverage: Annotated[
        Coverage,
        Meta(description="Which of their files must be signed, as in signature rules."),
    ] = Coverage.ALL
