"""Every error Weighmaster raises, in one tree.

    WeighmasterError
    ├── ManifestError          a document in a file cannot be read
    ├── PolicyError            a policy, publisher or exception cannot be used
    │   ├── ExpressionError    its CEL expression does not compile or may cost too much
    │   └── AuthorityError     its key, certificate, pattern or trust root cannot be used
    ├── ReviewError            an admission request is malformed, too big or of an unknown version
    ├── ClusterError           the Kubernetes API cannot be used
    │   ├── ResourceExpiredError  a watch must start again from a fresh listing (410 Gone)
    │   └── LeaseLostError     another process may lead from now on
    ├── GatherError            no evidence can be had; says why and when to ask again
    ├── HeaderError            a file's header breaks its format's rules, or our limits
    ├── VerificationError      a signature, or the weights under it, failed verification
    ├── StagingError           a model cannot be downloaded to a pod's volume
    └── SettingsError          a setting is wrong; the message names it

Their text is written for the person who can mend the cause. It never carries the text of a
library's exception, which may hold a token or a whole object.
"""

from enum import StrEnum


class WeighmasterError(Exception):
    """Base of every error raised on purpose."""


class ManifestError(WeighmasterError):
    """A document of a file cannot be read; ``document`` counts from 0, ``line`` from 1."""

    def __init__(self, file: str, document: int, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: document {document}: {message}")
        self.file = file
        self.document = document
        self.line = line
        self.message = message


class PolicyError(WeighmasterError):
    """A policy, publisher or exception cannot be used as it is stored."""


class ExpressionError(PolicyError):
    """A CEL expression does not compile, or could cost more than a request may."""


class AuthorityError(PolicyError):
    """A key, certificate, pattern or trust root of an authority cannot be used."""


class ReviewError(WeighmasterError):
    """An admission request cannot be answered; ``code`` is the HTTP status that says why."""

    def __init__(self, message: str, *, code: int = 400, uid: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.uid = uid


class ClusterError(WeighmasterError):
    """The Kubernetes API refused or failed a request; ``status`` is its HTTP status, 0 if none."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ResourceExpiredError(ClusterError):
    """The resource version is too old to watch from; list again."""


class LeaseLostError(ClusterError):
    """The Lease could not be renewed in time or is another's: this process no longer leads."""


class VerificationError(WeighmasterError):
    """A signature, or the weights under it, failed verification.

    ``reason`` is a ``weighmaster.core.verify.reasons.VerificationReason``, which says what to do;
    ``files`` are the names of the first files that it is about, where it is about files.
    """

    def __init__(self, reason: StrEnum, message: str, files: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.files = files


class StagingReason(StrEnum):
    """Why a model cannot be downloaded, other than what hubs answer."""

    VOLUME_FULL = "VolumeFull"
    VOLUME_UNUSABLE = "VolumeUnusable"


class StagingError(WeighmasterError):
    """A model cannot be downloaded to a pod's volume, which says nothing about its bytes."""

    def __init__(self, reason: StagingReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SettingsError(WeighmasterError):
    """A setting is wrong."""


class GatherError(WeighmasterError):
    """No evidence can be had. ``reason`` is the value of an UnavailableReason.

    ``retry_after`` is in seconds, None when waiting alone will not help; ``status`` is the HTTP
    status that caused it, 0 if none did.
    """

    def __init__(
        self, reason: str, message: str, *, retry_after: float | None = None, status: int = 0
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.status = status


class HeaderError(WeighmasterError):
    """A header is malformed; or, when ``incomplete``, only longer than we are willing to read."""

    def __init__(self, message: str, *, incomplete: bool = False) -> None:
        super().__init__(message)
        self.incomplete = incomplete
