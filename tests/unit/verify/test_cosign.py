"""Cosign signatures by key, in both forms, and what must not pass for one."""

import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import (
    Json,
    b64,
    envelope,
    key_bundle,
    model_statement,
    public_pem,
    raw,
)
from tests.signing.cosign import (
    DIGEST,
    OTHER,
    SIGN,
    SIGNATURE,
    accepted,
    attached,
    cosign_bundle,
    legacy,
    noted,
    payload_of,
    refusal,
    simple,
    statement,
    verify,
)
from weighmaster.core.evidence import SignatureBundle, SignatureKind
from weighmaster.core.verify.authorities import (
    KeyAuthority,
    key_authority,
)
from weighmaster.core.verify.cosign import (
    MAX_BUNDLE_BYTES,
    MAX_MATERIAL,
    split_material,
)
from weighmaster.core.verify.cosign_legacy import MAX_ANNOTATION, MAX_PAYLOAD_BYTES
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.errors import VerificationError

Key = ec.EllipticCurvePrivateKey


def signed(key: Key, digest: str = DIGEST, form: str = "legacy") -> SignatureBundle:
    if form == "legacy":
        return legacy(payload_of(digest), key)
    return attached(cosign_bundle(statement(digest), key), digest)


FORMS = pytest.mark.parametrize("form", ["legacy", "bundle"])


@FORMS
def test_an_artifact_signed_by_the_key_is_verified(
    key: Key, authority: KeyAuthority, form: str
) -> None:
    assert verify(signed(key, form=form), by=authority).identity == authority.fingerprint


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384()])
def test_a_key_on_a_larger_curve_may_hash_as_cosign_does_or_by_its_curve(
    algorithm: hashes.HashAlgorithm,
) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    by = key_authority(public_pem(key))
    assert accepted(legacy(payload_of(DIGEST), key, algorithm=algorithm), by=by)


@FORMS
def test_a_signature_by_another_key_is_refused(authority: KeyAuthority, form: str) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    expected = R.BAD_SIGNATURE if form == "legacy" else R.WRONG_IDENTITY
    assert refusal(signed(stranger, form=form), by=authority) is expected


@FORMS
def test_a_signature_of_another_artifact_is_refused_and_named(
    key: Key, authority: KeyAuthority, form: str
) -> None:
    copied = signed(key, OTHER, form)
    assert refusal(copied, by=authority) is R.OTHER_ARTIFACT
    with pytest.raises(VerificationError, match=OTHER):
        verify(copied, by=authority)


@FORMS
def test_another_artifact_in_the_words_of_a_stranger_is_a_bad_signature(
    authority: KeyAuthority, form: str
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert refusal(signed(stranger, OTHER, form), by=authority) is not R.OTHER_ARTIFACT


@pytest.mark.parametrize(
    "digest", [DIGEST.upper(), f" {DIGEST}", DIGEST.removeprefix("sha256:"), "", f"{DIGEST}a"]
)
def test_a_digest_that_only_looks_the_same_is_another(
    key: Key, authority: KeyAuthority, digest: str
) -> None:
    assert refusal(signed(key, digest), by=authority) is R.OTHER_ARTIFACT


def test_a_payload_that_was_swapped_is_refused(key: Key, authority: KeyAuthority) -> None:
    mine = signed(key)
    swapped = simple(payload_of(OTHER), dict(mine.annotations))
    assert refusal(swapped, by=authority, digest=OTHER) is R.BAD_SIGNATURE
    document = cosign_bundle(statement(DIGEST), key)
    other = cosign_bundle(statement(OTHER), key)
    document["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    assert refusal(attached(document, OTHER), by=authority, digest=OTHER) is R.BAD_SIGNATURE


def test_every_bit_of_a_payload_counts(key: Key, authority: KeyAuthority) -> None:
    mine = signed(key)
    for index in range(0, len(mine.content), 7):
        changed = bytearray(mine.content)
        changed[index] ^= 1
        assert refusal(simple(bytes(changed), dict(mine.annotations)), by=authority) in (
            R.BAD_SIGNATURE,
            R.MALFORMED,
        )


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (payload_of(DIGEST, type="atomic container image signature"), R.UNSUPPORTED),
        (payload_of(DIGEST, type=None), R.MALFORMED),
        (payload_of(DIGEST, expires=1), R.UNSUPPORTED),
        (payload_of(DIGEST, image={}), R.MALFORMED),
        (payload_of(DIGEST, image={"docker-manifest-digest": DIGEST, "x": 1}), R.UNSUPPORTED),
        (payload_of(DIGEST, image={"docker-manifest-digest": [DIGEST]}), R.MALFORMED),
        (b'{"critical": {}}', R.MALFORMED),
        (b"{}", R.MALFORMED),
        (b"[]", R.MALFORMED),
        (b"", R.MALFORMED),
        (payload_of(DIGEST).replace(b'{"docker-man', b'{"docker-manifest-digest":"","docker-man'),
         R.MALFORMED),
        (b'{"critical":{},' + payload_of(DIGEST)[1:], R.MALFORMED),
        (payload_of(DIGEST)[:-1] + b', "more": 1}', R.UNSUPPORTED),
        (payload_of(DIGEST) + b" " * MAX_PAYLOAD_BYTES, R.TOO_LARGE),
    ],
)  # fmt: skip
def test_a_signed_payload_that_is_not_exactly_one_of_cosign_is_refused(
    key: Key, authority: KeyAuthority, payload: bytes, reason: R
) -> None:
    assert refusal(legacy(payload, key), by=authority) is reason


def test_where_the_artifact_lay_when_it_was_signed_does_not_matter(
    key: Key, authority: KeyAuthority
) -> None:
    for identity in ({"docker-reference": "mirror.example/x"}, {}, {"docker-reference": ""}):
        assert accepted(legacy(payload_of(DIGEST, identity=identity), key), by=authority)


@pytest.mark.parametrize("kind", ["https://cosign.sigstore.dev/attestation/v1", f"{SIGN}/", ""])
def test_an_attestation_is_no_signature_whoever_signed_it(
    key: Key, authority: KeyAuthority, kind: str
) -> None:
    attestation = attached(cosign_bundle(statement(DIGEST, kind), key), DIGEST)
    assert refusal(attestation, by=authority) is R.ATTESTATION
    loose = SignatureBundle(
        kind=SignatureKind.COSIGN_ATTESTATION,
        content=raw(envelope(statement(DIGEST), key)),
        source="sha256-0.att",
        subject=DIGEST,
    )
    assert refusal(loose, by=authority) is R.ATTESTATION
    disguised = simple(loose.content, {SIGNATURE: b64(key.sign(
        loose.content, ec.ECDSA(hashes.SHA256())
    ))})  # fmt: skip
    assert refusal(disguised, by=authority) is R.UNSUPPORTED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, R.UNSUPPORTED),
        ({"subject": []}, R.MALFORMED),
        ({"subject": None}, R.MALFORMED),
        ({"subject": ["x"]}, R.MALFORMED),
        ({"subject": [{"digest": {"sha512": "a"}}]}, R.UNSUPPORTED),
        ({"subject": [{"digest": {}}]}, R.MALFORMED),
        ({"subject": [{"digest": {"sha256": "a" * 64}}, {"digest": {"sha256": "b" * 64}}]},
         R.MALFORMED),
        ({"subject": [{"name": DIGEST, "digest": {"sha256": "b" * 64}}]}, R.OTHER_ARTIFACT),
        ({"predicateType": None}, R.MALFORMED),
    ],
)  # fmt: skip
def test_a_signed_statement_that_is_not_exactly_about_the_artifact_is_refused(
    key: Key, authority: KeyAuthority, changes: Json, reason: R
) -> None:
    document = cosign_bundle({**statement(DIGEST), **changes}, key)
    assert refusal(attached(document, DIGEST), by=authority) is reason


def test_a_statement_with_a_key_twice_is_refused(key: Key, authority: KeyAuthority) -> None:
    text = json.dumps(statement(DIGEST))[:-1] + f', "predicateType": "{SIGN}"}}'
    document = cosign_bundle(text.encode(), key)
    assert refusal(attached(document, DIGEST), by=authority) is R.MALFORMED


def test_a_bundle_over_a_bare_message_is_refused_as_unsupported(
    key: Key, authority: KeyAuthority
) -> None:
    document = cosign_bundle(statement(DIGEST), key)
    del document["dsseEnvelope"]
    document["messageSignature"] = {"signature": b64(b"x")}
    assert refusal(attached(document, DIGEST), by=authority) is R.UNSUPPORTED


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        ({}, R.MALFORMED),
        ({SIGNATURE: ""}, R.MALFORMED),
        ({SIGNATURE: "!"}, R.MALFORMED),
        ({SIGNATURE: b64(b"x" * 2000)}, R.TOO_LARGE),
        ({SIGNATURE: b64(b"x")}, R.BAD_SIGNATURE),
        ({SIGNATURE: "x" * (MAX_ANNOTATION + 1)}, R.TOO_LARGE),
    ],
)
def test_a_signature_annotation_that_is_none_is_refused(
    authority: KeyAuthority, notes: dict[str, str], reason: R
) -> None:
    assert refusal(simple(payload_of(DIGEST), notes), by=authority) is reason


def test_an_annotation_with_two_values_is_refused(key: Key, authority: KeyAuthority) -> None:
    mine = signed(key)
    doubled = SignatureBundle(
        kind=mine.kind,
        content=mine.content,
        source=mine.source,
        subject=mine.subject,
        annotations=((SIGNATURE, b64(b"x")), *mine.annotations),
    )
    assert refusal(doubled, by=authority) is R.MALFORMED


def test_annotations_that_say_nothing_of_the_signature_do_not_matter(
    key: Key, authority: KeyAuthority
) -> None:
    mine = signed(key)
    more = (("a", "1"), ("a", "2"), ("b", "x" * (MAX_ANNOTATION + 1)))
    found = SignatureBundle(
        kind=mine.kind,
        content=mine.content,
        source=mine.source,
        annotations=(*mine.annotations, *more),
    )
    assert accepted(found, by=authority)
    # Nor what says who else may vouch for it, where the key itself is known.
    assert accepted(noted(mine, certificate="?", chain="?", bundle="?"), by=authority)


def test_a_good_signature_is_found_among_bad_ones_in_any_order(
    key: Key, authority: KeyAuthority
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    good = signed(key)
    bad = [
        signed(stranger),
        signed(key, OTHER),
        attached(b"{", DIGEST),
        attached(cosign_bundle(statement(DIGEST, "x"), key), DIGEST),
    ]
    for place in range(len(bad) + 1):
        assert accepted(*bad[:place], good, *bad[place:], by=authority)


def test_bad_signatures_do_not_hide_why_the_nearest_one_failed(
    key: Key, authority: KeyAuthority
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    noise = [attached(b"{", DIGEST), signed(stranger)]
    assert refusal(*noise, signed(key, OTHER), *noise, by=authority) is R.OTHER_ARTIFACT
    assert refusal(*noise, by=authority) is R.BAD_SIGNATURE


def test_nothing_at_all_is_not_signed_and_too_much_is_not_read(
    key: Key, authority: KeyAuthority
) -> None:
    assert refusal(by=authority) is R.NOT_SIGNED
    assert refusal(*[signed(key)] * (MAX_MATERIAL + 1), by=authority) is R.TOO_LARGE
    large = attached(b" " * (MAX_BUNDLE_BYTES + 1), DIGEST)
    assert refusal(large, by=authority) is R.TOO_LARGE
    unknown = SignatureBundle(kind=SignatureKind.DETACHED, content=b"", source="x", subject=DIGEST)
    assert refusal(unknown, by=authority) is R.UNSUPPORTED


def test_signatures_of_files_are_told_from_those_of_artifacts(key: Key) -> None:
    files = attached(key_bundle(model_statement(), key), DIGEST)
    beside = SignatureBundle(kind=SignatureKind.BUNDLE, content=files.content, source="model.sig")
    loose = SignatureBundle(kind=SignatureKind.DETACHED, content=b"", source="model.asc")
    elsewhere = attached(cosign_bundle(statement(OTHER), key), OTHER)
    mine, broken = attached(cosign_bundle(statement(DIGEST), key), DIGEST), attached(b"{", DIGEST)
    disguised = SignatureBundle(
        kind=SignatureKind.COSIGN_SIGNATURE, content=files.content, source="x", subject=DIGEST
    )
    torn = SignatureBundle(kind=SignatureKind.BUNDLE, content=b"{", source="model.sig")
    everything = (files, beside, loose, elsewhere, mine, broken, disguised, torn)
    of_artifact, of_files = split_material(everything, DIGEST)
    assert of_artifact == [mine, broken, disguised]
    assert of_files == [files, beside, torn]
