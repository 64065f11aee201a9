"""Signers of two times: whether what held for one of before holds for one of now."""

from collections.abc import Iterable, Sequence
from enum import Enum

from msgspec import Struct

from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.core import subjects
from weighmaster.core.matching import match
from weighmaster.core.mounted import Proof, Signatures, Signer


class Holds(Enum):
    """Whether something holds, as far as that can be told without verifying anew."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Signature(Struct, frozen=True):
    """A signature that was found to hold: of whom, as a pod was told, and whose it is if known."""

    signers: tuple[Signer, ...]
    identity: str = ""
    issuer: str = ""

    def holds_for(self, signers: Iterable[Signer]) -> Holds:
        """Whether it is one of any of some signers of now."""
        found = [_implies(told, now, self.identity) for now in signers for told in self.signers]
        if Holds.YES in found:
            return Holds.YES
        return Holds.UNKNOWN if Holds.UNKNOWN in found else Holds.NO


def signatures_of(told: Signatures, proofs: Sequence[Proof]) -> tuple[Signature, ...]:
    """The signatures that were found for what a pod was told."""
    signers = signers_of(told)
    return tuple(
        Signature(tuple(signers[number] for number in proof.by), proof.identity, proof.issuer)
        for proof in proofs
    )


def signers_of(signatures: Signatures) -> tuple[Signer, ...]:
    """All signers in the order in which they are numbered."""
    return tuple(signer for authority in signatures.authorities for signer in authority)


def fulfil(found: Sequence[Signature], told: Signatures, asked: Signatures) -> bool:
    """Whether signatures that were found for what was told are those that are asked for."""
    choices = {
        signature: {
            number
            for number, authority in enumerate(asked.authorities)
            if signature.holds_for(authority) is Holds.YES
        }
        for signature in found
    }
    return _covers(told, asked) and len(match(choices)) >= asked.threshold


def includes(told: Signatures, asked: Signatures) -> bool:
    """Whether whatever fulfils what was told also fulfils what is asked, whoever signed."""
    if not _covers(told, asked) or told.threshold < asked.threshold:
        return False
    choices = {
        number: {
            other
            for other, authority in enumerate(asked.authorities)
            if all(Signature((signer,)).holds_for(authority) is Holds.YES for signer in each)
        }
        for number, each in enumerate(told.authorities)
    }
    return len(match(choices)) == len(told.authorities)


def _covers(told: Signatures, asked: Signatures) -> bool:
    return told.coverage in (Coverage.ALL, asked.coverage)


def _implies(told: Signer, now: Signer, identity: str) -> Holds:
    """Whether a signature of one signer is one of another, with the identity that it proves."""
    if told.key or now.key:
        same = bool(told.key and now.key) and _blocks(told.key) == _blocks(now.key)
        return Holds.YES if same else Holds.NO
    if told.roots or now.roots:
        return _implies_certificate(told, now)
    return _implies_keyless(told, now, identity)


def _implies_certificate(told: Signer, now: Signer) -> Holds:
    if not (told.roots and now.roots) or told.subject != now.subject:
        return Holds.NO
    before, after = _blocks(told.roots), _blocks(now.roots)
    if before.isdisjoint(after):
        return Holds.NO
    sure = before <= after and (told.code_signing or not now.code_signing)
    return Holds.YES if sure else Holds.UNKNOWN


def _implies_keyless(told: Signer, now: Signer, identity: str) -> Holds:
    if told.issuer != now.issuer:
        return Holds.NO
    if (told.subject, told.pattern) != (now.subject, now.pattern):
        subject = identity or told.subject
        if not subject:
            return Holds.UNKNOWN
        if not _is_subject(subject, now):
            return Holds.NO
    return Holds.YES if told.trust_root == now.trust_root else Holds.UNKNOWN


def _is_subject(subject: str, signer: Signer) -> bool:
    if not signer.pattern:
        return subject == signer.subject
    try:
        return subjects.matches(signer.pattern, subject)
    except RuntimeError:  # no regular expression, so nobody
        return False


def _blocks(pem: str) -> frozenset[str]:
    """The keys or certificates in PEM text (RFC 7468), however they are wrapped and annotated."""
    blocks = (rest.partition("-----END")[0] for rest in pem.split("-----BEGIN")[1:])
    return frozenset("".join(block.partition("-----")[2].split()) for block in blocks)
