"""The values that travel through the pipeline. All are immutable."""

from enum import IntEnum, StrEnum

from msgspec import Struct

from weighmaster.api.v1alpha1.roles import Role

__all__ = [
    "Action",
    "ModelReference",
    "ModelUse",
    "Outcome",
    "Place",
    "Process",
    "Role",
    "Setting",
]


class Setting(StrEnum):
    """A switch as a manifest sets it; ``UNKNOWN`` when its value is only known at run time."""

    OFF = "off"
    ON = "on"
    UNKNOWN = "unknown"


class ModelReference(Struct, frozen=True):
    """Where weights come from.

    ``canonical`` is the whole reference, ``location`` the part of it that names the model whatever
    its version: no tag, revision, digest or file. ``revision`` is what the manifest asks for and
    ``pinned`` says whether that names immutable content. ``known`` is false when the manifest does
    not name the weights (``unresolved:``, ``dynamic:``, ``default:``, ``image-embedded:``,
    ``ref:``).
    """

    canonical: str
    scheme: str
    location: str
    revision: str | None = None
    file: str | None = None
    pinned: bool = False
    known: bool = True

    def __str__(self) -> str:
        return self.canonical


class Process(Struct, frozen=True):
    """How the container (or resource) that loads the weights is set up to load them.

    ``remote_code``: code that comes with a model may run. ``runtime_adapters``: adapters may be
    loaded by API after the start. ``origin_overrides``: names of settings that change where
    references are fetched from, such as ``HF_ENDPOINT``; ``unseen_settings``: ConfigMaps and
    Secrets, whose content admission does not see, that may hold one. ``load_format``: the weight
    format the runtime was told to expect, as its own flag spells it, when one was given.
    """

    runtime: str
    container: str | None = None
    remote_code: Setting = Setting.OFF
    runtime_adapters: Setting = Setting.OFF
    origin_overrides: tuple[str, ...] = ()
    unseen_settings: tuple[str, ...] = ()
    load_format: str | None = None


class Place(Struct, frozen=True, kw_only=True):
    """Where in its pod a container finds weights.

    ``volume`` is the volume's name and ``source`` what kind of one it is (``emptyDir``), ``mount``
    the path at which the container has it. ``inside`` is what is loaded and ``root`` where the
    reference as a whole lies, both as absolute paths in the volume. ``store`` is ``root`` as a
    reference where it outlives the pod, else empty; ``fetchers`` are the containers that fetch the
    reference to there.
    """

    volume: str
    source: str
    mount: str
    inside: str
    root: str
    store: str = ""
    fetchers: tuple[str, ...] = ()


class ModelUse(Struct, frozen=True):
    """One reference as used by one workload.

    ``path`` is the field that names it (``spec.template.spec.containers[0].args[3]``) and
    ``reason`` says in a few words why that field names weights. ``places`` are where its container
    finds it on volumes; none where the server itself fetches it, or where no manifest tells.
    ``placed_later`` says that another webhook will put it into the pods, so that only they tell.
    """

    reference: ModelReference
    role: Role
    path: str
    process: Process
    reason: str
    places: tuple[Place, ...] = ()
    placed_later: bool = False


class Outcome(StrEnum):
    """Result of one rule for one model use, in the vocabulary of PolicyReport."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    WARN = "warn"
    ERROR = "error"
    SKIP = "skip"


class Action(IntEnum):
    """What happens to a request; a greater one is stricter."""

    ALLOW = 0
    AUDIT = 1
    WARN = 2
    SANDBOX = 3
    DENY = 4

    @property
    def label(self) -> str:
        """The action as policies spell it, such as ``Deny``."""
        return self.name.capitalize()
