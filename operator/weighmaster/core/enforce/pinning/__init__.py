"""Pinning: references that can move are written into the object in the form that cannot.

    findings ──> targets ──> plans ──> rewriting ──> decision on the object as it is now
                    │           │          └── read again by detection, use by use
                    │           └── forms of runtimes, fields of kinds, scripts, code, YAML
                    └── ModelRecords; what was written before

`pin` is idempotent: what is pinned is left as it is. It writes all targets of an object or, while
one of them is not known yet, none, so that an object is never half of today and half of tomorrow.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from weighmaster.core.decide import Decision, decide
from weighmaster.core.enforce.occasion import Document, Occasion
from weighmaster.core.enforce.pinning import marks, owners
from weighmaster.core.enforce.pinning.explanations import Explained
from weighmaster.core.enforce.pinning.forms import follows
from weighmaster.core.enforce.pinning.rewriting import Rewritten, rewrite
from weighmaster.core.enforce.pinning.targets import (
    Former,
    Target,
    again,
    at_default_branch,
    choose,
)
from weighmaster.core.evaluate import Finding, evaluate
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import Action, ModelUse


class Pinned(Struct, frozen=True):
    """An object with its references pinned, as far as they can be, and the decision on it.

    ``awaits`` names references whose evidence would have more written, and that no finding is about
    since what stands there now is pinned.
    """

    document: Document
    decision: Decision
    awaits: tuple[str, ...] = ()


def pin(occasion: Occasion, decision: Decision, snapshot: Snapshot) -> Pinned:
    """The object as it must be for the rules that ask for ``pin: Rewrite``."""
    wishes = any(finding.rewrite for finding in decision.findings)
    if not wishes and not marks.is_marked(occasion.document):
        return Pinned(occasion.document, decision)
    return _Pinning(occasion, decision, snapshot).result()


class _Pinning:
    """One object, the decision on it as it came, and what it is to be pinned to."""

    def __init__(self, occasion: Occasion, decision: Decision, snapshot: Snapshot) -> None:
        self.occasion = occasion
        self.decision = decision
        self.snapshot = snapshot
        self.uses = decision.uses
        self.former = Former(occasion)
        moving, self.left = again(occasion, self.former, decision, snapshot)
        self.again = {**moving, **self.left}

    def result(self) -> Pinned:
        document, old = self.occasion.document, self.occasion.old
        explained = Explained(document, self._target)
        owner = owners.template_owner(document)
        if owner is not None:
            return self._as_it_came(lambda finding: explained.owned(finding, owner))
        if old is not None and (owners.is_fixed(document) or not self._asked):
            return self._as_it_came(explained.advised)
        targets = {index: self._target(use) for index, use in self._wanted().items()}
        if any(target.awaits for target in targets.values()):
            return self._waiting(explained, targets)
        known = {
            index: target.pinned for index, target in targets.items() if target.pinned is not None
        }
        made = rewrite(document, self.uses, known)
        failed = frozenset(self.uses[index] for index in known if index not in made.paths)
        if self.occasion.final:
            explained = Explained(document, self._target, failed)
            late = marks.is_awaiting(document) and not owners.is_fixed(document)
            return self._as_it_came(explained.late if late else explained.advised)
        return self._written(made, failed)

    @property
    def _asked(self) -> bool:
        """Whether a change is one to write anything in; no other must become a rollout."""
        document, old = self.occasion.document, self.occasion.old
        return (
            old is None
            or marks.is_awaiting(old)
            or marks.asks_again(document, old)
            or not owners.leaves_template(document, old)
        )

    def _target(self, use: ModelUse) -> Target:
        return choose(use, self.former, self.decision, self.snapshot, self.occasion.now)

    def _wanted(self) -> Mapping[int, ModelUse]:
        """The uses that are to be pinned, as they ask for it, by place.

        With them go those that would be loaded at their revision otherwise.
        """
        enforced = {
            finding.use
            for finding in self.decision.findings
            if finding.rewrite and finding.action >= Action.SANDBOX
        }
        servers = {use.process for use in enforced}
        found = {
            index: use
            for index, use in enumerate(self.uses)
            if use in enforced
            or (
                use.process in servers
                and not use.reference.pinned
                and follows(use.process.runtime, use.role)
            )
        }
        return {**found, **self.again}

    def _as_it_came(self, explain: Callable[[Finding], Finding]) -> Pinned:
        return Pinned(self.occasion.document, _explained(self.decision, explain))

    def _waiting(self, explained: Explained, targets: Mapping[int, Target]) -> Pinned:
        """Nothing is written while something to be written is not known."""
        document, decision = self.occasion.document, self.decision
        held = {self.uses[index]: target for index, target in targets.items()}
        if self.left and not self.occasion.final:
            document, decision = self._without_left()
            held |= {
                decision.uses[index]: self._target(decision.uses[index]) for index in self.left
            }
        decision = _explained(decision, lambda finding: explained.waiting(finding, held))
        if not owners.is_fixed(document) and not self.occasion.final:
            document = self._marked(document, decision.uses, {}, self._label)
        moving = (targets[index].awaits for index in self.again if index not in self.left)
        return Pinned(document, decision, tuple(dict.fromkeys(filter(None, moving))))

    @property
    def _label(self) -> str:
        again = marks.asks_again(self.occasion.document, self.occasion.old)
        return marks.AGAIN if again else "true"

    def _without_left(self) -> tuple[Document, Decision]:
        """The object without revisions of other models, which would keep its pods from starting."""
        heads = {index: at_default_branch(use.reference) for index, use in self.left.items()}
        known = {index: head for index, head in heads.items() if head is not None}
        made = rewrite(self.occasion.document, self.uses, known)
        return made.document, self._decided(made)

    def _written(self, made: Rewritten, failed: frozenset[ModelUse]) -> Pinned:
        decided = self._decided(made)
        if self._is_worse(decided):
            unmarked = self._marked(self.occasion.document, self.uses, {}, None)
            explained = Explained(self.occasion.document, self._target)
            return Pinned(unmarked, _explained(self.decision, explained.advised))
        document = self._marked(made.document, made.uses, made.paths, None)
        # What could not be written stands where it stood, or behind what has been put before it.
        left = {(use.reference, use.role, use.process) for use in failed}
        failed = frozenset(
            use for use in made.uses if (use.reference, use.role, use.process) in left
        )
        explained = Explained(made.document, self._target, failed)
        return Pinned(document, _explained(decided, explained.advised))

    def _is_worse(self, decision: Decision) -> bool:
        """Whether pinning what is there would only have its owner refused whatever they change.

        A change of the template asks for it, and is told. The pods are refused in any case.
        """
        document, old = self.occasion.document, self.occasion.old
        if old is None or marks.asks_now(document, old):
            return False
        return owners.leaves_template(document, old) and any(
            finding.action is Action.DENY and finding.awaits is None
            for finding in decision.findings
        )

    def _decided(self, made: Rewritten) -> Decision:
        """The decision on what an object has become."""
        if made.uses == self.uses:
            return self.decision
        workload = self.decision.workload
        findings = evaluate(workload, made.uses, self.snapshot, self.occasion.now)
        return decide(workload, made.uses, findings)

    def _marked(
        self, document: Document, uses: tuple[ModelUse, ...], paths: Mapping[int, str],
        awaiting: str | None,
    ) -> Document:  # fmt: skip
        """The object with what it should have noted: what was written now, and what still holds."""
        notes: dict[str, str] = {}
        for path, asked in marks.noted(document).items():
            for use in uses:
                here = use.reference.pinned and use.reference.location == asked.location
                if here and (use.path == path or path not in {each.path for each in uses}):
                    notes.setdefault(use.path, asked.canonical)
        for index, path in paths.items():
            if path:
                notes[path] = self.again.get(index, self.uses[index]).reference.canonical
        return marks.marked(document, notes.items(), awaiting)


def _explained(decision: Decision, explain: Callable[[Finding], Finding]) -> Decision:
    """The decision with what pinning knows of its findings."""
    findings = [explain(finding) for finding in decision.findings]
    if all(one is other for one, other in zip(findings, decision.findings, strict=True)):
        return decision
    return decide(decision.workload, decision.uses, findings)
