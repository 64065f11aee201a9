"""Demands: what has to be verified before start, for a rule to hold for a model use."""

from msgspec import Struct

from weighmaster.core.mounted import Signatures
from weighmaster.core.staged import CONTAINER, VOLUME
from weighmaster.core.values import ModelUse


class Demand(Struct, frozen=True, kw_only=True):
    """What the bytes at every place of a use must be.

    ``digest`` and ``fingerprints`` are those of the reference's files that may be loaded, as its
    evidence has them; ``signatures`` says who must have signed. Where a model of a hub has to lie
    at the same place, that it does is as good as ``signatures`` (and with neither, the only way);
    ``judged`` says that the same rule must hold for that model. ``staged`` says that they are
    verified while they are downloaded, and not where they lie.
    """

    digest: str = ""
    fingerprints: str = ""
    signatures: Signatures | None = None
    judged: bool = False
    staged: bool = False


def is_staged(use: ModelUse) -> bool:
    """Whether a use is of what the staging container says that it puts on its volume.

    That it is that container, and does so, is for enforcement to see to.
    """
    return bool(use.places) and all(
        place.volume == VOLUME and place.source == "emptyDir" and place.fetchers == (CONTAINER,)
        for place in use.places
    )
