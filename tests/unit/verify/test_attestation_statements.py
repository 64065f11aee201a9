"""What an attestation is about and what it says; what nobody can read and nobody can change."""

import base64
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.signing.attesting import (
    FORMS,
    HEX,
    SCAN,
    SUBJECT,
    Key,
    Make,
    about,
    attestation,
    beside,
    bundled,
    doubts,
    enveloped,
    holds,
    judged,
    refusals,
)
from tests.signing.bundles import Json, model_statement, public_pem
from tests.signing.cosign import DIGEST, OTHER, SIGN
from weighmaster.core.evidence import SignatureBundle, SignatureKind
from weighmaster.core.verify.attestation import Attested, Target, read_envelopes
from weighmaster.core.verify.authorities import (
    KeyAuthority,
    key_authority,
)
from weighmaster.core.verify.reasons import VerificationReason as R

NAME = x509.RFC822Name(SUBJECT)


# What they are about.


@FORMS
def test_an_attestation_of_another_artifact_is_refused_and_says_of_which(
    key: Key, authority: KeyAuthority, make: Make
) -> None:
    found = judged(make(attestation(about(OTHER)), key, DIGEST), by=authority)
    assert not found.attestations
    assert [each.reason for each in found.refusals] == [R.OTHER_ARTIFACT]
    assert OTHER in found.refusals[0].message


def test_one_of_several_subjects_is_enough(key: Key, authority: KeyAuthority) -> None:
    assert holds(bundled(attestation(about(OTHER, DIGEST)), key, DIGEST), by=authority)


@pytest.mark.parametrize(
    "subject",
    [
        {"name": "m", "digest": {"sha256": HEX.upper()}},
        {"name": "m", "digest": {"sha256": f"{HEX}0"}},
        {"name": "m", "digest": {"sha256": DIGEST}},
        {"name": "m", "digest": {"sha256": [HEX]}},
        {"name": "m", "digest": {}},
        {"name": "m", "digest": HEX},
        {"name": "m"},
        {"name": ["m"], "digest": {"sha256": HEX}},
        {"name": "m\nx", "digest": {"sha256": HEX}},
        {"name": "m" * 5000, "digest": {"sha256": HEX}},
        HEX,
        None,
    ],
)
@pytest.mark.parametrize("beside_good_one", [False, True])
def test_a_subject_that_is_none_makes_a_statement_that_cannot_be_judged(
    key: Key, authority: KeyAuthority, subject: Any, beside_good_one: bool
) -> None:
    subjects = [*(about(DIGEST) if beside_good_one else []), subject]
    assert doubts(bundled(attestation(subjects), key, DIGEST), by=authority) == [R.MALFORMED]


@pytest.mark.parametrize("subjects", [[], None, {"sha256": HEX}, HEX])
def test_a_statement_about_nothing_cannot_be_judged(
    key: Key, authority: KeyAuthority, subjects: Any
) -> None:
    assert doubts(bundled(attestation(subjects), key, DIGEST), by=authority) == [R.MALFORMED]


def test_digests_of_other_kinds_match_nothing(key: Key, authority: KeyAuthority) -> None:
    subjects = [{"name": DIGEST, "digest": {"sha512": HEX, "gitCommit": HEX}}]
    found = judged(bundled(attestation(subjects), key, DIGEST), by=authority)
    assert [each.reason for each in found.refusals] == [R.OTHER_ARTIFACT]


def test_attestations_together_may_be_about_all_parts(key: Key, authority: KeyAuthority) -> None:
    parts = [character * 64 for character in "abc"]
    target = Target(frozenset(parts), frozenset(parts[:2]))
    found = judged(
        *(bundled(attestation(about(part)), key) for part in parts[:2]),
        by=authority,
        target=target,
    )
    assert {part for each in found.attestations for part in each.parts} == set(parts[:2])
    # A part that other models have too says nothing by itself.
    common = bundled(attestation(about(parts[2])), key)
    assert refusals(common, by=authority, target=target) == [R.OTHER_ARTIFACT]


def test_a_digest_of_the_whole_stands_for_all_parts(key: Key, authority: KeyAuthority) -> None:
    target = Target(frozenset({"a" * 64, "b" * 64}), frozenset({"a" * 64}), frozenset({"f" * 64}))
    (one,) = judged(bundled(attestation(about("f" * 64)), key), by=authority, target=target
    ).attestations  # fmt: skip
    assert one.parts == target.parts


# What they say.


def test_another_type_is_no_attestation_of_this_one(key: Key, authority: KeyAuthority) -> None:
    found = bundled(attestation(about(DIGEST), kind=f"{SCAN}/"), key, DIGEST)
    assert judged(found, by=authority) == Attested()


@FORMS
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"_type": "https://in-toto.io/Statement/v2"}, R.UNSUPPORTED),
        ({"_type": None}, R.MALFORMED),
        ({"predicate": []}, R.MALFORMED),
        ({"predicate": None}, R.MALFORMED),
        ({"predicate": "PASSED"}, R.MALFORMED),
        ({"predicateType": 1}, R.MALFORMED),
    ],
)
def test_what_the_authority_signed_and_nobody_can_read_is_in_doubt(
    key: Key, authority: KeyAuthority, make: Make, fields: Json, reason: R
) -> None:
    unreadable = make(attestation(about(DIGEST)) | fields, key, DIGEST)
    assert doubts(unreadable, by=authority) == [reason]
    stranger = key_authority(public_pem(ec.generate_private_key(ec.SECP256R1())))
    assert not judged(unreadable, by=stranger).doubts


@pytest.mark.parametrize(
    "payload",
    [
        b'{"predicate": 1, "predicate": 2}',
        b"{}",
        b"[]",
        b"\xff",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"a": NaN}',
    ],
)
def test_a_statement_that_is_no_statement_is_in_doubt_whatever_is_asked_for(
    key: Key, authority: KeyAuthority, payload: bytes
) -> None:
    assert doubts(bundled(payload, key, DIGEST), by=authority) == [R.MALFORMED]
    assert doubts(enveloped(payload, key, DIGEST), by=authority, kind="x") == [R.MALFORMED]


def test_a_statement_without_a_predicate_has_an_empty_one(
    key: Key, authority: KeyAuthority
) -> None:
    statement = attestation(about(DIGEST))
    del statement["predicate"]
    (found,) = judged(bundled(statement, key, DIGEST), by=authority).attestations
    assert found.statement.predicate == {}


def test_members_that_are_not_known_are_ignored(key: Key, authority: KeyAuthority) -> None:
    statement = attestation(about(DIGEST), annotations={"a": 1})
    statement["subject"][0]["uri"] = "pkg:huggingface/m"
    assert holds(bundled(statement, key, DIGEST), by=authority)


def test_signatures_are_no_attestations(key: Key, authority: KeyAuthority) -> None:
    for statement, kind in (
        (model_statement(), "https://model_signing/signature/v1.0"),
        (attestation(about(DIGEST), kind=SIGN), SIGN),
    ):
        assert judged(bundled(statement, key, DIGEST), by=authority, kind=kind) == Attested()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", R.MALFORMED),
        (b"{", R.MALFORMED),
        (b"{}", R.MALFORMED),
        (b'{"payloadType": "text/plain", "payload": "eA==", "signatures": []}', R.UNSUPPORTED),
        (b"x" * (5 << 20), R.TOO_LARGE),
    ],
)
def test_what_is_no_envelope_is_nobodys(authority: KeyAuthority, content: bytes, reason: R) -> None:
    loose = SignatureBundle(
        kind=SignatureKind.COSIGN_ATTESTATION, content=content, source="x", subject=DIGEST
    )
    assert refusals(loose, by=authority) == [reason]
    assert refusals(beside(b"{", DIGEST), by=authority) == [R.MALFORMED]


def test_an_envelope_with_two_signatures_is_refused(key: Key, authority: KeyAuthority) -> None:
    document = json.loads(enveloped(attestation(about(DIGEST)), key).content)
    document["signatures"] *= 2
    twice = structs.replace(
        enveloped(attestation(about(DIGEST)), key, DIGEST), content=json.dumps(document).encode()
    )
    assert refusals(twice, by=authority) == [R.UNSUPPORTED]


def test_other_material_is_not_looked_at(key: Key) -> None:
    good = enveloped(attestation(about(DIGEST)), key, DIGEST)
    others = (SignatureKind.COSIGN_SIGNATURE, SignatureKind.DETACHED)
    assert read_envelopes([structs.replace(good, kind=kind) for kind in others]) == []
    assert len(read_envelopes([good, good])) == 1


# Nothing signed can be changed.

FIXED = ec.derive_private_key(7, ec.SECP256R1())
FIXED_AUTHORITY = key_authority(public_pem(FIXED))
STATEMENT = attestation(about(DIGEST))
GENUINE = {
    "bundle": bundled(STATEMENT, FIXED, DIGEST),
    "envelope": enveloped(STATEMENT, FIXED, DIGEST),
}


@settings(deadline=None)
@given(st.sampled_from(sorted(GENUINE)), st.data())
def test_no_changed_byte_of_an_envelope_says_anything_else(form: str, data: st.DataObject) -> None:
    genuine = GENUINE[form]
    content = bytearray(genuine.content)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    found = judged(structs.replace(genuine, content=bytes(content)), by=FIXED_AUTHORITY)
    (original,) = judged(genuine, by=FIXED_AUTHORITY).attestations
    assert found.attestations in ((), (original,))
    assert not found.doubts


@settings(deadline=None)
@given(st.sampled_from(["payload", "sig"]), st.data())
def test_no_changed_byte_of_what_is_signed_is_accepted(member: str, data: st.DataObject) -> None:
    document = json.loads(GENUINE["bundle"].content)
    envelope = document["dsseEnvelope"]
    holder = envelope if member == "payload" else envelope["signatures"][0]
    raw = bytearray(base64.b64decode(holder[member]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    holder[member] = base64.b64encode(raw).decode()
    found = judged(beside(document, DIGEST), by=FIXED_AUTHORITY)
    assert (found.attestations, found.doubts) == ((), ())
