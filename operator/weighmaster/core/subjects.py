"""Subjects of keyless signers, and the patterns that policies have for them."""

import cel

MAX_SUBJECT = 4096

_MATCHES = cel.compile("subject.matches(pattern)")


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of a pattern, in full.

    On an engine whose time is linear in the subject (Rust regex, RE2 syntax). Raises RuntimeError
    when the pattern is none.
    """
    if len(subject) > MAX_SUBJECT:
        return False
    return is_found(rf"\A(?:{pattern})\z", subject)


def is_found(expression: str, text: str) -> bool:
    """Whether an expression is found in a text; raises RuntimeError when it is none."""
    return _MATCHES.execute(cel.Context({"subject": text, "pattern": expression})) is True
