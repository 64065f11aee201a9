"""Holding: whether what was verified before a pod started still is what its policies ask for.

Admission has the bytes verified by what policies and evidence say at that moment. When they say
something else, the bytes are not read again: who signed them, and what they are, was found then.

    demands of now ──> claims, one for each place ──> what was verified there ──> lapses
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from weighmaster.core.decide import Decision
from weighmaster.core.enforce.verification.plan import Claim, claims_of
from weighmaster.core.enforce.verification.signers import (
    Holds,
    Signature,
    fulfil,
    includes,
    signatures_of,
    signers_of,
)
from weighmaster.core.enforce.verification.weighing import Weighed, Weighing
from weighmaster.core.evaluate import Finding
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.mounted import Signatures, Signer


class Lapse(Struct, frozen=True):
    """Why a finding that holds only for bytes that are verified does not hold for a pod that runs.

    ``withdrawn`` says that something is known against it: who signed its weights is nobody whom
    any policy asks for any more. Otherwise it was merely not verified for this.
    """

    message: str
    withdrawn: bool = False


def lapses(
    decision: Decision, weighing: Weighing | None, snapshot: Snapshot
) -> Mapping[int, Lapse]:
    """Which findings do not hold for a pod that runs, by their number in the decision."""
    demanding = [
        number for number, finding in enumerate(decision.findings) if finding.demand is not None
    ]
    if not demanding:
        return {}
    if weighing is None:
        return dict.fromkeys(demanding, _BEFORE)
    unstaged = [
        number for number in demanding if not _is_staged(decision.findings[number], weighing)
    ]
    found: dict[int, Lapse] = dict.fromkeys(unstaged, _OTHER if weighing.staged else _BEFORE)
    return {**found, **_unverified(decision, weighing, snapshot)}


def _is_staged(finding: Finding, weighing: Weighing) -> bool:
    """Whether a finding is not about what had to be staged, or that was staged."""
    demand, reference = finding.demand, finding.use.reference
    if demand is None or not demand.staged:
        return True
    named = f"{reference.location}@{reference.revision}"
    return any((each.reference, each.digest) == (named, demand.digest) for each in weighing.staged)


def _unverified(decision: Decision, weighing: Weighing, snapshot: Snapshot) -> Mapping[int, Lapse]:
    """Findings about what lies on volumes that do not hold, by their number."""
    problems: dict[int, str] = {}
    claims = claims_of(weighing.spec, decision, snapshot, problems)
    open_claims = {claim.finding for claim in claims if not _is_met(claim, weighing)}
    failing = open_claims | problems.keys()
    if not failing:
        return {}
    named = _named(decision)
    gone = sorted({_shown(by) for each in weighing.weighed for by in _withdrawn(each, named)})
    if gone:
        lapse = Lapse(_WITHDRAWN.format("; ".join(gone[:MAX_SIGNERS])), withdrawn=True)
        return dict.fromkeys(sorted(failing), lapse)
    return {
        number: Lapse(f"cannot be verified: {problems[number]}") if number in problems else _OTHER
        for number in sorted(failing)
    }


MAX_SIGNERS, MAX_SIGNER = 3, 160
"""Signers that are named, and characters of each."""

_BEFORE = Lapse(
    "was not verified before its server started: the pod is older than the policy, or another"
    " webhook has taken that away; pods that are made from now on are verified"
)
_OTHER = Lapse(
    "was verified before its server started, but not for this: policies have come to ask for more"
    " since; pods that are made from now on are verified for it"
)
_WITHDRAWN = (
    "was verified before its server started by the signature of somebody whom policies name no more"
    " ({}); delete the pod, or roll out its owner, to have it verified by those that they name now"
)


def _is_met(claim: Claim, weighing: Weighing) -> bool:
    covering = [each for each in weighing.weighed if each.site.covers(claim.site)]
    demand = claim.demand
    if demand.digest and not any(each.expectation.digest == demand.digest for each in covering):
        return False
    asked = demand.signatures
    return asked is None or any(_is_signed(each, asked) for each in covering)


def _is_signed(weighed: Weighed, asked: Signatures) -> bool:
    told = weighed.expectation.signatures
    if weighed.proofs is None:
        return any(includes(each, asked) for each in told)
    return any(
        fulfil(signatures_of(each, proofs), each, asked)
        for each, proofs in zip(told, weighed.proofs, strict=True)
    )


def _named(decision: Decision) -> tuple[Signer, ...]:
    """Everybody whose signature any finding asks for."""
    asked = (finding.demand.signatures for finding in decision.findings if finding.demand)
    return tuple(signer for each in asked if each is not None for signer in signers_of(each))


def _withdrawn(weighed: Weighed, named: Sequence[Signer]) -> Iterator[Signature]:
    """Who signed what was verified, is named no more, and was needed for it."""
    told = weighed.expectation.signatures
    for each, proofs in zip(told, weighed.proofs or (None,) * len(told), strict=True):
        if proofs is None:  # who of them signed is not known, so any may have
            found = [Signature((signer,)) for signer in signers_of(each)]
        else:
            found = list(signatures_of(each, proofs))
        gone = [signature for signature in found if signature.holds_for(named) is Holds.NO]
        kept = [signature for signature in found if signature not in gone]
        if gone and not fulfil(kept, each, each):
            yield from gone


def _shown(signature: Signature) -> str:
    identity = signature.identity or next(
        (each.subject or each.pattern or "a key" for each in signature.signers), "unknown"
    )
    whole = f"{identity}, {signature.issuer}" if signature.issuer else identity
    return "".join(c if c.isprintable() else "?" for c in whole[:MAX_SIGNER])
