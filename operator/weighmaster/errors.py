"""Every error Weighmaster raises, in one tree.

    WeighmasterError
    ├── ManifestError          a document in a file cannot be read
    ├── PolicyError            a policy, publisher or exception cannot be used
    │   └── ExpressionError    its CEL expression does not compile or may cost too much
    ├── ReviewError            an admission request is malformed, too big or of an unknown version
    ├── ClusterError           the Kubernetes API cannot be used
    │   └── ResourceExpiredError  a watch must start again from a fresh listing (410 Gone)
    └── SettingsError          a setting is wrong; the message names it

Their text is written for the person who can mend the cause. It never carries the text of a
library's exception, which may hold a token or a whole object.
"""


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


class SettingsError(WeighmasterError):
    """A setting is wrong."""
