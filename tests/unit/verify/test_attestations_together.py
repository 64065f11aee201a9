"""Several attestations of one model: which of them count."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.attesting import (
    AT,
    ISSUER,
    SUBJECT,
    Key,
    Make,
    about,
    attestation,
    beside,
    bundled,
    enveloped,
    judged,
)
from tests.signing.bundles import Json
from tests.signing.cosign import DIGEST, OTHER
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.core.evidence import SignatureBundle
from weighmaster.core.verify.attestation import Attested, Target
from weighmaster.core.verify.authorities import (
    KeyAuthority,
    KeylessAuthority,
    keyless_authority,
)

NAME = x509.RFC822Name(SUBJECT)


def results(found: Attested) -> list[Any]:
    return sorted(each.statement.predicate["result"] for each in found.attestations)


def said(*words: str) -> list[Json]:
    return [attestation(about(DIGEST), {"result": word}) for word in words]


def test_all_that_a_key_stated_stands_since_nobody_knows_the_order(
    key: Key, authority: KeyAuthority
) -> None:
    old, new = said("PASSED", "FAILED")
    material = [bundled(old, key, DIGEST), enveloped(new, key, DIGEST), bundled(old, key, DIGEST)]
    assert results(judged(*material, by=authority)) == ["FAILED", "PASSED"]


def test_what_strangers_push_takes_nothing_away(key: Key, authority: KeyAuthority) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    good, bad = said("PASSED", "FAILED")
    noise = [
        bundled(bad, stranger, DIGEST),
        enveloped(bad, stranger, DIGEST),
        beside(b"{", DIGEST),
        bundled(b"{", stranger, DIGEST),
        bundled(attestation(about(OTHER), {"result": "FAILED"}), key, DIGEST),
    ]
    for place in range(len(noise) + 1):
        found = judged(*noise[:place], bundled(good, key, DIGEST), *noise[place:], by=authority)
        assert results(found) == ["PASSED"]
        assert not found.doubts


@pytest.mark.parametrize("order", [1, -1])
def test_a_later_keyless_attestation_takes_the_place_of_an_earlier_one(
    keyless: Make, signer: KeylessAuthority, order: int
) -> None:
    old, new = said("PASSED", "FAILED")
    material = [keyless(old), keyless(new, AT + timedelta(hours=1))][::order]
    assert results(judged(*material, by=signer)) == ["FAILED"]
    same = [keyless(old), keyless(new)][::order]
    assert results(judged(*same, by=signer)) == ["FAILED", "PASSED"]


def test_only_the_same_signer_takes_its_own_back(keyless: Make, signer: KeylessAuthority) -> None:
    anybody = keyless_authority(signer.trust_root, ISSUER, pattern="^.*@acme[.]example$")
    old, new = said("FAILED", "PASSED")
    later = keyless(new, AT + timedelta(hours=1), "other@acme.example")
    assert results(judged(keyless(old), later, by=anybody)) == ["FAILED", "PASSED"]


def test_what_is_said_later_of_less_takes_nothing_back(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    parts = frozenset({"a" * 64, "b" * 64})
    target = Target(parts, parts)

    def stated(subjects: Sequence[str], word: str, at: datetime) -> SignatureBundle:
        statement = attestation(about(*subjects), {"result": word})
        return beside(instance.sign(statement, NAME, ISSUER, at))

    later = AT + timedelta(hours=1)
    whole, half = stated(sorted(parts), "FAILED", AT), stated(["a" * 64], "PASSED", later)
    assert results(judged(whole, half, by=signer, target=target)) == ["FAILED", "PASSED"]
    again = stated(sorted(parts), "PASSED", later)
    assert results(judged(whole, again, by=signer, target=target)) == ["PASSED"]
