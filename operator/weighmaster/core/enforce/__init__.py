"""Enforcement: the form that a decision asks an object to have.

    pinning ──> verification ──> confinement

Each step takes an object and gives the object as it must be. All are idempotent: what has the form
is left as it is. So the mutating stage patches an object into its form, and the validating stage,
which sees what every other webhook has made of it, refuses one whose form is another than this.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from weighmaster.core.decide import Decision
from weighmaster.core.evaluate.snapshot import Snapshot

Document = Mapping[str, Any]


class Form(Struct, frozen=True):
    """An object as it must be to be admitted, and the decision once that is known."""

    document: Document
    decision: Decision


def enforce(document: Document, decision: Decision, snapshot: Snapshot) -> Form:  # noqa: ARG001
    """The form of an object under a decision."""
    return Form(document, decision)
