"""Label selectors over labels that may not be known."""

from collections.abc import Callable, Mapping
from enum import Enum

from weighmaster.api.v1alpha1.meta import LabelSelector, SelectorOperator

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""The label every namespace has with its own name (KEP-2161); nobody can set it otherwise."""

Labels = Mapping[str, str]


class Truth(Enum):
    """Whether a selector matches; ``UNKNOWN`` when the labels that decide it are not known."""

    NO = 0
    UNKNOWN = 1
    YES = 2


Test = Callable[[Labels], bool]


class Selector:
    """A compiled label selector (labels.Selector semantics of Kubernetes)."""

    __slots__ = ("_tests",)

    def __init__(self, selector: LabelSelector) -> None:
        self._tests: list[tuple[str, Test]] = [
            (key, _equals(key, value)) for key, value in selector.match_labels.items()
        ]
        for requirement in selector.match_expressions:
            values = frozenset(requirement.values)
            test = _requirement(requirement.key, requirement.operator, values)
            self._tests.append((requirement.key, test))

    def matches(self, labels: Labels) -> bool:
        """Whether every requirement holds for these labels."""
        return all(test(labels) for _, test in self._tests)

    def matches_namespace(self, name: str, labels: Labels | None) -> Truth:
        """The same for a namespace; without its labels only its name can decide."""
        if labels is not None:
            return Truth.YES if self.matches(labels) else Truth.NO
        known = {NAMESPACE_NAME_LABEL: name}
        result = Truth.YES
        for key, test in self._tests:
            if key != NAMESPACE_NAME_LABEL:
                result = Truth.UNKNOWN
            elif not test(known):
                return Truth.NO
        return result


def _equals(key: str, value: str) -> Test:
    return lambda labels: labels.get(key) == value


def _requirement(key: str, operator: SelectorOperator, values: frozenset[str]) -> Test:
    match operator:
        case SelectorOperator.IN:
            return lambda labels: labels.get(key) in values
        case SelectorOperator.NOT_IN:
            return lambda labels: labels.get(key) not in values
        case SelectorOperator.EXISTS:
            return lambda labels: key in labels
        case SelectorOperator.DOES_NOT_EXIST:
            return lambda labels: key not in labels
