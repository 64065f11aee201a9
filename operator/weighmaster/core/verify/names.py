"""Names of files in a manifest (OMS section 6.1.2): refused unless they can mean one thing only."""

from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError

MAX_NAME_BYTES = 4096
"""PATH_MAX of Linux."""


def check_name(name: object) -> str:
    """The name, if it is a normalised relative POSIX path without control characters.

    Raises VerificationError: UnsafeName, or Malformed when it is no text.
    """
    if not isinstance(name, str):
        raise VerificationError(VerificationReason.MALFORMED, "a signed file name is not a text")
    problem = _problem(name)
    if problem:
        raise VerificationError(
            VerificationReason.UNSAFE_NAME, f"the signed file name {shown(name)} {problem}"
        )
    return name


def _problem(name: str) -> str:
    if not name:
        return "is empty"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if length > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name):
        return "has control characters in it"
    if "\\" in name:
        return "has a backslash in it, which some systems take for a separator"
    if name.startswith("/"):
        return "is absolute"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of the model"
    if "." in parts or "" in parts:
        return "is not normalised"
    return ""
