"""Exceptions: approvals that turn one finding into a skip, each on its own, until they expire."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.exception import ModelExceptionSpec, PolicyKind
from weighmaster.core.evaluate.policies import PolicyKey
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.globs import Glob

LONGEST = timedelta(days=366)
"""How long after its creation an exception may end: a year, and a day for the leap."""


class Approval(Struct, frozen=True):
    """A stored ModelException, compiled. ``problem`` says why it counts nowhere."""

    name: str
    rules: frozenset[tuple[PolicyKey, str]] = frozenset()
    namespaces: frozenset[str] = frozenset()
    references: tuple[Glob, ...] = ()
    expires_at: datetime | None = None
    problem: str | None = None

    def covers(self, subject: Subject, now: datetime) -> bool:
        """Whether it covers a model use at a moment; policy and rule are matched by the caller."""
        if self.problem or self.expires_at is None or now >= self.expires_at:
            return False
        if subject.workload.namespace not in self.namespaces:
            return False
        return any(glob.matches(subject.spellings) for glob in self.references)


def compile_exception(stored: Mapping[str, Any]) -> Approval:
    """A stored ModelException, compiled. Never raises; one that cannot be used covers nothing."""
    metadata = read_metadata(stored)
    try:
        spec = msgspec.convert(stored.get("spec"), ModelExceptionSpec)
    except msgspec.ValidationError as error:
        return Approval(name=metadata.name, problem=f"cannot be used: {error}")
    if any(glob == "**" for glob in spec.references):
        return Approval(name=metadata.name, problem="spec.references: ** would except everything")
    for policy in spec.policies:
        if (policy.kind is PolicyKind.NAMESPACED) != bool(policy.namespace):
            return Approval(
                name=metadata.name,
                problem=(
                    f'policy "{policy.name}": a ModelPolicy is named with its namespace, a'
                    " ClusterModelPolicy without one"
                ),
            )
    created = metadata.creation_timestamp
    if created and created.tzinfo is None:  # only in files: the API server writes UTC
        created = created.replace(tzinfo=UTC)
    if created and spec.expires_at - created > LONGEST:
        return Approval(
            name=metadata.name,
            problem="spec.expiresAt is more than one year after the exception was created",
        )
    return Approval(
        name=metadata.name,
        rules=frozenset(
            (PolicyKey(policy.name, policy.namespace or ""), rule)
            for policy in spec.policies
            for rule in policy.rules
        ),
        namespaces=frozenset(spec.namespaces),
        references=tuple(Glob(glob) for glob in spec.references),
        expires_at=spec.expires_at,
    )
