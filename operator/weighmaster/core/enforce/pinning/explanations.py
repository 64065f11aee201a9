"""Explanations: what is said of a reference that can move, and what its owner can do."""

from collections.abc import Callable, Mapping

from msgspec import structs

from weighmaster.core.enforce.occasion import Document
from weighmaster.core.enforce.pinning import owners
from weighmaster.core.enforce.pinning.fields import is_cached
from weighmaster.core.enforce.pinning.forms import instead
from weighmaster.core.enforce.pinning.owners import Owner
from weighmaster.core.enforce.pinning.plans import plan, told
from weighmaster.core.enforce.pinning.targets import Target
from weighmaster.core.evaluate import Finding
from weighmaster.core.reasons import Reason
from weighmaster.core.values import Action, ModelUse

_CAN_MOVE = "can change after admission"


class Explained:
    """Explains the findings on one object.

    Findings that are not about pinning stay as they are. ``target`` gives what a use is to be
    pinned to, ``failed`` are the uses that could not be written.
    """

    def __init__(
        self, document: Document, target: Callable[[ModelUse], Target],
        failed: frozenset[ModelUse] = frozenset(),
    ) -> None:  # fmt: skip
        self._document = document
        self._target = target
        self._failed = failed

    def owned(self, finding: Finding, owner: Owner) -> Finding:
        """It stands in a copy of a template that was not pinned."""
        if not finding.rewrite:
            return finding
        awaits = self._target(finding.use).awaits
        whose = f"{owner.kind} {owner.name}, which this is made from"
        what = f"is not pinned in {whose}: {owner.how_to_apply}"
        if awaits:
            what = f"is being looked up for {whose}"
        return structs.replace(
            finding,
            reason=Reason.OWNER_NOT_PINNED,
            message=f"{_CAN_MOVE} and {what}",
            awaits=awaits,
        )

    def waiting(self, finding: Finding, held: Mapping[ModelUse, Target]) -> Finding:
        """It is not known yet what it, or what is written together with it, stands for."""
        target = held.get(finding.use)
        if target is None or (target.problem and not target.awaits):
            return self.advised(finding)
        awaited = next(each.awaits for each in held.values() if each.awaits)
        return self._late(finding, target.awaits or awaited)

    def late(self, finding: Finding) -> Finding:
        """It has become known only after the object could have been written."""
        target = self._target(finding.use) if _is_held(finding) else Target()
        if target.pinned is None or finding.use in self._failed:
            return self.advised(finding)
        return self._late(finding, target.pinned.canonical)

    def advised(self, finding: Finding) -> Finding:
        """Nothing is written; what should be is said."""
        if not finding.rewrite:
            return finding
        target = self._target(finding.use)
        if target.pinned is None:
            why = f", and cannot be pinned: {target.problem}"
            if target.awaits:
                why = f"; {_sought(target)}"
            return structs.replace(finding, message=f"{_CAN_MOVE}{why}", awaits=target.awaits)
        edits = plan(self._document, finding.use, target.pinned)
        if edits is None or finding.use in self._failed:
            use, pinned = finding.use, target.pinned.canonical
            other = instead(use.process.runtime, use.role, use.reason)
            if is_cached(self._document):
                other = (
                    "pods read it from a LocalModelCache; make one of the pinned address, and name"
                    " that here"
                )
            return structs.replace(
                finding,
                reason=Reason.NOT_REWRITABLE,
                message=f"{_CAN_MOVE}, and {pinned} cannot be written here: {other}",
            )
        form = told(edits) or target.pinned.canonical
        what = f"write {form}"
        if finding.action < Action.SANDBOX:
            what = f"would be rewritten to {form} if the policy's action were Sandbox or Deny"
        return structs.replace(finding, message=f"{_CAN_MOVE}; {what}")

    def _late(self, finding: Finding, awaits: str | None) -> Finding:
        if not _is_held(finding):
            return self.advised(finding)
        then = "will be written once that is known"
        if owners.is_fixed(self._document):
            then = "has to be known when it is created: create it again in a moment"
        return structs.replace(
            finding,
            reason=Reason.PIN_PENDING,
            message=f"{_CAN_MOVE}; {_sought(self._target(finding.use))}, and {then}",
            awaits=awaits,
        )


def _sought(target: Target) -> str:
    hindered = f" ({target.problem})" if target.problem else ""
    return f"what it stands for is being found out{hindered}"


def _is_held(finding: Finding) -> bool:
    """Whether a finding would be another one if its reference were pinned."""
    moves = finding.rewrite or finding.reason is Reason.MUTABLE_REFERENCE
    return moves and finding.action >= Action.SANDBOX
