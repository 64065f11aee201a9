"""A snapshot: everything a decision reads, at one moment, compiled and immutable."""

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, structs

from weighmaster.api.v1alpha1.authority import Identity
from weighmaster.api.v1alpha1.jurisdictions import Code
from weighmaster.api.v1alpha1.publisher import ModelPublisherSpec
from weighmaster.core.evaluate.exceptions import Approval
from weighmaster.core.evaluate.facilities import NO_FACILITIES, Cluster, Facilities
from weighmaster.core.evaluate.memory import Memory
from weighmaster.core.evaluate.policies import Policy, PolicyKey
from weighmaster.core.evaluate.published import read_keys, with_keys
from weighmaster.core.evaluate.records import Record, authority_id
from weighmaster.core.evaluate.selectors import NAMESPACE_NAME_LABEL, Labels
from weighmaster.core.evaluate.stored import read_metadata
from weighmaster.core.evaluate.subject import Subject
from weighmaster.core.globs import NamespaceIndex

MAX_NAMESPACES_REMEMBERED = 4096


class Publisher(Struct, frozen=True):
    """A stored ModelPublisher. ``problem`` says why it owns nothing."""

    name: str
    labels: Labels
    jurisdiction: Code | None = None
    references: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()
    problem: str | None = None

    def __hash__(self) -> int:
        return hash(self.name)


def read_publisher(stored: Mapping[str, Any]) -> Publisher:
    """A stored ModelPublisher. Never raises; one that cannot be used owns nothing."""
    metadata = read_metadata(stored)
    try:
        spec = msgspec.convert(stored.get("spec"), ModelPublisherSpec)
    except msgspec.ValidationError as error:
        return Publisher(
            name=metadata.name, labels=metadata.labels, problem=f"cannot be used: {error}"
        )
    return Publisher(
        name=metadata.name,
        labels=metadata.labels,
        jurisdiction=spec.jurisdiction,
        references=tuple(spec.references),
        authorities=tuple(authority_id(identity) for identity in spec.identities),
        identities=tuple(with_keys(spec.identities, read_keys(stored))),
    )


class Snapshot:
    """Policies, publishers, exceptions, namespaces and records of evidence.

    ``facilities`` is what enforcement can rely on.

    ``namespaces`` maps a namespace to its labels. One that is not in it is unknown: policies that
    select namespaces by label then count as matching. A publisher that cannot be used is treated
    as missing, so that rules which deny it cannot be decided.
    """

    def __init__(
        self,
        *,
        policies: Iterable[Policy] = (),
        publishers: Iterable[Publisher] = (),
        exceptions: Iterable[Approval] = (),
        namespaces: Mapping[str, Labels] | None = None,
        records: Iterable[Record] = (),
        facilities: Facilities = NO_FACILITIES,
    ) -> None:
        self.policies = tuple(sorted(policies, key=lambda policy: policy.key))
        publishers, exceptions = list(publishers), list(exceptions)
        self.exceptions = tuple(exceptions)
        self.facilities = facilities
        self.problems = tuple(
            f'{kind} "{stored.name}": {stored.problem}'
            for kind, group in (
                ("ModelPublisher", publishers),
                ("ModelException", exceptions),
                ("SandboxProfile", facilities.profiles.values()),
            )
            for stored in group
            if stored.problem is not None
        )
        usable = [publisher for publisher in publishers if publisher.problem is None]
        self.publishers_by_name = {publisher.name: publisher for publisher in usable}
        self.publishers = NamespaceIndex(
            (reference, publisher) for publisher in usable for reference in publisher.references
        )
        records = list(records)
        self.records = _by_reference(records)
        self.record_names = frozenset(record.name for record in records)
        """Names that are taken, whatever the record that has one is about."""
        self.namespaces = namespaces if namespaces is not None else {}
        ends = [approval.expires_at for approval in exceptions]
        ends += [record.status.expires_at for record in self.records.values()]
        self._ends = tuple(end for end in ends if end is not None)
        self.memory: Memory[Any] = Memory(self._ends)
        """Findings by this snapshot."""
        self._exceptions: dict[tuple[PolicyKey, str], list[Approval]] = {}
        for approval in sorted(exceptions, key=lambda approval: approval.name):
            for rule in approval.rules:
                self._exceptions.setdefault(rule, []).append(approval)
        self._applicable: dict[str, tuple[tuple[Policy, bool], ...]] = {}
        self._costs: dict[str, tuple[int, int]] = {}

    def within(self, cluster: Cluster) -> "Snapshot":
        """The same in a cluster. What was worked out by it is shared."""
        other = copy.copy(self)
        other.facilities = structs.replace(self.facilities, cluster=cluster)
        return other

    def applicable(self, namespace: str) -> tuple[tuple[Policy, bool], ...]:
        """The policies that may match in a namespace, each with whether it is excluded there.

        Worked out once per namespace, so that the cost of a request grows with the policies that
        match and not with all.
        """
        found = self._applicable.get(namespace)
        if found is None:
            labels = self._labels(namespace)
            found = tuple(
                (policy, policy.scope.excludes_namespace(namespace, labels))
                for policy in self.policies
                if policy.scope.covers_namespace(namespace, labels)
            )
            if len(self._applicable) >= MAX_NAMESPACES_REMEMBERED:
                self._applicable.clear()
                self._costs.clear()
            self._applicable[namespace] = found
        return found

    def cost_per_use(self, namespace: str, segments: int) -> int:
        """Microseconds, roughly, that all policies of a namespace take for one model use at most.

        ``segments`` is how many path segments the longest reference has.
        """
        found = self._costs.get(namespace)
        if found is None:
            policies = [policy for policy, _ in self.applicable(namespace)]
            fixed, growing = (sum(policy.cost_per_use(at) for policy in policies) for at in (0, 1))
            found = self._costs[namespace] = fixed, growing - fixed
        return found[0] + found[1] * segments

    def holds_until(self, now: datetime) -> datetime | None:
        """When the next exception or evidence expires; None when nothing does any more."""
        return min((end for end in self._ends if end > now), default=None)

    def exception_for(
        self, policy: PolicyKey, rule: str, subject: Subject, now: datetime
    ) -> Approval | None:
        """The first exception, by name, that by itself covers a rule for a model use."""
        for approval in self._exceptions.get((policy, rule), ()):
            if approval.covers(subject, now):
                return approval
        return None

    def _labels(self, namespace: str) -> Labels | None:
        labels = self.namespaces.get(namespace)
        return None if labels is None else {**labels, NAMESPACE_NAME_LABEL: namespace}


def _by_reference(records: Iterable[Record]) -> dict[str, Record]:
    """The record that counts for each reference, whatever the order in which they came.

    Of several about one reference it is one with evidence, then one that people made (which may
    assert what the other lacks), then the first by name.
    """
    found: dict[str, Record] = {}
    for record in records:
        other = found.get(record.reference)
        if record.reference and (other is None or _rank(record) < _rank(other)):
            found[record.reference] = record
    return found


def _rank(record: Record) -> tuple[bool, bool, str]:
    return record.problem is not None, record.managed, record.name
