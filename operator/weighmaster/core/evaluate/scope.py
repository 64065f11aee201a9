"""Scope: which workloads and model uses a policy is about.

Doubt always widens what a policy matches and narrows what it excludes: a namespace whose labels are
not known, weights that are not named, an object with two sets of labels.
"""

from weighmaster.api.v1alpha1.policy import Exclude, Match, NamespacedExclude, NamespacedMatch
from weighmaster.core.evaluate.selectors import Labels, Selector, Truth
from weighmaster.core.evaluate.subject import Subject, Workload
from weighmaster.core.globs import Glob


class Scope:
    """What a policy matches, less what it excludes."""

    __slots__ = (
        "_exclude",
        "_excluded_namespaces",
        "_kinds",
        "_namespace",
        "_namespaces",
        "_objects",
        "_references",
        "_roles",
        "any_workload",
        "backtracking",
        "excludes_all",
    )

    def __init__(self, match: NamespacedMatch, exclude: NamespacedExclude, namespace: str) -> None:
        self._namespace = namespace
        self._namespaces = _selector(match)
        self._excluded_namespaces = _selector(exclude)
        self._objects = Selector(match.object_selector) if match.object_selector else None
        self._kinds = _Kinds(match.kinds) if match.kinds else None
        self._references = tuple(Glob(glob) for glob in match.references)
        self._roles = frozenset(match.roles)
        self._exclude = _Exclusion(exclude)
        self.excludes_all = self._exclude.everything
        """Whether everything is excluded in the namespaces that the exclusion is about."""
        self.any_workload = self._kinds is None and self._objects is None
        """Whether every kind of object, with any labels, is matched."""
        globs = (*self._references, *map(Glob, exclude.references))
        self.backtracking = sum(glob.backtracking for glob in globs)

    def covers_namespace(self, name: str, labels: Labels | None) -> bool:
        """Whether anything in a namespace may be matched; an empty name is cluster scope."""
        if self._namespace:
            return name == self._namespace
        if not name or self._namespaces is None:
            return True
        return self._namespaces.matches_namespace(name, labels) is not Truth.NO

    def excludes_namespace(self, name: str, labels: Labels | None) -> bool:
        """Whether the exclusion's namespace part holds; true when it has none."""
        if self._excluded_namespaces is None:
            return True
        if not name:
            return False
        return self._excluded_namespaces.matches_namespace(name, labels) is Truth.YES

    def covers_workload(self, workload: Workload) -> bool:
        """Whether the kind and labels of an object are matched."""
        if self._kinds and not self._kinds.match(workload):
            return False
        if self._objects is None:
            return True
        return any(map(self._objects.matches, workload.label_sets or ({},)))

    def covers_use(self, subject: Subject, *, namespace_excluded: bool) -> bool:
        """Whether a model use of a covered workload is matched and not excluded."""
        if self._roles and subject.use.role not in self._roles:
            return False
        if self._references and not subject.anonymous:
            forms = subject.wide_spellings
            for glob in self._references:
                if glob.matches(forms):
                    break
            else:
                return False
        return not (namespace_excluded and self._exclude.covers(subject))


class _Exclusion:
    """The parts of an exclusion apart from its namespaces. Nothing given excludes nothing."""

    __slots__ = ("_given", "_kinds", "_references", "_roles", "everything")

    def __init__(self, exclude: NamespacedExclude) -> None:
        self._given = exclude not in (NamespacedExclude(), Exclude())
        self._kinds = _Kinds(exclude.kinds) if exclude.kinds else None
        self._references = tuple(Glob(glob) for glob in exclude.references)
        self._roles = frozenset(exclude.roles)
        self.everything = self._given and not (self._kinds or self._references or self._roles)

    def covers(self, subject: Subject) -> bool:
        if not self._given:
            return False
        if self._kinds and not self._kinds.match(subject.workload):
            return False
        if self._roles and subject.use.role not in self._roles:
            return False
        if not self._references:
            return True
        return any(glob.matches(subject.spellings) for glob in self._references)


class _Kinds:
    """Patterns ``group/Kind``; ``*`` stands for any group or kind."""

    __slots__ = ("_exact", "_groups", "_kinds", "_matches_all")

    def __init__(self, patterns: list[str]) -> None:
        pairs = [tuple(("/" + pattern).rsplit("/", 1)) for pattern in patterns]
        self._exact = {f"{group.lstrip('/')}/{kind}" for group, kind in pairs}
        self._groups = {group.lstrip("/") for group, kind in pairs if kind == "*"}
        self._kinds = {kind for group, kind in pairs if group.lstrip("/") == "*"}
        self._matches_all = "*" in self._kinds or "*" in patterns

    def match(self, workload: Workload) -> bool:
        return (
            self._matches_all
            or f"{workload.group}/{workload.kind}" in self._exact
            or workload.group in self._groups
            or workload.kind in self._kinds
        )


def _selector(part: NamespacedExclude) -> Selector | None:
    if isinstance(part, Match | Exclude) and part.namespace_selector:
        return Selector(part.namespace_selector)
    return None
